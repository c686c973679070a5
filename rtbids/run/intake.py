"""What comes in from whoever sends responses: bounded, and what is wrong with it named once and counted."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace

from rtbids.clock import CLOCK, Clock
from rtbids.errors import BadData
from rtbids.run import responses
from rtbids.run.lines import LONGEST, RateLimit, Splitter
from rtbids.run.responses import Response
from rtbids.wakeup import Wakeup

RATE, BURST = 200.0, 1000  # responses a second from one endpoint, and at once
MOST_WAITING = 4096
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
        """Return those that have come since, in order."""
        with self._lock:
            self._arrived.clear()
            taken = list(self._waiting)
            self._waiting.clear()
            return taken


class Intake:
    """What one endpoint brings, line by line, into `inbound`; called from the endpoint's thread."""

    def __init__(self, name: str, inbound: Inbound, clock: Clock = CLOCK) -> None:
        self.name = name
        self._inbound = inbound
        self._clock = clock
        self._limit = RateLimit(RATE, BURST)
        self._left_out: Counter[str] = Counter()
        self._said: set[str] = set()

    def connection(self) -> Callable[[bytes], None]:
        """Return what takes the bytes of one connection as they come; empty bytes are its end."""
        splitter = Splitter()

        def feed(content: bytes) -> None:
            arrived = self._clock.now()
            for line in splitter.feed(content):
                self.line(line, arrived)

        return feed

    def datagram(self, content: bytes) -> None:
        self.connection()(content + b"\n")

    def line(self, line: bytes | None, arrived: float, sent: float | None = None) -> None:
        """Take a line; None is one that was too long. `sent` is when, where the line does not say so (POSIX seconds)."""
        if line is not None and not line.strip():
            return
        if not self._limit.allows(arrived):
            self._leave_out("came too fast", f"more than {RATE:.0f} responses a second are left out")
        elif line is None:
            self._leave_out("too long", f"a line of more than {LONGEST} bytes is left out")
        else:
            self._parse(line, arrived, sent)

    def response(self, response: Response) -> None:
        """Take a response as it is."""
        if response.sender_time is not None and abs(ahead := response.sender_time - response.arrived) > DISAGREEMENT:
            self._say_once(
                "clock",
                f"the sender's clock is {abs(ahead):.6g} s {'ahead of' if ahead > 0 else 'behind'} this one; "
                "onsets are by the time of arrival here",
            )
        if not self._inbound.put(response):
            self._leave_out("came too fast", "more responses come than the run can take")

    def close(self) -> None:
        """Say what was left out altogether."""
        if total := self._left_out.total():
            parts = ", ".join(f"{count} {why}" for why, count in self._left_out.items())
            logger.warning("responses from %s: %d were left out (%s)", self.name, total, parts)

    def _parse(self, line: bytes, arrived: float, sent: float | None) -> None:
        try:
            response = responses.parse(line, arrived)
        except BadData as error:
            self._leave_out("not understood", f"a line is left out: {error}")
            return
        if unknown := responses.unknown_keys(line):
            self._say_once("keys", f"{len(unknown)} unknown keys are left out; known are {', '.join(responses.KEYS)}")
        self.response(response if response.sender_time is not None else replace(response, sender_time=sent))

    def _leave_out(self, why: str, text: str) -> None:
        self._left_out[why] += 1
        self._say_once(why, text)

    def _say_once(self, about: str, text: str) -> None:
        if about not in self._said:
            self._said.add(about)
            logger.warning("responses from %s: %s", self.name, text)
