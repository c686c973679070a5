"""What is written during a run, in order, by one thread: the disk may stall, the feedback may not."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from rtbids.priority import first_in_line
from rtbids.wakeup import Wakeup


class Recorder:
    """Do what it is given, one after another; `done` wakes whoever waits for it.

    After an action has raised, later ones are still done: each is for the data set's good. The first error is kept in `error`.
    """

    def __init__(self) -> None:
        self.done = Wakeup()
        self.error: Exception | None = None
        self._actions: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """How much waits to be written; whoever takes volumes in holds them back when it is much."""
        return self._actions.qsize()

    def do(self, action: Callable[[], None]) -> None:
        self._actions.put(action)

    def close(self) -> None:
        """Wait until all is done."""
        self._actions.put(None)
        self._thread.join()

    def _work(self) -> None:
        with first_in_line():
            while (action := self._actions.get()) is not None:
                try:
                    action()
                except Exception as error:
                    self.error = self.error or error
                self.done.set()
