"""A scanner simulated: a past run leaves as DICOM files, volume by volume at the pace of the scan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from rtbids.clock import CLOCK, Clock
from rtbids.replay.arrival import Pace, Receiver
from rtbids.replay.forms import Form, series_of
from rtbids.replay.plan import Course, Delivery, deliveries
from rtbids.replay.series import Series
from rtbids.volume import Item, RunEnd, run_key
from rtbids.wakeup import Wakeup

RunKey: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class File:
    """A file's name, and what gives its content when its time comes."""

    name: str
    content: Callable[[], bytes]


@dataclass(frozen=True)
class Exported:
    """One volume as files: `moment` seconds after the scan's beginning, `step` seconds before the next one."""

    moment: float
    step: float
    files: tuple[File, ...]


def exported(items: Iterable[Item], form: Form, study: int, volumes: Mapping[RunKey, int] | None = None) -> Iterator[Exported]:
    """Give the volumes of runs as DICOM of a form; a run is a series, and a volume that is missing leaves its gap.

    Parameters
    ----------
    study
        A number of this replay's own, so that no image is taken for one of another replay.
    volumes
        How many volumes each run has, by its `run_key`: what the headers announce where it is known.
    """
    series: Series | None = None
    begin, number = 0.0, 0
    for item in items:
        if isinstance(item, RunEnd):
            begin += (item.count + len(item.missing)) * series.repetition_time if series else 0.0
            series = None
            continue
        if series is None:
            number += 1
            planned = (volumes or {}).get(run_key(item.entities))
            series = series_of(item, form, number=number, study=study, volumes=planned)
        contents = series.dicoms(item.data, item.index)
        yield Exported(
            begin + item.index * series.repetition_time, series.repetition_time, _named(contents, series, item.index)
        )


def _named(contents: list[bytes], series: Series, index: int) -> tuple[File, ...]:
    """Give files names as vendors do: study, series, image."""
    first = index * len(contents) + 1
    names = (f"{series.study:03}_{series.number:06}_{image:06}.dcm" for image in range(first, first + len(contents)))
    return tuple(File(name, lambda content=content: content) for name, content in zip(names, contents, strict=True))  # type: ignore[misc]


def play(
    scan: Iterable[Exported],
    course: Course,
    receive: Receiver,
    *,
    speed: float | None = 1.0,
    clock: Clock = CLOCK,
    stop: Wakeup | None = None,
) -> int:
    """Let the files of a scan leave one after the other, each at its moment, and say how many did.

    Moments are counted from the beginning, which is when the first file is ready: what is late once is on time again with the
    next volume. `speed` 2 is twice as fast, None as fast as the files are taken; `stop` ends the scan in the middle of a wait.
    """
    pace: Pace | None = None
    sent = 0
    for file, delivery in _planned(scan, course, 0.0 if speed is None else 1.0 / speed):
        content = file.content()
        pace = pace or Pace(clock, stop)
        if not pace.until(delivery.moment):
            break
        receive(file.name, content, delivery, pace)
        sent += 1
    return sent


def _planned(scan: Iterable[Exported], course: Course, stretch: float) -> Iterator[tuple[File, Delivery]]:
    for volume, one in enumerate(scan):
        for delivery in deliveries(volume, len(one.files), one.moment * stretch, one.step * stretch, course):
            yield one.files[delivery.image], delivery
