"""What a thread that waits in a ``select`` is woken by."""

from __future__ import annotations

import os
import select
from contextlib import suppress


class Wakeup:
    """A flag that a ``select`` can wait for, set from a thread or a signal handler."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._set = False

    def __del__(self) -> None:
        os.close(self._read)
        os.close(self._write)

    def fileno(self) -> int:
        return self._read

    def set(self) -> None:
        self._set = True
        with suppress(BlockingIOError):  # full of earlier wake-ups: whoever waits will wake
            os.write(self._write, b"!")

    def is_set(self) -> bool:
        return self._set

    def clear(self) -> None:
        self._set = False
        try:
            while os.read(self._read, 4096):
                pass
        except BlockingIOError:
            pass

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, `timeout` seconds at the most; say whether it is."""
        if not self._set:
            select.select([self], [], [], timeout)
        return self._set
