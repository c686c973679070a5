"""What a script has asked for at the console, done in a thread of the run: its loop never waits for a disk."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from rtbids.errors import ConnectionLost, ExperimentFault, RtbidsError
from rtbids.priority import first_in_line
from rtbids.run.console.call import Answer, Call, Found, Refused
from rtbids.run.one_line import short
from rtbids.run.responses.lines import RateLimit

MOST_WAITING = 16  # calls of one experiment
LAST = 1.0  # seconds that one which is under way when the run ends may take
BURST, RATE = 20, 0.2  # refusals that are said at once, and a second in the long run
logger = logging.getLogger("rtbids")
Outcome: TypeAlias = Found | RtbidsError
Tell: TypeAlias = Callable[[Outcome], None]


class Errands:
    """The calls of one experiment, one at a time, in the order in which they came.

    Attributes
    ----------
    counts
        How many files were read and written, and how many calls refused.

    Parameters
    ----------
    answer
        Does a call.
    """

    def __init__(self, experiment: str, answer: Answer) -> None:
        self.counts = {"Read": 0, "Written": 0, "Refused": 0}
        self._experiment = experiment
        self._answer = answer
        self._waiting: queue.Queue[tuple[Callable[[], Call], Tell] | None] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._limit = RateLimit(RATE, BURST)
        self._unsaid = 0

    def run(self, call: Callable[[], Call], tell: Tell) -> None:
        """Have a call done, and `tell` called with what came of it, in another thread; never wait."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="console", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait((call, tell))
        except queue.Full:
            tell(ConnectionLost(f"the console is behind: {MOST_WAITING} calls wait already"))

    def ask(self, call: Call) -> Found:
        """Have a call done and wait for it; raise what went wrong, and TooLate where it takes too long."""
        outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self.run(lambda: call, outcomes.put)
        try:
            outcome = outcomes.get(timeout=call.left)
        except queue.Empty:
            raise call.too_late from None
        if isinstance(outcome, RtbidsError):
            raise outcome
        return outcome

    def close(self) -> None:
        """Let the thread end; it may hang in a disk that does not answer, and is left there."""
        if self._thread is None:
            return
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(LAST)
        if self._unsaid:
            logger.warning("%s: %d more calls of run.console were refused", self._experiment, self._unsaid)

    def _serve(self) -> None:
        with first_in_line():  # else the loop would wait where others want the processor and this thread holds the interpreter
            while (errand := self._waiting.get()) is not None:
                call, tell = errand
                tell(self._outcome(call))

    def _outcome(self, understood: Callable[[], Call]) -> Outcome:
        try:
            call = understood()
            call.check_time()
            found = self._answer(call)
        except Refused as error:
            self._refused(error)
            return error
        except RtbidsError as error:
            return error
        except Exception as error:  # whatever it is, it costs this call and no other
            logger.debug("%s", self._experiment, exc_info=True)
            return ExperimentFault(f"the console cannot do it ({short(error)})")
        if call.kind in ("read", "write"):
            self.counts["Read" if call.kind == "read" else "Written"] += 1
        return found

    def _refused(self, error: Refused) -> None:
        self.counts["Refused"] += 1
        if self._limit.allows(time.monotonic()):
            logger.warning("%s: run.console refuses: %s", self._experiment, short(error))
        else:
            self._unsaid += 1
