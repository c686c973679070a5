"""Work that takes its time, such as reading a whole folder: done in a thread, taken up by the loop that ordered it."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from rtbids.priority import give_way
from rtbids.wakeup import Wakeup

T = TypeVar("T")


class Aside(threading.Thread):
    """Does one thing after another. A ``select`` waits for it; then `take_up` calls what is to follow, in the loop's thread."""

    def __init__(self) -> None:
        super().__init__(name="aside", daemon=True)
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._done: deque[Callable[[], None]] = deque()
        self._woken = Wakeup()
        self.start()

    def fileno(self) -> int:
        return self._woken.fileno()

    def do(self, work: Callable[[], T], then: Callable[[T], None], otherwise: Callable[[Exception], None]) -> None:
        """Have ``work()`` done, and what follows called with what it returns or raises."""

        def ordered() -> None:
            try:
                found = work()
            except Exception as error:
                fault = error
                self._done.append(lambda: otherwise(fault))
            else:
                self._done.append(lambda: then(found))
            self._woken.set()

        self._orders.put(ordered)

    def take_up(self) -> None:
        self._woken.clear()
        while self._done:
            self._done.popleft()()

    def close(self, timeout: float = 0.0) -> None:
        """End once all that was ordered is done, waiting for it `timeout` seconds at the most."""
        self._orders.put(None)
        self.join(timeout)

    def run(self) -> None:
        give_way()
        while (ordered := self._orders.get()) is not None:
            ordered()
