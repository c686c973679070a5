"""What a receiver answers, kept for the sender who has asked.

pynetdicom serves an association in a thread of its own, which takes every message out of the queue in which a sender waits. It
can be told to rest, but says that it does before it looks whether it has to: asked in between, it takes one message more. That
may be the answer, or the word that the connection is closed. Here that thread is given no message at all. It is left with what
is its alone: to answer a release, and to end after an abort.
"""

from __future__ import annotations

from collections.abc import Iterator
from queue import Empty
from typing import Any

from rtbids.clock import CLOCK

LOOK = 0.25  # seconds between two looks at a connection that may have ended without a word
_CLOSED = (None, None)  # in the queue of messages: pynetdicom's word for a connection that is closed


def keep(event: Any) -> None:
    """Leave all messages of a new association to `answer_to` (bind it to ``EVT_CONN_OPEN``)."""
    event.assoc.dimse.get_msg = lambda block=False: _CLOSED


def close(event: Any) -> None:
    """Say that no message will come after those that have (bind it to ``EVT_CONN_CLOSE``)."""
    event.assoc.dimse.msg_queue.put(_CLOSED)


def answer_to(association: Any, number: int) -> Any:
    """Wait for the next answer to the message of this number, and return it as pynetdicom's primitive.

    Answers to other messages are passed over (PS3.7, 9.3.1.2: an answer bears the number of what it answers).

    Raises
    ------
    TimeoutError
        No answer came in the association's ``dimse_timeout``, which begins when the message has left.
    ConnectionError
        The association has ended, and the answer is not among what had come before.
    """
    for said in _messages(association):
        if said.MessageIDBeingRespondedTo == number:
            return said
    raise ConnectionError


def _messages(association: Any) -> Iterator[Any]:
    """Give what the receiver says until the connection is closed."""
    asked = CLOCK.now()
    while True:
        ended = not association.dul.is_alive()  # before the look: what it said last is read nevertheless
        try:
            _, said = association.dimse.msg_queue.get(timeout=0 if ended else LOOK)
        except Empty:
            if ended:
                return
        else:
            if said is None:
                return
            yield said
        if not association.dul.to_provider_queue.empty():
            asked = CLOCK.now()
        if CLOCK.now() - asked > association.dimse_timeout:
            raise TimeoutError
