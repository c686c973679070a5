"""A source of images in a thread of its own, so that a test can write or send while it listens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from rtbids.clock import CLOCK
from rtbids.convert.dicom import Instance
from rtbids.wakeup import Wakeup

LONG = 20.0  # seconds: the bound of a wait for something that takes milliseconds


class Listening:
    """What has come of a source: `numbers` are the Instance Numbers in order."""

    def __init__(self, source: Callable[..., Iterator[Instance]], **options: Any) -> None:
        self.numbers: list[int] = []
        self.faults: list[str] = []
        self.modes: list[str] = []
        self.error: Exception | None = None
        self._stop = Wakeup()
        self._changed = threading.Condition()
        self._ready = threading.Event()
        options = {"stop": self._stop, "on_mode": self._told, "faults": self.faults, **options}
        self._thread = threading.Thread(target=self._run, args=(source, options), daemon=True)
        self._thread.start()
        assert self._ready.wait(LONG)

    def take(self, instance: Instance) -> None:
        """Keep of an image what the test wants; what follows is not asked for before this is done."""

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; it is asked again whenever something came, and now and then."""
        deadline = CLOCK.now() + LONG
        with self._changed:
            while not condition():
                assert CLOCK.now() < deadline, f"came: {self.numbers}, faults: {self.faults}, error: {self.error}"
                self._changed.wait(0.02)

    def came(self, count: int) -> list[int]:
        self.until(lambda: len(self.numbers) >= count)
        return self.numbers

    def stop(self) -> None:
        self._stop.set()
        self.ended()

    def ended(self) -> None:
        self._thread.join(LONG)
        assert not self._thread.is_alive()

    def _told(self, mode: str) -> None:
        self.modes.append(mode)
        self._ready.set()

    def _run(self, source: Callable[..., Iterator[Instance]], options: dict[str, Any]) -> None:
        try:
            for instance in source(**options):
                self.take(instance)
        except Exception as error:
            self.error = error
        self._ready.set()

    def note(self, instance: Instance) -> None:
        """Count an image as come."""
        with self._changed:
            self.numbers.append(int(instance.dataset.InstanceNumber))
            self._changed.notify_all()
