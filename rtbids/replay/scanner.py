"""A small scanner: a phantom's run as vendor-like DICOM files that appear in a folder at the pace of a scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from rtbids.clock import CLOCK, Clock
from rtbids.errors import cannot_write
from rtbids.replay.arrival import Arrival, Pace, write
from rtbids.replay.forms import SERIES, Form
from rtbids.replay.mosaic import MosaicSeries, mosaic_dicom
from rtbids.replay.phantom import Phantom
from rtbids.wakeup import Wakeup

__all__ = ["Arrival", "MosaicSeries", "Phantom", "dicoms", "mosaic_dicom", "scan"]


def dicoms(
    phantom: Phantom, form: Form = "mosaic", *, number: int = 7, protocol: str = "func_task-nf", study: int = 1
) -> Iterator[bytes]:
    """Scan the phantom: one DICOM file a volume, or a slice."""
    series = SERIES[form](phantom.shape, phantom.affine, phantom.repetition_time, number, protocol=protocol, study=study)
    for index in range(phantom.volumes):
        yield from series.dicoms(phantom.volume(index), index)


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
    pace = Pace(clock, stop)
    written = 0
    for written, content in enumerate(files, start=1):
        if not pace.until((written - 1) * interval):
            return written - 1
        path = folder / f"001_{number:06}_{written:06}.dcm"
        try:
            write(content, path, how)
        except OSError as error:
            raise cannot_write(path, error) from error
    return written
