"""Threads that answer for what goes wrong in them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rtbids.errors import RtbidsError, internal_fault


class Answerable(threading.Thread):
    """A daemon thread; what broke it off is raised where it is joined, with the `hint` what becomes of its work."""

    def __init__(self, target: Callable[[], None], name: str, hint: str) -> None:
        super().__init__(target=target, name=name, daemon=True)
        self._hint = hint
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            self._error = error

    def join(self, timeout: float | None = None) -> None:
        super().join(timeout)
        error, self._error = self._error, None  # once: who closes twice has heard it
        if isinstance(error, RtbidsError):
            raise error
        if error is not None:
            why = f"the {self.name} broke off: {internal_fault(error)}"
            raise RtbidsError(why, f"please report it; {self._hint}") from error
