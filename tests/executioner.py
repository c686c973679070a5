"""Work in a process of its own, which is killed before one of its operations: a fault of it is told, the kill is none."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POINTS = ("open", "fsync", "replace", "rename", "unlink", "mkdir", "rmdir")
FAULTY = 70
LEAST = 1024  # bytes that are written at once


class Executioner:
    """Kills this process before the operation of a given number, a file of which may be written in part."""

    def __init__(self, at: int) -> None:
        self._left = at
        self._turn = threading.Lock()

    def tick(self) -> None:
        with self._turn:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()  # a signal to oneself may come a moment later

    def watch(self, *databases: type) -> None:
        """Count what is done to files from now on, and the transactions of `databases`."""
        for name in POINTS:
            setattr(os, name, self._ticking(getattr(os, name)))
        os.write = self._ticking(_in_parts(os.write))  # type: ignore[assignment]
        for database in databases:
            database.writing = self._committing(database.writing)  # type: ignore[attr-defined]

    def _ticking(self, operation: Callable) -> Callable:
        def ticking(*args, **kwargs):
            self.tick()
            return operation(*args, **kwargs)

        return ticking

    def _committing(self, writing: Callable) -> Callable:
        @contextmanager
        def ticking(database) -> Iterator:
            with writing(database) as transaction:
                yield transaction
                self.tick()
            self.tick()

        return ticking


def _in_parts(write: Callable) -> Callable:
    """Write the half at the most, as the system may: a kill finds files that are begun."""

    def some(descriptor, content):
        view = memoryview(content)
        return write(descriptor, view[: max(LEAST, len(view) // 2)])

    return some


def in_a_child(work: Callable[[], object], told: Path | None = None) -> int:
    """Do `work` in a process of its own, and return its number; a fault of it is written into `told`."""
    child = os.fork()
    if child == 0:
        code = FAULTY
        try:
            work()
            code = 0
        except BaseException:
            _tell(told)
        finally:
            os._exit(code)
    return child


def _tell(told: Path | None) -> None:
    if told is None:
        traceback.print_exc()
    else:
        told.write_text(traceback.format_exc())


def is_killed(child: int, told: Path) -> bool:
    """Wait for a child of `in_a_child`; say whether it was killed, and not done. Its fault is that of the test."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, told.read_text() if told.exists() else "it ended without a word"
    return False
