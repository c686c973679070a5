"""What is asked of a far side and answered: waited for as long as there is hope, and no longer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rtbids.errors import ConnectionLost, StreamBroken
from rtbids.stream.link import Link, State

T = TypeVar("T")
_AHEAD = 16 << 20  # bytes that are on their way at a time
_LOOK = 0.02  # seconds; what is waited for is partly the state of the link, which gives no event
_SOON = 2.0  # seconds without a connection after which it is said what is waited for


class Exchange:
    """Members to the far side of a link, and its answers.

    Raises ConnectionLost where there has been no connection for `patience` seconds, nothing went on for IDLE, or the far side
    has forgotten what it was told; and what ended the link. `on_wait` is told why there is no connection.
    """

    IDLE = 600.0

    def __init__(self, link: Link, patience: float, on_wait: Callable[[str], None]) -> None:
        self._link = link
        self._patience = patience
        self._on_wait: Callable[[str], None] | None = on_wait

    def send(self, name: str, content: bytes) -> None:
        self._wait(lambda: self._link.is_over or self._link.state.waiting_bytes < _AHEAD)
        self._link.send(name, content)

    def ask(self, name: str, fields: Mapping[str, Any], answer: str) -> dict[str, Any]:
        """Send a question and return what the far side says next, which is to be `answer`."""
        self.send(name, json.dumps(fields).encode())
        try:
            arrived = self._wait(self._link.take)
        except StopIteration:
            raise ConnectionLost(f"{self._link.where} has ended") from None
        self._link.settle(arrived.number)
        if arrived.member.name != answer:
            raise StreamBroken(f"{self._link.where}: expected {answer}, found {arrived.member.name[:80]!r}")
        return _fields(arrived.member.content, answer)

    def _wait(self, look: Callable[[], T | None]) -> T:
        went_on = was_up = time.monotonic()
        seen = None
        while not (found := look()):
            state, now = self._link.state, time.monotonic()
            self._demand_memory(state)
            was_up = now if state.is_up else was_up
            went_on, seen = (now, (state.safe, state.taken)) if seen != (state.safe, state.taken) else (went_on, seen)
            if now - was_up > self._patience:
                raise ConnectionLost(state.problem or f"{self._link.where}: no connection for {self._patience:g} s")
            if now - went_on > self.IDLE:
                raise ConnectionLost(f"{self._link.where} has not gone on for {self.IDLE:g} s")
            if state.problem and now - was_up > _SOON and self._on_wait is not None:
                self._on_wait(state.problem)
                self._on_wait = None
            time.sleep(_LOOK)
        self._demand_memory(self._link.state)
        return found

    def _demand_memory(self, state: State) -> None:
        if state.renewed:
            raise ConnectionLost(f"{self._link.where} was started anew")


def _fields(content: memoryview, name: str) -> dict[str, Any]:
    try:
        found = json.loads(bytes(content))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise StreamBroken(f"{name}: expected a JSON object")
    return found
