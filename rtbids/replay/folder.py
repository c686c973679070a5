"""DICOM files that are there, as the scan that they were: series after series, volume after volume, byte for byte."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from rtbids.convert import classic, decode, dicom, enhanced, functional, geometry, header, one_series, pixels
from rtbids.convert.stack import MALFORMED
from rtbids.errors import BadData
from rtbids.replay.simulator import Exported, File
from rtbids.wakeup import Wakeup

logger = logging.getLogger("rtbids")

_AT_ONCE = 1.0  # seconds that a series takes which is not functional: it leaves as a whole when it is reconstructed


@dataclass(frozen=True)
class _Image:
    """What is remembered of a file until its time comes.

    `volume` is its place in the run, from 0, if a TR brings one image, `volume_of_several` if it brings more (echoes); None
    where only the series can tell. `repetition_time` (seconds) is None where the series is not functional.
    """

    path: Path
    series: tuple[int, str]
    kind: tuple[int, str | None, bool]
    number: int
    depth: float
    volume: int | None
    volume_of_several: int | None
    repetition_time: float | None


def exported(source: Path, stop: Wakeup | None = None) -> Iterator[Exported]:
    """Give the files of a folder and those below it in order of acquisition: a functional series at its TR, others at once.

    Every header is read before the first file leaves. Files that are no whole DICOM images are named and left out.

    Raises
    ------
    BadData
        There is no image.
    """
    root = source if source.is_dir() else source.parent
    begin = 0.0
    images = sorted(_images(source, stop), key=lambda image: (image.series, image.number))
    if not images and not (stop and stop.is_set()):
        raise BadData(f"{source}: expected DICOM images, found none")
    for _, of_series in groupby(images, key=lambda image: image.series):
        volumes = _volumes(list(of_series))
        step = next(iter(volumes.values()))[0].repetition_time or _AT_ONCE
        for index, those in sorted(volumes.items()):
            files = tuple(File(str(image.path.relative_to(root)), image.path.read_bytes) for image in those)
            yield Exported(begin + index * step, step, files)
        begin += (max(volumes) + 1) * step


def _images(source: Path, stop: Wakeup | None) -> Iterator[_Image]:
    for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
        if stop and stop.is_set():
            return
        if not path.is_file() or path.name.startswith("."):
            continue
        try:
            yield _image(path)
        except OSError as error:
            logger.warning("%s: left out: cannot be read (%s)", path.name, error.strerror)
        except (BadData, *MALFORMED) as error:
            logger.warning("left out: %s", error)


def _image(path: Path) -> _Image:
    dataset = dicom.read(path.read_bytes(), path.name, 0.0).dataset
    whole = isinstance(decode.decoder(dataset), decode.Whole)
    of_slice = None if whole else classic.volume_number(dataset, classic.slice_count(dataset))
    return _Image(
        path,
        _series(dataset),
        kind=(functional.echo(dataset), functional.part(dataset), functional.is_corrected(dataset)),
        number=pixels.whole(dataset, "InstanceNumber", 1),
        depth=0.0 if whole else _depth(dataset),
        volume=decode.volume_number(dataset, several=False) if whole else of_slice,
        volume_of_several=decode.volume_number(dataset, several=True) if whole else of_slice,
        repetition_time=_repetition_time(dataset),
    )


def _series(dataset: Any) -> tuple[int, str]:
    """Return what sorts series; in the classic export of Siemens XA every volume is one, and they belong together."""
    number = one_series.number_of(dataset)
    return number, str(number) if classic.is_volume_series(dataset) else dicom.series_key(dataset)


def _repetition_time(dataset: Any) -> float | None:
    if not functional.is_functional(dataset):
        return None
    if enhanced.is_enhanced(dataset):
        dataset = enhanced.flat(dataset, dataset.PerFrameFunctionalGroupsSequence[0])
    return header.repetition_time(dataset)


def _depth(dataset: Any) -> float:
    """Return the place of a slice (mm) along the normal."""
    normal = geometry.plane(dataset.ImageOrientationPatient, dataset.PixelSpacing).normal
    return round(float(normal @ [float(value) for value in dataset.ImagePositionPatient]), 2)


def _volumes(images: list[_Image]) -> dict[int, list[_Image]]:
    """Return the images of one series by volume; what is not functional is one."""
    if images[0].repetition_time is None:
        return {0: images}
    several = len({image.kind for image in images}) > 1
    slices = len({image.depth for image in images})
    volumes: dict[int, list[_Image]] = {}
    for image in images:
        index = image.volume_of_several if several else image.volume
        volumes.setdefault((image.number - 1) // slices if index is None else index, []).append(image)
    return volumes
