"""The DICOM network as a source of finished series: a storage SCP that answers when an image is on the disk, never before."""

from __future__ import annotations

import select
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

from rtbids.clock import CLOCK, Clock
from rtbids.dicomnet import Address
from rtbids.errors import BadData
from rtbids.wakeup import Wakeup
from rtbids.watch.associations import EVERY_STORAGE_CLASS, Guests, Listener
from rtbids.watch.door import OUT_OF_RESOURCES, SUCCESS, Door
from rtbids.watch.faults import Faults
from rtbids.watch.finished import Finished
from rtbids.watch.incoming import Incoming, NoRoom

SHORTEST, LONGEST = 0.01, 3600.0  # seconds between two looks whether a series is over
_EVERYBODY = Guests()


def batches(
    address: Address,
    incoming: Incoming,
    *,
    guests: Guests = _EVERYBODY,
    tls: ssl.SSLContext | None = None,
    idle_timeout: float | None = None,
    stop: Wakeup | None = None,
    on_mode: Callable[[str], None] = lambda mode: None,
    clock: Clock = CLOCK,
) -> Iterator[Finished]:
    """Listen at `address` and hand out each series that is over, until stopped or idle for too long.

    Objects of all storage classes are taken: whether they may go on is not for who receives them to say.

    A stop hands out what has come until then. An association that is open at that moment is aborted, and its sender has been
    answered for what is kept, and for nothing else.

    Raises
    ------
    CannotWrite
        The port is taken, or may not be used.
    """
    stop = stop or Wakeup()
    receiver = _Receiver(incoming, clock)
    with closing(Listener(address, receiver, guests, tls, taken=EVERY_STORAGE_CLASS)) as listener:
        place = replace(address, port=listener.port).place
        on_mode(f"listening as {address.aet} on {place}{', with TLS' if tls else ''}")
        while not stop.is_set():
            yield from incoming.finished()
            now = clock.now()
            ends = float("inf") if idle_timeout is None else receiver.active + idle_timeout
            if now >= ends and incoming.due == float("inf"):
                break
            select.select([receiver.arrived, stop], [], [], min(max(SHORTEST, min(ends, incoming.due) - now), LONGEST))
            receiver.arrived.clear()
    yield from incoming.finished(everything=True)


class _Receiver(Door):
    """Keeps images as they come, in the threads of their associations."""

    def __init__(self, incoming: Incoming, clock: Clock) -> None:
        super().__init__(Faults(), clock)
        self._incoming = incoming
        self.arrived = Wakeup()
        self.active = clock.now()

    def refuse(self, sop_class: str) -> None:
        self.say_once(f"what is sent as {sop_class} is refused: the standard stores nothing by that class")

    def store(self, content: bytes, received: float) -> int:
        """Take an image: success only once it is on the disk."""
        try:
            is_first = self._incoming.keep(content)
        except BadData as error:
            return self.unreadable(str(error))
        except NoRoom:
            self.say_once("the disk is nearly full, and images are refused until there is room")
            return OUT_OF_RESOURCES
        except OSError as error:
            self.say_once(f"images cannot be kept, and are refused: {error.strerror or error}")
            return OUT_OF_RESOURCES
        self.active = received
        if is_first:  # who waits for the end of a series wakes too early for the others, never too late
            self.arrived.set()
        return SUCCESS
