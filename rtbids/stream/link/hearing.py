"""What comes on a connection: members for the application, receipts, heartbeats, the end."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator

from rtbids.stream.link import protocol
from rtbids.stream.link.clock import exchange
from rtbids.stream.link.compression import unpack
from rtbids.stream.link.connection import Connection
from rtbids.stream.link.protocol import OutOfStep
from rtbids.stream.link.shared import Shared
from rtbids.stream.wire import Member

_MOST_WARNINGS, _MINUTE = 200, 60.0  # that are logged of a connection in so many seconds
logger = logging.getLogger("rtbids")


class Hearing:
    """Takes the members of one connection."""

    def __init__(self, shared: Shared, connection: Connection) -> None:
        self._shared = shared
        self._connection = connection
        self._where = connection.where
        self._warned: deque[float] = deque(maxlen=_MOST_WARNINGS)
        self._controls = {
            protocol.NEXT: self._begin,
            protocol.SAFE: self._forget,
            protocol.ALIVE: self._keep_time,
            protocol.PROBE: self._answer_probe,
            protocol.PROBED: self._measure,
            protocol.DROPPED: self._take_mark,
            protocol.END: self._end,
            protocol.REFUSED: self._fail,
            protocol.WARNED: self._warn,
        }

    def take(self, members: Iterator[Member]) -> None:
        """Take what comes until the end mark; raise ConnectionLost, StreamBroken, or what ended the other side."""
        for member in members:
            if member.name.startswith(protocol.OWN):
                if act := self._controls.get(member.name):
                    act(member)
            else:
                self._take(member)

    def _take(self, member: Member) -> None:
        name, content = unpack(member.name, member.content, self._shared.terms.largest, self._where)
        if content is not member.content:
            member = Member(name, content, member.modified)
        self._put(member, 0)

    def _take_mark(self, member: Member) -> None:
        if not (count := self._whole(member, "count")):
            raise OutOfStep(f"{self._where}: a mark of no dropped member")
        self._put(member, count)

    def _put(self, member: Member, dropped: int) -> None:
        """Hand a member to the application; what came before is passed over."""
        connection, arrivals, shared = self._connection, self._shared.arrivals, self._shared
        if connection.number is None:
            raise OutOfStep(f"{self._where}: {member.name[:80]} came before the number of the first member was said")
        number, connection.number = connection.number, connection.number + (dropped or 1)
        with shared.changed:
            if not arrivals.is_new(number, dropped or 1):
                return
            if not arrivals.has_room(len(member.content)):
                raise OutOfStep(f"{self._where} sends more than there is room for")
            arrivals.put(number, member, dropped)
            shared.arrived()

    def _begin(self, member: Member) -> None:
        with self._shared.changed:
            self._connection.begin(self._whole(member, "next"), self._shared.arrivals.taken)

    def _forget(self, member: Member) -> None:
        said = protocol.loads(member.name, member.content, self._where)
        safe, given = (protocol.whole(said, key, member.name, self._where) for key in ("safe", "given"))
        shared, spool = self._shared, self._shared.spool
        with shared.changed:
            if (most := max(safe, given)) > spool.on_wire:
                raise OutOfStep(f"{self._where} says that {most} members are safe or taken, but {spool.on_wire} were sent")
            spool.forget(safe)
            shared.outgoing.window.give(given)
            shared.knows_end = shared.knows_end or said.get("end") is True
            shared.wake_sides()

    def _keep_time(self, member: Member) -> None:
        now = self._shared.clock.now()
        said = protocol.loads(member.name, member.content, self._where)
        with self._shared.changed:
            if "echo" in said:
                sent, came, echoed = (protocol.moment(said, key, member.name, self._where) for key in ("echo", "came", "sent"))
                if self._shared.outgoing.is_answered(sent):
                    self._shared.exchanges.count(exchange(sent, came, echoed, now))
                    self._shared.changed.notify_all()
                return
            self._connection.demand_next(protocol.whole(said, "next", member.name, self._where))
            self._shared.outgoing.echo(protocol.moment(said, "sent", member.name, self._where), now)
            self._shared.due.notify_all()

    def _answer_probe(self, member: Member) -> None:
        with self._shared.changed:
            self._shared.outgoing.answer_probe()
            self._shared.due.notify_all()

    def _measure(self, member: Member) -> None:
        shared, probe = self._shared, self._connection.probe
        with shared.changed:
            best = shared.exchanges.best
            probe.answered(best.round_trip if best else 0.0)
            if probe.is_over and probe.throughput is not None:
                shared.throughput = probe.throughput
                shared.packer.measured(probe.throughput)
            shared.changed.notify_all()
            shared.due.notify_all()

    def _end(self, member: Member) -> None:
        with self._shared.changed:
            self._connection.demand_next(self._whole(member, "next"))
            self._shared.outgoing.heard_end = True
            self._shared.wake()

    def _fail(self, member: Member) -> None:
        self._shared.was_left = True
        raise Ended(protocol.refusal(member, self._where))

    def _warn(self, member: Member) -> None:
        said, now = protocol.loads(member.name, member.content, self._where), time.monotonic()
        if len(self._warned) < _MOST_WARNINGS or now - self._warned[0] > _MINUTE:
            self._warned.append(now)
            logger.warning("%s: %s", self._where, protocol.one_line(said.get("text")))

    def _whole(self, member: Member, key: str) -> int:
        said = protocol.loads(member.name, member.content, self._where)
        return protocol.whole(said, key, member.name, self._where)


class Ended(Exception):
    """The other side has ended the link, and says why."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error
