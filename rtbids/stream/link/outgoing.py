"""What a link has to say on its connection, the most urgent first. Nothing here waits: time is given."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from rtbids.stream.link import protocol
from rtbids.stream.link.arrivals import Arrivals
from rtbids.stream.link.clock import REMEMBERED
from rtbids.stream.link.probe import NOISE, Probe
from rtbids.stream.link.spool import Entry, Spool
from rtbids.stream.link.window import Inbox, Window

_MOST_WARNINGS = 100  # that wait for a connection


@dataclass
class Turn:
    """What is written in one go."""

    said: list[tuple[str, bytes | memoryview]] = field(default_factory=list)
    entry: Entry | None = None
    is_last: bool = False

    def __bool__(self) -> bool:
        return bool(self.said) or self.entry is not None or self.is_last


class Outgoing:
    """Keeps what is still to be said: receipts, echoes, heartbeats, members, the end."""

    def __init__(self, spool: Spool, arrivals: Arrivals, beat: float) -> None:
        self.spool = spool
        self._arrivals = arrivals
        self.safe = 0  # members of the other side below this number are safe here
        self.heard_end = False
        self.is_ending = False
        self.is_closing = False
        self.fault: BaseException | None = None
        self.warnings: deque[str] = deque(maxlen=_MOST_WARNINGS)
        self._beat = beat
        self._probe: Probe | None = None
        self.connect(0, Inbox(), None)

    def connect(self, number: int, inbox: Inbox, probe: Probe | None) -> None:
        """Begin a connection on which member `number` is the first, to a side that has such an inbox."""
        self._cursor = number
        self.window = Window(inbox, number)
        self._beats: deque[float] = deque(maxlen=REMEMBERED)
        self._probe = probe
        self._has_begun = self._said_end = self.is_over = False
        self._said: tuple[int, bool] | None = None
        self._told: tuple[tuple[int, bool] | None, bool] = None, False
        self._next_beat = 0.0
        self._echo: tuple[float, float] | None = None
        self._answers = 0

    def is_answered(self, sent: float) -> bool:
        """Say whether a heartbeat of that time was sent and not answered before."""
        was_sent = sent in self._beats
        if was_sent:
            self._beats.remove(sent)
        return was_sent

    def echo(self, sent: float, came: float) -> None:
        """Note a heartbeat of the other side, which is answered."""
        self._echo = sent, came

    def answer_probe(self) -> None:
        self._answers = 1  # one is under way at a time

    @property
    def has_said_all(self) -> bool:
        """Whether all that is safe here, and the end, was written to this connection."""
        return self._told == ((self.safe, self.heard_end), self.is_ending)

    def written(self) -> None:
        """Note that the turns so far are on the wire."""
        self._told = self._said, self._said_end

    def wait(self, now: float) -> float:
        """Return how many seconds there are until the next heartbeat."""
        return max(0.0, self._next_beat - now)

    def turn(self, now: float, moment: float) -> Turn:
        """Return what is to be written now; nothing where nothing is. `now` is monotonic, `moment` POSIX seconds."""
        turn = Turn()
        if self.is_over:
            return turn
        self._say(turn, now, moment)
        if self.is_closing:
            self._close(turn)
        elif (entry := self.spool.get(self._cursor)) is not None:
            if self.window.has_room(entry.size):
                self._go_on(entry)
                turn.entry = entry
        elif self.is_ending and not self._said_end:
            self._said_end = True
            turn.said.append((protocol.END, protocol.dumps({"next": self._cursor})))
        return turn

    def _go_on(self, entry: Entry) -> None:
        self._cursor += entry.numbers
        self.spool.on_wire = max(self.spool.on_wire, self._cursor)
        self.window.put(self._cursor, entry.size)

    def _close(self, turn: Turn) -> None:
        self.is_over = turn.is_last = True
        if self.fault is not None:
            turn.said.append((protocol.REFUSED, protocol.refused(self.fault)))

    def _say(self, turn: Turn, now: float, moment: float) -> None:
        if not self._has_begun:
            self._has_begun = True
            turn.said.append((protocol.NEXT, protocol.dumps({"next": self._cursor})))
        if self._said != (self.safe, self.heard_end) or self._arrivals.is_worth_telling:
            self._said = self.safe, self.heard_end
            receipt = {"safe": self.safe, "given": self._arrivals.tell(), "end": self.heard_end}
            turn.said.append((protocol.SAFE, protocol.dumps(receipt)))
        if self._echo is not None:
            sent, came = self._echo
            self._echo = None
            echo = {"echo": sent, "came": came, "sent": moment}
            turn.said.append((protocol.ALIVE, protocol.dumps(echo)))
        while self.warnings:
            turn.said.append((protocol.WARNED, protocol.dumps({"text": protocol.one_line(self.warnings.popleft())})))
        if self._answers:
            self._answers = 0
            turn.said.append((protocol.PROBED, b"{}"))
        if now >= self._next_beat:
            self._next_beat = now + self._beat
            self._beats.append(moment)
            turn.said.append((protocol.ALIVE, protocol.dumps({"sent": moment, "next": self._cursor})))
        if self._probe is not None and self._probe.is_due:
            self._probe.sent()
            turn.said.append((protocol.PROBE, NOISE))
