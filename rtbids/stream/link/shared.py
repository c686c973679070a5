"""What the application and the two threads of a link share, guarded by one lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from rtbids.clock import Clock
from rtbids.errors import ConnectionLost
from rtbids.stream.link.arrivals import Arrivals
from rtbids.stream.link.clock import Exchanges
from rtbids.stream.link.compression import Packer
from rtbids.stream.link.connection import Connection
from rtbids.stream.link.outgoing import Outgoing
from rtbids.stream.link.protocol import OutOfStep
from rtbids.stream.link.spool import Spool
from rtbids.stream.link.state import State
from rtbids.stream.link.terms import Terms
from rtbids.stream.link.window import Inbox
from rtbids.wakeup import Wakeup

OnState = Callable[[State], None]


class Shared:
    """What both threads and the application change, they change with `changed` held, and notify who waits for it.

    A connection's counters, and `packer`, belong to the thread that writes or reads; others only look at them.
    """

    def __init__(self, spool: Spool, where: str, terms: Terms, clock: Clock, taken: int = 0) -> None:
        self.where = where
        self.terms = terms
        self.clock = clock
        lock = threading.RLock()
        self.changed = threading.Condition(lock)
        self.due = threading.Condition(lock)  # the writer waits for this one
        self._wakeup: Wakeup | None = None  # set while the application has something to look at
        self.spool = spool
        self.arrivals = Arrivals(terms.inbox, terms.most, taken)
        self.outgoing = Outgoing(spool, self.arrivals, terms.beat)
        self.outgoing.safe = taken
        self.packer = Packer()
        self.exchanges = Exchanges()
        self.connection: Connection | None = None  # on which both have said hello
        self.opened: Connection | None = None  # on which hello may still be said
        self.is_answering = False  # a hello: the connection is not in use yet, and not lost
        self.knows_end = False  # the other side knows that we have nothing more
        self.was_left = False  # the other side has closed its link, for good
        self.is_over = False
        self.error: BaseException | None = None  # what ended it
        self.since = clock.now()
        self.cuts = self.renewed = self.attempts = 0
        self.anew: Mapping[str, Any] = {}  # arguments for a far side that begins anew
        self.problem = ""
        self.far_version = ""
        self.throughput: float | None = None
        self._bytes_in = self._bytes_out = 0

    def end(self, error: BaseException | None) -> None:
        """Be over, by an error or in order; the first counts."""
        with self.changed:
            if not self.is_over:
                self.is_over, self.error = True, error
            self.wake()

    def closed(self) -> BaseException:
        """Return what a link ends with that is closed here before both sides have finished."""
        return self.outgoing.fault or ConnectionLost(f"{self.where}: the link was closed here")

    def wake_sides(self) -> None:
        """Wake who writes, and who waits for room or for the end, but not a ``select``: nothing is there to be taken."""
        self.due.notify_all()
        self.changed.notify_all()

    def wake(self) -> None:
        """Wake all who wait, the application's ``select`` too."""
        self.due.notify_all()
        self.arrived()

    def arrived(self) -> None:
        """Wake the application."""
        if self._wakeup is not None and not self._wakeup.is_set():
            self._wakeup.set()
        self.changed.notify_all()

    def looked(self) -> None:
        """Note that the application has found nothing more to look at."""
        if self._wakeup is not None and self._wakeup.is_set():
            self._wakeup.clear()

    @property
    def wakeup(self) -> Wakeup:
        """What a ``select`` waits for; who never asks does not pay for it."""
        with self.changed:
            if self._wakeup is None:
                self._wakeup = Wakeup()
                self._wakeup.set()
            return self._wakeup

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to be sent or to come, and the other side was told so."""
        return self.is_complete and self.outgoing.has_said_all

    @property
    def is_complete(self) -> bool:
        """Whether both sides have finished, and all is safe."""
        has_all = self.outgoing.heard_end and self.outgoing.safe == self.arrivals.taken
        return self.knows_end and self.spool.is_empty and has_all

    def demand_held(self, taken: int) -> None:
        """Raise OutOfStep where the other side cannot go on after `taken` members."""
        if not self.spool.goes_on_from(taken):
            held = f"members {self.spool.oldest} to {self.spool.on_wire}"
            raise OutOfStep(f"{self.where} wants to go on from member {taken}, but may have {held}")

    def open(self, connection: Connection) -> None:
        """Note a connection before anything is said on it; where the link is over it is cut."""
        with self.changed:
            self.opened = connection
            is_over = self.is_over
        if is_over:
            self.cut("closed here")

    def cut(self, why: str) -> None:
        """Cut whatever connection there is; not with `changed` held, since closing may take its time."""
        with self.changed:
            connection = self.opened
        if connection is not None:
            connection.cut(ConnectionLost(f"{self.where}: {why}"))

    def went_up(self, connection: Connection, number: int, inbox: Inbox) -> None:
        """Begin to use a connection, on which member `number` is the first of ours; `inbox` is the other side's."""
        self.connection, self.is_answering = connection, False
        self.outgoing.connect(number, inbox, connection.probe)
        self.since, self.problem, self.attempts = self.clock.now(), "", 0
        self.wake()

    def went_down(self, why: str) -> None:
        """Count a connection that was lost, or one that could not be made."""
        self.is_answering = False
        if self.connection is not None:
            self._bytes_in += self.connection.bytes_in
            self._bytes_out += self.connection.bytes_out
            self.cuts += not self.is_over
            self.since = self.clock.now()
            self.connection = None
        else:
            self.attempts += 1
        self.problem = why
        self.wake()

    def state(self) -> State:
        connection, best, spool = self.connection, self.exchanges.best, self.spool
        return State(
            is_up=connection is not None,
            since=self.since,
            heard=self.clock.now() - connection.idle() if connection else None,
            cuts=self.cuts,
            renewed=self.renewed,
            problem=self.problem,
            attempts=self.attempts,
            sent=spool.next,
            taken=self.arrivals.taken,
            safe=spool.oldest,
            waiting_bytes=spool.waiting_bytes,
            waiting_members=spool.next - spool.oldest,
            disk_bytes=spool.on_disk,
            dropped=spool.dropped,
            round_trip=best.round_trip if best else None,
            offset=best.offset if best else None,
            uncertainty=best.uncertainty if best else None,
            bytes_out=self._bytes_out + (connection.bytes_out if connection else 0),
            bytes_in=self._bytes_in + (connection.bytes_in if connection else 0),
            throughput=self.throughput,
            compression=self.packer.codec,
            far_version=self.far_version,
            marked=spool.marked,
        )
