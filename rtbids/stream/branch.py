"""One destination of a stream: a bounded queue, and a thread that brings to its place what waits there.

So no destination waits for another one, and whoever watches waits for none, but where a queue is full and may not drop.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from rtbids.receipt import settle
from rtbids.stream.units import Unit

WhenFull = Literal["block", "drop"]
Units: TypeAlias = Iterator[Unit | None]
Sink: TypeAlias = Callable[[Units], None]
LOOK = 0.2  # seconds without a unit after which a sink may look after other things
ROOM = 64 << 20  # bytes
MOST = 1024  # units


@dataclass(frozen=True)
class Count:
    """How far a destination is; `images` are volumes or files that its sink has done with."""

    images: int = 0
    size: int = 0
    waiting: int = 0
    waiting_size: int = 0
    dropped: int = 0


class Branch:
    """A sink in a thread of its own, and what waits for it.

    The sink takes units, and None where none came for a moment; what it raises is `error`, and `failed` hears of it unless it
    is the source's. Where the queue is full and `when_full` says drop, the oldest units go that the rest can be read without.
    `says` gives what there is to tell of the place beside the count.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        *,
        when_full: WhenFull = "block",
        room: int = ROOM,
        failed: Callable[[BaseException], None] = lambda error: None,
        says: Callable[[], list[str]] = list,
    ) -> None:
        self.name = name
        self.says = says
        self.error: BaseException | None = None
        self._sink = sink
        self._drops = when_full == "drop"
        self._room = room
        self._failed = failed
        self._waiting: deque[Unit] = deque()
        self._count = Count()
        self._changed = threading.Condition()
        self._source_error: BaseException | None = None
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name=f"to {name}", daemon=True)

    def start(self) -> Branch:
        self._thread.start()
        return self

    @property
    def count(self) -> Count:
        with self._changed:
            return self._count

    def put(self, unit: Unit) -> None:
        """Hand over a unit; waits, or drops, where the queue is full. After the sink has failed nothing is taken."""
        with self._changed:
            while self.error is None and not self._has_room(unit):
                if not (self._drops and self._drop()):
                    self._changed.wait()
            if self.error is None:
                self._waiting.append(unit)
                self._note(waiting=1, waiting_size=unit.size)
                self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Say that no more comes: in order, or because of an `error`, which the sink then raises."""
        with self._changed:
            self._is_over, self._source_error = True, error
            self._changed.notify_all()

    def join(self) -> None:
        self._thread.join()

    def _has_room(self, unit: Unit) -> bool:
        if not self._waiting:
            return True
        return len(self._waiting) < MOST and self._count.waiting_size + unit.size <= self._room

    def _drop(self) -> bool:
        for place, unit in enumerate(self._waiting):
            if unit.may_be_lost:
                del self._waiting[place]
                self._note(waiting=-1, waiting_size=-unit.size, dropped=1)
                settle(unit.receipts)
                return True
        return False

    def _note(self, **changes: int) -> None:
        count = self._count
        self._count = replace(count, **{name: getattr(count, name) + change for name, change in changes.items()})

    def _run(self) -> None:
        try:
            self._sink(self._units())
        except BaseException as error:
            with self._changed:
                self.error = error
                self._waiting.clear()
                self._changed.notify_all()
            if error is not self._source_error:
                self._failed(error)

    def _units(self) -> Units:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._is_over, LOOK)
                unit = self._waiting.popleft() if self._waiting else None
                if unit is not None:
                    self._note(waiting=-1, waiting_size=-unit.size)
                    self._changed.notify_all()
                elif self._source_error is not None:
                    raise self._source_error
                elif self._is_over:
                    return
            yield unit
            if unit is not None:
                with self._changed:
                    self._note(images=int(unit.is_image), size=unit.size)
