"""The DICOM network as a source of whole files: a storage SCP that answers when an image is safe, and never before.

Every image is read and lies in the spool before its sender hears that it was stored. Where the loop is slow the spool fills,
and where that is full senders wait for their answer: nothing is dropped.
"""

from __future__ import annotations

import select
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.uid import UID

from rtbids.clock import CLOCK, Clock
from rtbids.convert.dicom import Instance, instance_uid, read
from rtbids.dicomnet import Address
from rtbids.errors import BadData
from rtbids.wakeup import Wakeup
from rtbids.watch import durable
from rtbids.watch.associations import TAKEN, Guests, Listener, Network
from rtbids.watch.bounds import LONGEST_IMAGE
from rtbids.watch.door import CANNOT_UNDERSTAND, NOT_OF_ITS_CLASS, OUT_OF_RESOURCES, SUCCESS, Door
from rtbids.watch.faults import Fault, Faults
from rtbids.watch.spool import BACKLOG, Closed, Spool

IN_MEMORY = 16  # images that wait read; those behind them are read again from the spool


def instances(
    address: Address,
    *,
    spool: Path,
    existing: bool = True,
    wait: bool = True,
    idle_timeout: float | None = None,
    allowed_aets: frozenset[str] | None = None,
    allowed_hosts: frozenset[Network] | None = None,
    tls: ssl.SSLContext | None = None,
    fsync: bool = False,
    backlog: int = BACKLOG,
    longest: int = LONGEST_IMAGE,
    stop: Wakeup | None = None,
    on_mode: Callable[[str], None] | None = None,
    faults: list[str] | None = None,
    clock: Clock = CLOCK,
) -> Iterator[Instance]:
    """Listen at `address` and hand out each image that is stored; `received` is the moment of its last byte.

    Parameters
    ----------
    spool
        Folder for the images that wait. Those that an earlier process has left there come first.
    existing
        Whether to hand these out; else they stay there.
    wait
        Whether to listen at all.
    idle_timeout
        End after so many seconds without an image.
    allowed_aets, allowed_hosts
        Who may send: AE titles, networks. None lets everybody.
    tls
        Takes encrypted connections only.
    fsync
        Have the disk itself confirm each image before its sender is answered.
    backlog
        Bytes in the spool beyond which senders wait.
    longest
        Bytes of an image beyond which it is refused.
    stop
        Ends the listening: what was stored until then is still handed out.
    on_mode
        Is told once where we listen.
    faults
        Gets a line for each image that could not be used. Each is warned of once too.

    Raises
    ------
    CannotWrite
        The port or the spool is taken, or may not be used.
    """
    noted = Faults(faults)
    stop = stop or Wakeup()
    with closing(Spool(spool, backlog=backlog, fsync=fsync)) as kept:
        intake = _Intake(kept, noted, clock)
        if not wait:
            yield from intake.leftovers(existing, stop)
            noted.summarise()
            return
        with closing(Listener(address, intake, Guests(allowed_aets, allowed_hosts), tls, longest)) as listener:
            if on_mode is not None:
                place = replace(address, port=listener.port).place
                on_mode(f"listening as {address.aet} on {place}{', with TLS' if tls else ''}")
            try:
                yield from intake.leftovers(existing, stop)
                yield from intake.live(idle_timeout, stop)
            finally:
                kept.stop()  # first, or an association that waits for room could not be ended
        yield from intake.stored()
    noted.summarise()


@dataclass(frozen=True)
class _Stored:
    """An image in the spool, and where there are few, as it was read."""

    path: Path
    received: float
    instance: Instance | None


class _Intake(Door):
    """Takes images from associations, in their threads, and hands them out in the loop's own."""

    def __init__(self, spool: Spool, faults: Faults, clock: Clock) -> None:
        super().__init__(faults, clock)
        self._spool = spool
        self._waiting: deque[_Stored] = deque()
        self._arrived = Wakeup()
        self._images: set[str] = set()  # SOP Instance UIDs
        self._active = clock.now()

    def store(self, content: bytes, received: float) -> int:
        """Take an image: success only once it is in the spool, or was before."""
        with self._one_at_a_time:
            self._count += 1
            name = f"image {self._count} from the network"
            try:
                instance = read(content, name, received)
            except BadData as error:
                self._faults.note(Fault.FOREIGN, name, str(error))
                return CANNOT_UNDERSTAND
            if (sop_class := str(instance.dataset.get("SOPClassUID") or TAKEN[0])) not in TAKEN:
                text = f"{name}: sent as an MR image, and is none ({UID(sop_class).name})"
                self._faults.note(Fault.FOREIGN, name, text)
                return NOT_OF_ITS_CLASS
            return self._kept(instance, received)

    def leftovers(self, existing: bool, stop: Wakeup) -> Iterator[Instance]:
        """Hand out what an earlier process has left, at no pace; a stop leaves the rest where it is."""
        if not existing:
            for path in self._spool.leftovers:
                self._spool.abandon(path)
            return
        for path in self._spool.leftovers:
            if stop.is_set():
                return
            if (left := self._again(_Stored(path, self._clock.now(), None))) is not None:
                self._images.add(instance_uid(left.dataset))
                yield replace(left, paced=False, receipts=(self._spool.receipt(path),))

    def live(self, idle_timeout: float | None, stop: Wakeup) -> Iterator[Instance]:
        """Hand out each image as it is stored, until stopped or idle for too long."""
        self._active = self._clock.now()
        while not stop.is_set():
            yield from self.stored()
            ends = None if idle_timeout is None else self._active + idle_timeout - self._clock.now()
            if ends is not None and ends <= 0 and not self._waiting:
                return
            select.select([self._arrived, stop], [], [], ends)

    def stored(self) -> Iterator[Instance]:
        """Hand out what is there now."""
        self._arrived.clear()
        while self._waiting:
            stored = self._waiting.popleft()
            instance = stored.instance or self._again(stored)
            if instance is not None:
                yield replace(instance, receipts=(self._spool.receipt(stored.path),))

    def _kept(self, instance: Instance, received: float) -> int:
        uid = instance_uid(instance.dataset)
        if uid in self._images:
            self._faults.note(Fault.DUPLICATE, instance.name, f"{instance.name}: a copy of an image already taken")
            return SUCCESS
        if self._spool.is_full(len(instance.content)):
            self.say_once("images come faster than they are taken and the spool is full: senders wait")
        try:
            path = self._spool.keep(bytes(instance.content))
        except Closed:
            return OUT_OF_RESOURCES
        except OSError as error:
            self.say_once(f"the spool cannot be written, and images are refused: {error.strerror or error}")
            return OUT_OF_RESOURCES
        self._images.add(uid)
        self._waiting.append(_Stored(path, received, instance if len(self._waiting) < IN_MEMORY else None))
        self._active = received
        self._arrived.set()
        return SUCCESS

    def _again(self, stored: _Stored) -> Instance | None:
        """Read an image from the spool; one that cannot be read stays there, and is named."""
        name = stored.path.name
        try:
            durable.check(stored.path)
            return read(stored.path.read_bytes(), name, stored.received)
        except OSError as error:
            self._faults.note(Fault.UNREADABLE, name, f"{name} in the spool: cannot be read ({error.strerror or error})")
        except BadData as error:
            self._faults.note(Fault.FOREIGN, name, f"{error} (it stays in the spool)")
        self._spool.abandon(stored.path)
        return None
