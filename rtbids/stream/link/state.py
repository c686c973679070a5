"""How a link stands, for a screen, a status file or a decision."""

from __future__ import annotations

from dataclasses import dataclass

from rtbids.stream.wire import Member


@dataclass(frozen=True)
class Arrived:
    """A member of the other side. Where `dropped` is not 0 it marks that many that were dropped there, `number` the last."""

    number: int
    member: Member
    dropped: int = 0


@dataclass(frozen=True)
class State:
    """Times are POSIX seconds by the link's clock; counts are of members unless named otherwise."""

    is_up: bool
    since: float  # when it came up or went down
    heard: float | None  # when something last came, None while it is down
    cuts: int  # connections that were lost after they were up
    renewed: int  # how often the far side had to begin anew
    problem: str  # why it is down, in one line
    attempts: int  # failed ones since it went down
    sent: int  # members that were handed to `send`
    taken: int  # members of the other side that are here
    safe: int  # members that the other side has made safe
    waiting_bytes: int
    waiting_members: int
    disk_bytes: int
    dropped: int
    round_trip: float | None  # seconds
    offset: float | None  # seconds, the other's clock minus ours
    uncertainty: float | None
    bytes_out: int
    bytes_in: int
    throughput: float | None  # bytes/s on the way out, as measured when the connection began
    compression: str  # "" or "gzip"
    far_version: str  # of rtbids over there, "" until it is known
    marked: int = 0  # of those waiting, that were dropped
