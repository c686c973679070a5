"""The connection to the scripts' machine, as the deadlines of a run and its results see it."""

from __future__ import annotations

import logging

from rtbids.clock import CLOCK
from rtbids.run.far.translating import on_our_clock
from rtbids.run.process.channel import Message
from rtbids.run.process.host import Connection, Stage
from rtbids.stream.link import Link, State
from rtbids.stream.link.terms import NEAR

CONFIRMED = 0.1  # seconds, or a few times there and back, in which the far side confirms what it was sent
QUIET = 1.5 * NEAR.beat  # seconds without a byte, of a connection that says something at every beat
MUCH = 32e3  # bytes a second: more than heartbeats, receipts and answers
EVERY = 1.0  # seconds between two looks
_ROUND_TRIPS = 3
logger = logging.getLogger("rtbids")


class Way:
    """The near end's view of a link; `is_over` once it has ended for good."""

    def __init__(self, link: Link) -> None:
        self.is_over = False
        self.printed = 0  # bytes that have come of what scripts print: whoever prints is not waited for
        self._link = link
        self._coming = Flow()
        self._has_warned = False

    @property
    def cut_since(self) -> float | None:
        """When the connection went down, POSIX seconds; None while it is up."""
        state = self._link.state
        return None if state.is_up and not self.is_over else state.since

    def was_cut(self, since: float, sent: tuple[int, float] | None) -> bool:
        """Say whether what the script was given since then may not have come there, or its answer here, for want of it.

        `sent`: number of the latest member for the script, and when that was.
        """
        return self.is_over or may_be_cut(self._link.state, since, sent, CLOCK.now())

    def held_up(self, stage: Stage) -> float:
        """Return until when it is known to have kept a script from being heard, POSIX seconds; 0 where it has not."""
        state = self._link.state
        up = state.since if state.is_up and state.cuts else 0.0
        return max(up, self._coming.latest) if stage == "end" else up

    @property
    def connection(self) -> Connection:
        state = self._link.state
        return Connection(state.cuts, state.round_trip, state.uncertainty)

    def look(self) -> None:
        """Look at what comes; to be called about every second."""
        self._coming.note(CLOCK.now(), self._link.state.bytes_in - self.printed)

    def translated(self, message: Message) -> Message:
        """Return a script's line with its times by our clock, and without them as long as the other one is not known."""
        offset = self._link.state.offset
        ours = on_our_clock(message, offset, CLOCK.now())
        if offset is None and ours != message and not self._has_warned:
            self._has_warned = True
            logger.warning("%s: its clock is not known yet: until then the tables lack when scripts answered", self._link.where)
        return ours


class Flow:
    """When much last came, by how many bytes there were at some moments."""

    def __init__(self) -> None:
        self.latest = 0.0
        self._moment, self._count = 0.0, 0

    def note(self, moment: float, count: int) -> None:
        seconds = moment - self._moment
        if seconds < EVERY / 2:
            return
        if count - self._count > MUCH * seconds:
            self.latest = moment
        self._moment, self._count = moment, count


def may_be_cut(state: State, since: float, sent: tuple[int, float] | None, now: float) -> bool:
    """Say whether what was given since then may be late for the connection: it was down, is silent or has confirmed nothing."""
    if state.heard is None or now - state.heard > QUIET or (state.cuts and state.since > since):
        return True
    late = max(CONFIRMED, _ROUND_TRIPS * (state.round_trip or 0.0))
    return sent is not None and state.safe <= sent[0] and now > sent[1] + late
