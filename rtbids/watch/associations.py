"""Associations as pynetdicom serves them, told to a `Receiver` in its own words.

Who may associate, which images are taken in which transfer syntax, and what was under way when an association broke off.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import socketserver
import ssl
import struct
import sys
import threading
from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Protocol

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.presentation import build_context
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import Verification, uid_to_service_class  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from rtbids import dicomnet
from rtbids.dicomnet import Address, endings
from rtbids.dicomnet.response import answer_by_hand
from rtbids.errors import CannotWrite, UsageFault
from rtbids.watch import bounds, part10
from rtbids.watch.callers import ARTIM, Callers

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
logger = logging.getLogger("rtbids")

TAKEN = (*dicomnet.MR, "1.2.840.10008.5.1.4.1.1.4.3", "1.2.840.10008.5.1.4.1.1.4.4")  # colour and legacy converted too
STORE = 0x0001  # command field of a request to store (PS3.7, E.1)
NOT_SUPPORTED = 0x0122  # status of a store: SOP class not supported (PS3.7, C.5.5)
FOR_NOW, OF_PRESENTATION, LIMIT_EXCEEDED = 2, 3, 2  # a rejection's result, source and reason (PS3.8, table 9-21)


class _Storage:
    """All classes that the standard stores by."""

    def __contains__(self, sop_class: object) -> bool:
        return uid_to_service_class(str(sop_class)) is StorageServiceClass


EVERY_STORAGE_CLASS = _Storage()


class Receiver(Protocol):
    """Who is told what comes."""

    def store(self, content: bytes, received: float) -> int:
        """Take one file, and return the status (PS3.4, B.2.3) that its sender is answered."""
        ...

    def unreadable(self, why: str) -> int:
        """Hear of an image that is no file to be stored; return the status that its sender is answered."""
        ...

    def refuse(self, sop_class: str) -> None:
        """Hear of an image of a class that is not taken."""
        ...

    def broken_off(self, *, in_image: bool) -> None:
        """Hear of an association that ended without being released, in the middle of an image or between two."""
        ...

    def turned_away(self, why: str) -> None:
        """Hear of an association that was not accepted."""
        ...

    def moment(self) -> float:
        """Return the time (POSIX seconds)."""
        ...


@dataclass(frozen=True)
class Guests:
    """Who may associate: the AE titles and networks of senders, None for any."""

    aets: frozenset[str] | None = None
    hosts: frozenset[Network] | None = None

    def admit(self, host: str) -> bool:
        return self.hosts is None or any(ipaddress.ip_address(host) in network for network in self.hosts)


class _Server(ThreadedAssociationServer):
    """pynetdicom's server, but that one slow handshake holds up nobody, and strangers are turned away at the door."""

    daemon_threads = True
    request_queue_size = 128  # or connections that come at a time would be tried again after a second
    guests: Guests
    receiver: Receiver
    callers: Callers
    _said: set[str]

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; its TLS handshake comes with the first read, in the association's own thread."""
        connection, address = self.socket.accept()  # type: ignore[union-attr]
        if self.ssl_context is not None:
            connection.settimeout(dicomnet.SILENCE)
            connection = self.ssl_context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Let in whom the guests include: there is always room, where one that has no association makes it."""
        host = client_address[0]
        if not self.guests.admit(host):
            self.receiver.turned_away("its address is not among those allowed")
            logger.debug("turned away: %s", host)
            return False
        if (idle := self.callers.arrive(request, host, self.receiver.moment())) is not None:
            self._close(idle, "more connections than can be served ask for no association: the oldest are closed")
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a peer that vanished while it was being set up is no news, and a traceback no message."""

    def service_actions(self) -> None:
        """Close what asks for nothing; leave the collection of garbage to Python: a full one in a run costs milliseconds."""
        for idle in self.callers.overdue(self.receiver.moment()):
            self._close(idle, f"connections that ask for no association within {ARTIM:g} s are closed")

    def shutdown(self) -> None:
        socketserver.BaseServer.shutdown(self)  # pynetdicom's own works for servers that its AE has started
        self.server_close()

    def _close(self, idle: socket.socket, why: str) -> None:
        endings.shut(idle)
        if why not in self._said:
            self._said.add(why)
            logger.info("%s", why)


