"""What comes in from whoever sends responses: bounded, and what is wrong with it named once and counted."""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict, deque
from dataclasses import replace

from rtbids.clock import CLOCK, Clock
from rtbids.errors import BadData
from rtbids.run.responses import responses
from rtbids.run.responses.lines import LONGEST, RateLimit, Splitter
from rtbids.run.responses.responses import Response
from rtbids.wakeup import Wakeup

RATE, BURST = 200.0, 1000  # responses a second from one sender, and at once
SENDERS = 4  # by one endpoint come as many as these may send
LINES, AT_FIRST = 2000.0, 5000  # lines a second from one sender, be they responses or not, and at once
PAUSE = 0.5  # seconds for which nothing is read from a sender of more
DATAGRAMS = 5000  # a second by one endpoint, and at once: more would take the processor from the run
REST = 0.02  # seconds for which none is read where there are more
MOST_SENDERS = 64  # of datagrams, whose pace is known
MOST_WAITING = 4096
AT_ONCE = 64  # responses that the run takes between two looks at what is due
DISAGREEMENT = 1.0  # seconds between two clocks
logger = logging.getLogger("rtbids")


class Inbound:
    """The responses that have come and were not taken yet; a ``select`` may wait for `fileno`."""

    def __init__(self) -> None:
        self._waiting: deque[Response] = deque()
        self._lock = threading.Lock()
        self._arrived = Wakeup()

    def fileno(self) -> int:
        return self._arrived.fileno()

    def put(self, response: Response) -> bool:
        """Add a response; False where there is no room."""
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                return False
            self._waiting.append(response)
            self._arrived.set()
            return True

    def take(self) -> list[Response]:
        """Return those that have come since, in order; of many the rest the next time, for which `fileno` stays readable."""
        with self._lock:
            taken = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            if not self._waiting:
                self._arrived.clear()
            return taken


class Intake:
    """What one endpoint brings into `inbound`; called from the endpoint's thread."""

    def __init__(self, name: str, inbound: Inbound, clock: Clock = CLOCK) -> None:
        self.name = name
        self.clock = clock
        self._inbound = inbound
        self._limit = RateLimit(SENDERS * RATE, SENDERS * BURST)
        self._datagrams = RateLimit(DATAGRAMS, DATAGRAMS)
        self._senders: OrderedDict[object, Connection] = OrderedDict()
        self._left_out: Counter[str] = Counter()
        self._said: set[str] = set()

    def connection(self) -> Connection:
        """Return what takes the bytes of one connection."""
        return Connection(self)

    def datagram(self, content: bytes, sender: object = None) -> float:
        """Take a datagram, which may hold several lines; return for how many seconds no further one is to be read."""
        if sender not in self._senders and len(self._senders) >= MOST_SENDERS:
            self._senders.popitem(last=False)
        self._senders.setdefault(sender, self.connection()).feed(content + b"\n")
        return 0.0 if self._datagrams.allows(self.clock.now()) else REST

    def parsed(self, line: bytes, arrived: float) -> Response | None:
        """Return the response that a line is; None where it is none."""
        try:
            response, unknown = responses.parse(line, arrived)
        except BadData as error:
            self.leave_out("not understood", f"a line is left out: {error}")
            return None
        if unknown:
            self._say_once("keys", f"{len(unknown)} unknown keys are left out; known are {', '.join(responses.KEYS)}")
        return response

    def has_room(self, now: float) -> bool:
        """Say whether one more response may come in by this endpoint."""
        return self._limit.allows(now)

    def response(self, response: Response) -> None:
        """Take a response as it is."""
        if response.sender_time is not None and abs(ahead := response.sender_time - response.arrived) > DISAGREEMENT:
            self._say_once(
                "clock",
                f"the sender's clock is {abs(ahead):.6g} s {'ahead of' if ahead > 0 else 'behind'} this one; "
                "onsets are by the time of arrival here",
            )
        if not self._inbound.put(response):
            self.leave_out("came too fast", "more responses come than the run can take")

    def close(self) -> None:
        """Say what was left out altogether."""
        if total := self._left_out.total():
            parts = ", ".join(f"{count} {why}" for why, count in self._left_out.items())
            logger.warning("responses from %s: %d were left out (%s)", self.name, total, parts)

    def leave_out(self, why: str, text: str) -> None:
        """Count what is left out, and say so the first time."""
        self._left_out[why] += 1
        self._say_once(why, text)

    def lost(self, count: int) -> None:
        """Count datagrams that came faster than they could be read, so that nobody knows what was in them."""
        if count:
            self._left_out["lost before they were read"] += count
            self._say_once("lost", "datagrams come faster than they can be read: some are lost (over TCP none would be)")

    def _say_once(self, about: str, text: str) -> None:
        if about not in self._said:
            self._said.add(about)
            logger.warning("responses from %s: %s", self.name, text)


class Connection:
    """What one sender brings, at its own pace: one who sends too much takes no other's place."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._splitter = Splitter()
        self._lines = RateLimit(LINES, AT_FIRST)
        self._responses = RateLimit(RATE, BURST)

    def feed(self, content: bytes) -> float:
        """Take bytes as they come, of which empty ones are the end; return for how many seconds no more is to be read."""
        arrived, is_too_fast = self._intake.clock.now(), False
        for line in self._splitter.feed(content):
            is_too_fast = is_too_fast or not self.line(line, arrived)
            if is_too_fast:
                self.leave_out()
        return PAUSE if is_too_fast else 0.0

    def line(self, line: bytes | None, arrived: float, sent: float | None = None) -> bool:
        """Take a line; None is one that was too long. `sent` is when, where the line does not say so (POSIX seconds).

        Returns whether it came at a pace that is allowed; otherwise it was not taken.
        """
        if line is not None and not line.strip():
            return True
        if not self._lines.allows(arrived):
            return False
        if line is None:
            self._intake.leave_out("too long", f"a line of more than {LONGEST} bytes is left out")
        elif (response := self._intake.parsed(line, arrived)) is not None:
            if not (self._responses.allows(arrived) and self._intake.has_room(arrived)):
                return False
            self._intake.response(response if response.sender_time is not None else replace(response, sender_time=sent))
        return True

    def leave_out(self) -> None:
        """Note that a line came too fast."""
        self._intake.leave_out("came too fast", f"more than {RATE:.0f} responses a second are left out")
