"""A link: numbered members both ways over a connection that may be cut and made again, each once and in order.

One thread reads (and dials, or takes what is attached), one writes; see `dial` and `serve` for the two ends.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import Any

from rtbids.errors import ConnectionLost
from rtbids.stream import wire
from rtbids.stream.link import protocol
from rtbids.stream.link.compression import MARK
from rtbids.stream.link.rounds import LEAVING, Rounds
from rtbids.stream.link.shared import Shared
from rtbids.stream.link.speaking import speak
from rtbids.stream.link.spool import IN_MEMORY, Entry, entry_of
from rtbids.stream.link.state import Arrived, State


class Link:
    """One end. All methods may be called from any thread; members are to be taken by one."""

    def __init__(self, shared: Shared, rounds: Rounds) -> None:
        self._shared = shared
        self._sending = threading.Lock()  # one member at a time goes into the spool
        self._reader = threading.Thread(target=rounds.run, name="link reader", daemon=True)
        self._writer = threading.Thread(target=speak, args=(shared,), name="link writer", daemon=True)
        self._reader.start()
        self._writer.start()

    def send(self, name: str, *parts: wire.Buffer, modified: float = 0.0, droppable: bool = False) -> int:
        """Hand over a member; return its number. The parts are not copied: they may not change until they are safe.

        Waits where the spool is full, or drops, as the spool says. Raises what ended the link.
        """
        _demand_sendable(name, modified)
        entry = entry_of(name, [memoryview(part).cast("B") for part in parts], modified, droppable)
        with self._sending:
            return self._put(entry)

    def take(self) -> Arrived | None:
        """Return the next member, None where none has come; StopIteration at the other side's end, or what ended the link."""
        shared = self._shared
        with shared.changed:
            if len(shared.arrivals):
                arrived = shared.arrivals.pop()
                if shared.arrivals.is_worth_telling:
                    shared.due.notify_all()
                return arrived
            if not shared.outgoing.heard_end and not shared.is_over:
                shared.looked()
                return None
            if shared.outgoing.heard_end or shared.error is None:
                raise StopIteration
            raise shared.error

    def members(self) -> Iterator[Arrived]:
        """Give what comes until the other side's end; raise what ended the link."""
        while True:
            with self._shared.changed:
                while not self._has_something():
                    self._shared.changed.wait()
            try:
                arrived = self.take()
            except StopIteration:
                return
            if arrived is not None:
                yield arrived

    def fileno(self) -> int:
        """Return what a ``select`` waits for: a member that waits, or a change of state."""
        return self._shared.wakeup.fileno()

    def warn(self, text: str) -> None:
        """Have a warning logged at the other side, when there is a connection; the oldest of very many are forgotten."""
        shared = self._shared
        with shared.changed:
            shared.outgoing.warnings.append(text)
            shared.due.notify_all()

    def begin_anew_with(self, **arguments: Any) -> None:
        """Have a far side that knows nothing of this session any more begin it with these arguments as well."""
        with self._shared.changed:
            self._shared.anew = arguments

    def settle(self, number: int) -> None:
        """Let the other side forget its members up to and with `number`: they are safe here."""
        shared = self._shared
        with shared.changed:
            if number >= shared.arrivals.given:
                raise ValueError(f"member {number} was not given out: it cannot be safe")
            if number >= shared.outgoing.safe:
                shared.outgoing.safe = number + 1
                shared.due.notify_all()

    def finish(self, timeout: float | None = None) -> None:
        """Send no more, and wait until all is safe at the other side and it knows of the end.

        Raises ConnectionLost when `timeout` seconds are over, or what ended the link. Members still come.
        """
        shared = self._shared
        with shared.changed:
            shared.outgoing.is_ending = True
            shared.due.notify_all()
            shared.changed.wait_for(lambda: (shared.knows_end and shared.spool.is_empty) or shared.is_over, timeout)
            waiting = shared.spool.next - shared.spool.oldest
            if not waiting and shared.knows_end:
                return
            if shared.error is not None:
                raise shared.error
        unsafe = waiting - shared.spool.marked
        what = f"{unsafe} members are not known to be safe there" if unsafe else "it may not know of the end"
        raise ConnectionLost(f"{shared.where}: {what} after {timeout or 0:g} s", shared.problem or None)

    def close(self, error: BaseException | None = None) -> None:
        """End the link, in order where both sides have finished; else the other side's members end with `error`, or a cut."""
        shared = self._shared
        with shared.changed:
            shared.outgoing.is_closing, shared.outgoing.fault = True, error
            shared.due.notify_all()
            if threading.current_thread() is not self._reader:
                shared.changed.wait_for(lambda: shared.is_over or self._has_left(), LEAVING)
        shared.end(shared.closed())
        self._leave()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in order or not."""
        return self._shared.is_over

    @property
    def was_left(self) -> bool:
        """Whether the other side has closed its link, in order or not: it does not come back."""
        return self._shared.was_left

    @property
    def where(self) -> str:
        """The other side, for messages."""
        return self._shared.where

    @property
    def state(self) -> State:
        with self._shared.changed:
            return self._shared.state()

    def wait_up(self, timeout: float, patient: bool = False) -> None:
        """Wait until there is a connection; raise as soon as one attempt failed, or, where `patient`, when the time is over."""
        shared = self._shared
        with shared.changed:
            shared.changed.wait_for(
                lambda: shared.connection is not None or shared.is_over or (bool(shared.attempts) and not patient), timeout
            )
            if shared.connection is not None:
                return
            if shared.error is not None:
                raise shared.error
            raise ConnectionLost(shared.problem or f"{shared.where}: no connection after {timeout:g} s")

    def wait_for_clock(self, timeout: float = 3.0) -> bool:
        """Wait until it is known how far the other clock is from ours, or the link is over; say whether it is."""
        shared = self._shared
        with shared.changed:
            shared.changed.wait_for(lambda: shared.exchanges.best is not None or shared.is_over, timeout)
            return shared.exchanges.best is not None

    def __enter__(self) -> Link:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.close(error)

    def _has_something(self) -> bool:
        return bool(len(self._shared.arrivals) or self._shared.outgoing.heard_end or self._shared.is_over)

    def _has_left(self) -> bool:
        """Whether nothing more can be said on the connection that there is, and no other one is awaited."""
        shared, connection = self._shared, self._shared.connection
        if connection is None:
            return not shared.is_complete and not shared.is_answering
        return not shared.is_complete and (connection.has_left or connection.problem is not None)

    def _leave(self) -> None:
        self._shared.cut("closed here")
        others = [thread for thread in (self._reader, self._writer) if thread is not threading.current_thread()]
        for thread in others:
            thread.join(LEAVING)
        if not self._writer.is_alive():
            self._shared.spool.close()

    def _put(self, entry: Entry) -> int:
        """Find room for an entry and put it there; content goes to disk without holding up the other threads."""
        shared, spool = self._shared, self._shared.spool
        may_use_disk = True
        while True:
            with shared.changed:
                self._demand_open()
                place = spool.room(entry.size, may_use_disk)
                if place == IN_MEMORY:
                    return self._note(spool.put(entry))
                if place is None:
                    if spool.drop():
                        continue
                    if spool.may_drop(entry):
                        return self._note(spool.drop_newest())
                    shared.changed.wait()
                    may_use_disk = True
                    continue
                entry.place = place
            may_use_disk = spool.write(entry)
            with shared.changed:
                if may_use_disk and self._is_open:
                    return self._note(spool.put(entry))
                spool.give_back(entry)
                entry.place = IN_MEMORY

    def _note(self, number: int) -> int:
        self._shared.due.notify_all()
        return number

    @property
    def _is_open(self) -> bool:
        return not (self._shared.is_over or self._shared.outgoing.is_ending)

    def _demand_open(self) -> None:
        shared = self._shared
        if shared.is_over:
            raise shared.error or ConnectionLost(f"{shared.where}: the link is over")
        if shared.outgoing.is_ending:
            raise ValueError("nothing can be sent after finish")


def _demand_sendable(name: str, modified: float) -> None:
    if name.startswith(protocol.OWN) or not wire.is_confined(name + MARK) or not name or not _is_unicode(name):
        raise ValueError(f"a member cannot be named {name!r}")
    if not math.isfinite(modified):
        raise ValueError(f"{name}: a member cannot be of time {modified}")


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # a file name of other bytes would arrive as another one
        return False
    return True
