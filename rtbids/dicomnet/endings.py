"""How an association ends: in order, by an abort, at nonsense, or without a word."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

RELEASE = 10.0  # seconds in which the other side must have answered a release
TO_SEND = "Evt9"  # a part of a message is to be sent (PS3.8, 9.2)
ABORT = 2.0  # seconds in which an abort must have left


def release(association: Any) -> None:
    """End an association in order; abort it where the other side does not answer."""
    association.acse.send_release()  # by its own threads: pynetdicom's `release` competes with them for the answer
    association.join(RELEASE)
    if association.is_alive():
        abort(association)


def abort(association: Any) -> None:
    """End an association at once, whatever is under way."""
    association.acse.send_abort(0)  # by its user (PS3.8, 9.3.8)
    association.join(ABORT)
    hang_up(association)  # it is ended already, unless the other side does not read
    association.join(ABORT)


def hang_up(association: Any) -> None:
    """End the connection of an association without a word, in whatever state it is."""
    if (connection := association.dul.socket and association.dul.socket.socket) is not None:
        shut(connection)


def shut(connection: socket.socket) -> None:
    """End a connection that another thread may be reading; not by TLS's own way, which would take the ground from under it."""
    with suppress(OSError):  # it has ended
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def end_at_nonsense(event: Any) -> None:
    """Have an association end, and nothing else, at what pynetdicom stumbles over (bind it to ``EVT_CONN_OPEN``).

    That is a message that it cannot parse; or what is said when the association is over, such as the answer to an image that
    was being stored when it was aborted.
    """
    _end_at_bad_messages(event.assoc)
    _drop_last_words(event.assoc.dul)


def _drop_last_words(provider: Any) -> None:
    from pynetdicom.fsm import InvalidEventError

    act = provider.state_machine.do_action

    def acted(event: str) -> None:
        try:
            act(event)
        except InvalidEventError:
            if event != TO_SEND:
                provider.kill_dul()
            elif not provider.to_provider_queue.empty():
                provider.to_provider_queue.get()

    provider.state_machine.do_action = acted


def _end_at_bad_messages(association: Any) -> None:
    receive = association.dimse.receive_primitive

    def received(primitive: Any) -> None:
        try:
            receive(primitive)
        except Exception:  # whatever its parsing meets in such bytes
            association.dul.event_queue.put("Evt19")  # an invalid PDU (PS3.8, 9.2)

    association.dimse.receive_primitive = received