class Listener:
    """A storage SCP that listens from the moment it is made until `close`.

    Parameters
    ----------
    longest
        Bytes of an image beyond which it is refused.
    taken
        SOP classes; images of others are refused.
    """

    def __init__(
        self,
        address: Address,
        receiver: Receiver,
        guests: Guests,
        tls: ssl.SSLContext | None,
        longest: int = bounds.LONGEST_IMAGE,
        taken: Container[str] = TAKEN,
    ) -> None:
        self._application = dicomnet.entity(address.aet)
        self._application.require_called_aet = True
        self._application.require_calling_aet = sorted(guests.aets or ())
        self._application.maximum_associations = sys.maxsize  # pynetdicom counts all that are connected; callers count better
        callers = Callers()
        handlers = _Handlers(receiver, callers, longest, taken)
        self._server: _Server = _bound(self._application, address, handlers.bound(), tls)
        self._server.guests, self._server.receiver, self._server.callers, self._server._said = guests, receiver, callers, set()
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="storage-scp", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more associations, and abort those that are open."""
        if not self._thread.is_alive():
            return
        self._server.shutdown()
        for association in self._server.active_associations:
            association.abort() if association.is_established else endings.hang_up(association)
        self._thread.join()


class _Handlers:
    """What pynetdicom calls, from the threads of its associations."""

    def __init__(self, receiver: Receiver, callers: Callers, longest: int, taken: Container[str]) -> None:
        self._receiver = receiver
        self._callers = callers
        self._longest = longest
        self._taken = taken
        self._complete: dict[int, float] = {}  # association → when its message was complete

    def bound(self) -> list[Any]:
        return [
            (evt.EVT_CONN_OPEN, self.opened),
            (evt.EVT_PDU_RECV, self.arrived),
            (evt.EVT_REQUESTED, self.requested),
            (evt.EVT_REJECTED, self.rejected),
            (evt.EVT_REJECTED, self.over),
            (evt.EVT_ABORTED, self.over),
            (evt.EVT_RELEASED, self.over),
            (evt.EVT_DIMSE_RECV, self.complete),
            (evt.EVT_C_STORE, self.store),
            (evt.EVT_ACSE_RECV, self.ended),
            (evt.EVT_CONN_CLOSE, self.closed),
        ]

    def opened(self, event: Any) -> None:
        dicomnet.be_prompt(event)
        answer_by_hand(event)
        bounds.bound_pdus(event)
        endings.end_at_nonsense(event)
        event.assoc.dul.daemon = True  # a sender that stays must not keep the process from ending

    def arrived(self, event: Any) -> None:
        bounds.bound_message(event, self._longest)

    def requested(self, event: Any) -> None:
        """Agree to every storage class that is proposed: a store that is refused is heard of, one never asked for is not."""
        if why := self._callers.associate(event.assoc.dul.socket.socket):
            self._reject_for_now(event.assoc, why)
            return
        acceptor = event.assoc.acceptor
        supported = {str(context.abstract_syntax): context for context in acceptor.supported_contexts}
        for context in event.assoc.requestor.primitive.presentation_context_definition_list:
            proposed = str(context.abstract_syntax)
            if proposed not in supported and proposed in EVERY_STORAGE_CLASS:
                supported[proposed] = build_context(proposed, list(_readable()))
        acceptor.supported_contexts = list(supported.values())

    def rejected(self, event: Any) -> None:
        """Hear of an association that pynetdicom has rejected, for the one or other AE title."""
        request = event.assoc.requestor.primitive
        if request.called_ae_title != event.assoc.acceptor.ae_title.strip():
            why = "it called an AE title that is not ours"
        else:
            why = "its AE title is not among those allowed"
        self._turned_away(event.assoc, why)

    def over(self, event: Any) -> None:
        connection = event.assoc.dul.socket.socket if event.assoc.dul.socket else None
        self._callers.end(connection, self._receiver.moment())

    def _reject_for_now(self, association: Any, why: str) -> None:
        association.acse.send_reject(FOR_NOW, OF_PRESENTATION, LIMIT_EXCEEDED)
        self._turned_away(association, why)
        association.kill()  # as pynetdicom does: waits until it has left

    def _turned_away(self, association: Any, why: str) -> None:
        request = association.requestor.primitive
        self._receiver.turned_away(why)
        logger.debug("turned away: %s, who called %s", request.calling_ae_title, request.called_ae_title)

    def complete(self, event: Any) -> None:
        self._complete[id(event.assoc)] = self._receiver.moment()
        asked = event.message.command_set
        if asked.get("CommandField") == STORE and not asked.get("AffectedSOPInstanceUID"):
            endings.hang_up(event.assoc)  # pynetdicom would not answer, and the sender would wait

    def store(self, event: Any) -> int:
        request = event.request
        sop_class = str(request.AffectedSOPClassUID)
        if sop_class not in self._taken:
            self._receiver.refuse(UID(sop_class).name)
            return NOT_SUPPORTED
        if isinstance(request.DataSet, bounds.Overlong):
            return self._receiver.unreadable(f"longer than {self._longest} bytes")
        try:
            head = part10.header(sop_class, str(request.AffectedSOPInstanceUID), str(event.context.transfer_syntax))
        except (UnicodeEncodeError, struct.error):
            return self._receiver.unreadable("its SOP Instance UID is none")
        return self._receiver.store(head + request.DataSet.getbuffer(), self._complete[id(event.assoc)])

    def ended(self, event: Any) -> None:
        """Hear of an abort, or of a connection that is lost, which pynetdicom tells alike."""
        from pynetdicom.pdu_primitives import A_ABORT, A_P_ABORT

        if isinstance(event.primitive, A_ABORT | A_P_ABORT) and event.assoc.is_established:
            self._receiver.broken_off(in_image=event.assoc.dimse.message is not None)

    def closed(self, event: Any) -> None:
        self._complete.pop(id(event.assoc), None)
        bounds.end_unheard(event)


def networks(texts: tuple[str, ...]) -> frozenset[Network]:
    """Read addresses, networks (``10.1.0.0/16``) and names of hosts, as they are now.

    Raises
    ------
    UsageFault
        It is none of these, or a name without an address.
    """
    return frozenset(network for text in texts for network in _networks(text))


def _networks(text: str) -> list[Network]:
    try:
        return [ipaddress.ip_network(text, strict=False)]
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(text, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UsageFault(f"expected an address, a network such as 10.1.0.0/16 or a host's name, found {text!r}") from None
    return [ipaddress.ip_network(str(entry[4][0]).partition("%")[0]) for entry in found]


def _readable() -> tuple[str, ...]:
    """Return the transfer syntaxes that can be read here, the most wanted first: a sender asked for others will convert."""
    return dicomnet.UNCOMPRESSED + tuple(uid for uid in dicomnet.COMPRESSED if _is_readable(UID(uid)))


def _is_readable(syntax: UID) -> bool:
    return bool(syntax.is_deflated) or bool(get_decoder(syntax).is_available)


def _bound(application: Any, address: Address, handlers: list[Any], tls: ssl.SSLContext | None) -> Any:
    syntaxes = list(_readable())
    contexts = [build_context(sop_class, syntaxes) for sop_class in TAKEN] + [build_context(Verification)]
    where = address.place
    try:
        return application.make_server(
            (address.host, address.port), contexts=contexts, ssl_context=tls, evt_handlers=handlers, server_class=_Server
        )
    except PermissionError:
        raise CannotWrite(f"cannot listen on {where}: ports below 1024 are the administrator's", "DICOM's is 11112") from None
    except OSError as error:
        hint = "end what listens there (ss -ltnp shows it), or take another port" if error.errno == errno.EADDRINUSE else None
        raise CannotWrite(f"cannot listen on {where}: {(error.strerror or str(error)).lower()}", hint) from None
