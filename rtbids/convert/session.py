"""The series of a session that are not functional: their files are kept on the disk until each series is over.

No volume waits for them: an image costs one small write, and what is done with a whole series is done elsewhere.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rtbids.clock import CLOCK, Clock
from rtbids.convert.dicom import Instance
from rtbids.receipt import abandon

logger = logging.getLogger("rtbids")
ARRIVING = 3.0  # seconds between two images of a series, at the most: scanners send a series in one go
QUIET = 15.0  # seconds without an image after which a series is over when another has begun; nothing hurries here
_MOST_REASONS = 5  # that are said of one series
_NOT_KEPT = "the disk did not take all of its images"


class Others(Protocol):
    """What the assembler of functional runs gives the other series to; `key` tells series apart."""

    @property
    def wake(self) -> float | None:
        """The moment (POSIX seconds) at which `tick` wants to be called."""
        ...

    def begun(self, key: str) -> None:
        """Hear that a series has begun, functional or not."""
        ...

    def named(self, number: int, protocol: str, entities: Mapping[str, str]) -> None:
        """Hear what the run of a functional series is called."""
        ...

    def add(self, key: str, number: int, instance: Instance, now: float, reason: str = "") -> None:
        """Take an image of a series that is not functional, or for some `reason` in no volume of one that is."""
        ...

    def tick(self, now: float) -> None:
        """Hear that time has passed."""
        ...

    def finish(self) -> None:
        """Hear that nothing more will come."""
        ...


@dataclass(frozen=True)
class Gathered:
    """The files of a series that is over, in the folder `place`.

    `sequel` counts how often the series had been over before: 0, but for files that come late, and -1 where it is not over, as
    its source was stopped while more of it may have been coming. `reason` is why they are not to be converted; empty where they
    are.
    """

    place: Path
    number: int
    description: str
    images: int
    sequel: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Run:
    """A functional run and the series that it was measured in."""

    number: int
    protocol: str
    entities: Mapping[str, str]


@dataclass
class _Open:
    """A series that is arriving."""

    place: Path
    number: int
    description: str
    sequel: int
    images: int = 0
    heard: float = 0.0  # as the assembler counts, for which a recording's time stands still
    taken: float = 0.0
    reasons: dict[str, None] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """Whether no rest can make an image of it: it has come late, or there is a reason against it."""
        return self.sequel > 0 or bool(self.reasons)


@dataclass
class Session:
    """Gathers series in folders that `folder` makes (of number and description), and hands each to `on_over` when it is over.

    A series is over when nothing of it has come for a while and another has begun, or at the end of the source; where
    `is_stopped` says that the source was told to end, not one that was still arriving. Any thread may call: on Ctrl-C the end
    is said while an image may still be coming in, which is then kept whole or not at all.
    """

    folder: Callable[[int, str], Path]
    on_over: Callable[[Gathered], None]
    on_run: Callable[[Run], None] = lambda run: None
    is_stopped: Callable[[], bool] = lambda: False
    clock: Clock = CLOCK
    _open: dict[str, _Open] = field(default_factory=dict)
    _closed: dict[str, int] = field(default_factory=dict)
    _latest: str = ""
    _deaf: bool = False  # the end was said, or the disk refused
    _finished: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def wake(self) -> float | None:
        """The moment (POSIX seconds) at which a series that another has overtaken is over."""
        with self._lock:
            return min((series.heard + QUIET for key, series in self._open.items() if key != self._latest), default=None)

    def begun(self, key: str) -> None:
        """Hear that a series has begun, functional or not."""
        self._latest = key

    def named(self, number: int, protocol: str, entities: Mapping[str, str]) -> None:
        """Pass on what the run of a functional series is called."""
        self.on_run(Run(number, protocol, entities))

    def add(self, key: str, number: int, instance: Instance, now: float, reason: str = "") -> None:
        """Keep an image on the disk; where that cannot be written, the other series are given up, never the volumes."""
        with self._lock:
            if self._deaf:
                self._leave(key, instance)
                return
            try:
                self._keep(key, number, instance, now, reason)
            except OSError as error:
                self._deaf = True
                self._leave(key, instance)
                logger.warning("series that are not functional are left alone from here on: %s", error.strerror or error)

    def _keep(self, key: str, number: int, instance: Instance, now: float, reason: str) -> None:
        if key not in self._open:
            description = str(instance.dataset.get("SeriesDescription") or "")
            self._open[key] = _Open(self.folder(number, description), number, description, self._closed.get(key, 0))
        series = self._open[key]
        if reason and len(series.reasons) < _MOST_REASONS:
            series.reasons[reason] = None
        durable = any(receipt.durable for receipt in instance.receipts)
        _write(series.place / f"{series.images + 1:06d}.dcm", instance.content, durable=durable)
        series.images, series.heard = series.images + 1, now
        series.taken = self.clock.now()

    def _leave(self, key: str, instance: Instance) -> None:
        """Leave an image to its source for good; the series that lacks it is not whole."""
        abandon(instance.receipts)
        if key in self._open:
            self._open[key].reasons[_NOT_KEPT] = None

    def tick(self, now: float) -> None:
        """Hand over the series that are over at `now`."""
        with self._lock:
            self._hand_over([key for key, series in self._open.items() if key != self._latest and now >= series.heard + QUIET])

    def finish(self) -> None:
        """Hand over what is left; nothing is taken any more, and to say it again changes nothing.

        Where the source was stopped, a series that was still arriving stays where it is, for its rest.
        """
        with self._lock:
            if self._finished:
                return
            self._deaf = self._finished = True
            since = self.clock.now() - ARRIVING if self.is_stopped() else math.inf
            self._hand_over([key for key, series in self._open.items() if series.taken < since or series.is_settled])

    @property
    def cut(self) -> list[Gathered]:
        """The series that were still arriving when the source was stopped."""
        with self._lock:
            left = sorted(self._open.values(), key=lambda series: series.number) if self._finished else []
        return [Gathered(series.place, series.number, series.description, series.images, -1) for series in left]

    def _hand_over(self, keys: list[str]) -> None:
        """Close series in the order in which they were measured."""
        for key in sorted(keys, key=lambda key: self._open[key].number):
            self._close(key)

    def _close(self, key: str) -> None:
        series = self._open.pop(key)
        self._closed[key] = series.sequel + 1
        reason = "; ".join(series.reasons)
        self.on_over(Gathered(series.place, series.number, series.description, series.images, series.sequel, reason))


def _write(path: Path, content: bytes | bytearray | memoryview, *, durable: bool) -> None:
    """Write a file that its owner alone may read, for it names a patient; with `durable` to the disk itself."""
    part = path.with_suffix(".part")  # what a kill leaves of an image is none
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(descriptor)
        part.rename(path)
    except OSError:  # nor is what a full disk takes of it
        part.unlink()
        raise


def unfit(header: Any) -> str | None:
    """Say why the image with this header is no measurement that BIDS has a place for; None where it may be one."""
    if str(header.get("BurnedInAnnotation") or "").upper() == "YES":
        return "text is burned into its pixels"
    kinds = [str(value).upper() for value in header.get("ImageType") or ()]
    uid = str(header.get("SOPClassUID") or "")
    if uid.startswith("1.2.840.10008.5.1.4.1.1.7") or header.get("ConversionType") or "SCREEN SAVE" in kinds:
        return "it is a screenshot"
    if not uid.startswith("1.2.840.10008.5.1.4.1.1.4"):
        return "it is no MR image"
    return None
