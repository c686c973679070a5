"""Stages are functions over iterators; a pipeline is a source plus stages.

A stage is a generator: it takes items at their last byte, keeps its state in local variables and passes on what it does not
know. `Inbox` is the one place where a thread stands between two stages.
"""

from __future__ import annotations

import gc
import select
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Generic, TypeAlias, TypeVar

from rtbids.clock import CLOCK
from rtbids.receipt import settle
from rtbids.volume import Belongings, Entities, Item, RunEnd, Volume, run_key
from rtbids.wakeup import Wakeup

T = TypeVar("T")
R = TypeVar("R")
Source: TypeAlias = Iterable[Item]
Stage: TypeAlias = Callable[[Iterator[Item]], Iterator[Item]]
Sink: TypeAlias = Callable[[Iterator[Item]], None]


def pipe(source: Iterable[Any], *stages: Callable[[Iterator[Any]], Any]) -> Any:
    """Return `source` seen through `stages`, or what the last one, a sink, returns."""
    stream: Any = iter(source)
    for stage in stages:
        stream = stage(stream)
    return stream


def first_volumes(items: Iterable[Item], most: int | None) -> Iterator[Item]:
    """Pass on `most` volumes (None: all), then end the runs that are open, and the stream."""
    indices: dict[tuple[tuple[str, str], ...], tuple[Entities, list[int]]] = {}
    count = 0
    for item in items:
        key = run_key(item.entities)
        yield item
        if isinstance(item, RunEnd):
            indices.pop(key, None)
            continue
        indices.setdefault(key, (item.entities, []))[1].append(item.index)
        count += 1
        if count == most:
            break
    else:
        return
    for entities, seen in indices.values():
        missing = sorted(set(range(seen[-1] + 1)) - set(seen))
        yield RunEnd(entities, len(seen), tuple(missing))


def with_events(items: Iterable[Item], text: str, *, override: bool) -> Iterator[Item]:
    """Give every volume the events in `text`, the text of an ``events.tsv``; `override` replaces those it brings.

    A sidecar that describes the replaced table goes with it.
    """
    given: Belongings | None = None
    left: Belongings | None = None
    for item in items:
        if isinstance(item, Volume) and (override or item.events is None):
            if item.belongings is not given:  # once a run, so that its volumes share what is left
                given, left = item.belongings, _without_events(item.belongings)
            yield replace(item, events=text, belongings=left)
        else:
            yield item


def _without_events(belongings: Belongings | None) -> Belongings | None:
    if belongings is None or "events.json" not in belongings.files:
        return belongings
    return replace(belongings, files={name: content for name, content in belongings.files.items() if name != "events.json"})


def settled(items: Iterable[R]) -> Iterator[R]:
    """Let the source go of each item once whoever takes it asks for the next: a stage before one that writes it out."""
    for item in items:
        yield item
        settle(getattr(item, "receipts", ()))


def be_quick() -> None:
    """Set the interpreter up for a loop of short waits: 99th percentile of the latency 3.6 instead of 4.7 ms (make bench).

    What is loaded so far is never garbage: collecting it again and again costs milliseconds in the middle of a volume. The
    youngest are looked through often, which costs under a millisecond, where 50,000 took up to 25 ms; the older ones hardly
    ever. And a thread that has something to send should not wait for the 5 ms that another may hold the interpreter.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 1_000, 100)
    sys.setswitchinterval(0.0005)


class Inbox(Generic[T]):
    """Run `source` in a thread and hand out its items here, so that neither side's wait holds up the other's work.

    At most `size` items wait; then the source is held. Iterating gives the items in order, raises what the source raised, and,
    where `wake` is given, gives ``None`` when the moment that ``wake()`` names (POSIX seconds) has come without an item.
    A ``select`` may wait for `fileno` and then call `take`. The thread lives within `around`.
    """

    def __init__(
        self,
        source: Iterable[T],
        size: int = 8,
        wake: Callable[[], float | None] | None = None,
        around: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._source = source
        self._around = around
        self._wake = wake
        self._items: deque[T] = deque()
        self._room = threading.Semaphore(size)
        self._arrived = Wakeup()
        self._lock = threading.Lock()
        self._over = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._around():
                for item in self._source:
                    self._room.acquire()
                    with self._lock:
                        self._items.append(item)
                        self._arrived.set()
        except BaseException as error:
            self._error = error
        finally:
            with self._lock:
                self._over = True
                self._arrived.set()

    def fail(self, error: BaseException) -> None:
        """End the inbox from another thread: the next `take` of an empty inbox raises `error`."""
        with self._lock:
            self._error = self._error or error
            self._over = True
            self._arrived.set()

    def fileno(self) -> int:
        return self._arrived.fileno()

    def __len__(self) -> int:
        return len(self._items)

    def take(self) -> T | None:
        """Return the next item, or None where none has come; raise StopIteration at the end, or what the source raised."""
        with self._lock:
            if self._items:
                item = self._items.popleft()
                if not self._items and not self._over:
                    self._arrived.clear()
                self._room.release()
                return item
            if not self._over:
                self._arrived.clear()
                return None
        if self._error is not None:
            raise self._error
        raise StopIteration

    def __iter__(self) -> Iterator[T | None]:
        while True:
            moment = self._wake() if self._wake else None
            self._arrived.wait(None if moment is None else max(0.0, moment - CLOCK.now()))
            try:
                item = self.take()
            except StopIteration:
                return
            if item is not None or moment is not None:
                yield item

    def until(self, stop: Wakeup, grace: float = 1.0) -> Iterator[T]:
        """Give the items; once `stop` is set, those that come within `grace` seconds: the source may be blocked elsewhere."""
        give_up: float | None = None
        while True:
            if give_up is None and stop.is_set():
                give_up = CLOCK.now() + grace
            sources: list[Any] = [self._arrived] if give_up is not None else [self._arrived, stop]
            select.select(sources, [], [], None if give_up is None else max(0.0, give_up - CLOCK.now()))
            try:
                item = self.take()
            except StopIteration:
                return
            if item is not None:
                yield item
            elif give_up is not None and CLOCK.now() >= give_up:
                return
