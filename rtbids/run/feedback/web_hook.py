"""Feedback to a web page: whoever serves one in this process subscribes, and ``ws:`` hands it every line."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rtbids.errors import UsageFault
from rtbids.run.feedback.feedback import Row

Subscriber: TypeAlias = Callable[[Row], None]
_subscribers: list[Subscriber] = []
_lock = threading.Lock()


@contextmanager
def subscribed(subscriber: Subscriber) -> Iterator[None]:
    """Let `subscriber` have the lines of every run in this process that goes to ``ws:``; it is called from a thread."""
    with _lock:
        _subscribers.append(subscriber)
    try:
        yield
    finally:
        with _lock:
            _subscribers.remove(subscriber)


class Publication:
    """Hand each line to all that are subscribed at that moment."""

    def __init__(self) -> None:
        if not _subscribers:
            raise UsageFault("ws: no web page is served by this run", "use tcp://host:port, which a program connects to")

    def write(self, row: Row) -> None:
        with _lock:
            present = list(_subscribers)
        for subscriber in present:
            subscriber(row)

    def close(self) -> None:
        """Nothing to close."""
