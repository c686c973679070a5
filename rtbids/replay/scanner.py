"""A small scanner: a phantom's run as vendor-like DICOM files that appear in a folder at the pace of a scan."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

from rtbids.clock import CLOCK, Clock
from rtbids.errors import cannot_write
from rtbids.pipeline import Wakeup
from rtbids.replay.mosaic import MosaicSeries, mosaic_dicom
from rtbids.replay.phantom import Phantom

__all__ = ["Arrival", "MosaicSeries", "Phantom", "dicoms", "mosaic_dicom", "scan"]

Arrival = Literal["rename", "in place", "hard link"]
CHUNK = 65536  # bytes a write, where a file grows under its final name


def dicoms(phantom: Phantom, *, number: int = 7, protocol: str = "func_task-nf", study: int = 1) -> Iterator[bytes]:
    """Scan the phantom: one DICOM file a volume."""
    series = MosaicSeries(phantom.shape, phantom.affine, phantom.repetition_time, number=number, protocol=protocol, study=study)
    for index in range(phantom.volumes):
        yield series.dicom(phantom.volume(index), index)


def scan(
    files: Iterable[bytes],
    folder: Path,
    *,
    interval: float,
    how: Arrival = "rename",
    number: int = 7,
    clock: Clock = CLOCK,
    stop: Wakeup | None = None,
) -> int:
    """Write `files` into `folder` under a vendor's names, one every `interval` seconds, and say how many.

    Parameters
    ----------
    interval
        Seconds from one file to the next, on an absolute grid that begins with the first; 0 for as fast as they can be written.
    how
        Whether a file appears whole by a rename, grows under its final name, or is a second name of a hidden one.
    number
        The series in the names, ``001_000007_000012.dcm``.
    stop
        Ends the scan at once, in the middle of a wait too.
    """
    start = clock.now()
    written = 0
    for written, content in enumerate(files, start=1):
        if not _wait(start + (written - 1) * interval, clock, stop):
            return written - 1
        path = folder / f"001_{number:06}_{written:06}.dcm"
        try:
            _WRITERS[how](content, path)
        except OSError as error:
            raise cannot_write(path, error) from error
    return written


def _wait(moment: float, clock: Clock, stop: Wakeup | None) -> bool:
    if stop is None:
        clock.wait_until(moment)
        return True
    return not stop.wait(max(0.0, moment - clock.now()))


def _rename(content: bytes, path: Path) -> None:
    hidden = _hidden(content, path)
    hidden.replace(path)


def _hard_link(content: bytes, path: Path) -> None:
    hidden = _hidden(content, path)
    path.hardlink_to(hidden)
    hidden.unlink()


def _in_place(content: bytes, path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(content), CHUNK):
            os.write(file.fileno(), content[start : start + CHUNK])


def _hidden(content: bytes, path: Path) -> Path:
    hidden = path.with_name(f".{path.name}.part")
    hidden.write_bytes(content)
    return hidden


_WRITERS: dict[Arrival, Callable[[bytes, Path], None]] = {
    "rename": _rename,
    "in place": _in_place,
    "hard link": _hard_link,
}
