"""A whole session of an imaginary scanner: every kind of series, as the files of each in the order in which they leave."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.uid import PYDICOM_ROOT_UID
from series_of_a_session import field_map, write

from rtbids.replay.enhanced import EnhancedSeries
from rtbids.replay.mosaic import MosaicSeries
from rtbids.replay.series import Series
from rtbids.replay.slices import SliceSeries

SHAPE = (16, 12, 6)
AFFINE = np.array([[-3.0, 0, 0, 24], [0, 3, 0, -18], [0, 0, 4, -12], [0, 0, 0, 1]])
ECHO_TIMES = (0.012, 0.028, 0.044)
GRADIENTS = ((0.0, (0.0, 0.0, 0.0)), (1000.0, (1.0, 0.0, 0.0)), (1000.0, (0.0, 1.0, 0.0)), (1000.0, (0.0, 0.0, 1.0)))
PHASE = ["ORIGINAL", "PRIMARY", "P", "ND", "PHASE"]


def volume(series: int, index: int, kind: int = 0) -> np.ndarray:
    return np.random.default_rng((series, index, kind)).integers(0, 4000, SHAPE, dtype=np.int16)


def session(folder: Path) -> None:
    """Write the series into `folder`."""
    write(folder, 1, "localizer")
    write(folder, 2, "t1_mprage_sag")
    write(folder, 3, "t2_spc_sag")
    write(folder, 4, "t2_space_dark-fluid_sag")
    field_map(folder, 5)
    _phases(folder, 7)
    for number, direction, sign in ((9, "AP", 1), (10, "PA", 0)):
        scan = MosaicSeries(SHAPE, AFFINE, 8.0, number, protocol=f"SpinEchoFieldMap_{direction}", phase_sign=sign)
        _save(folder, number, _scanned(scan, 2), ScanningSequence=["EP", "SE"])
    _diffusion(folder, 11)
    for echo, seconds in enumerate(ECHO_TIMES, 1):
        scan = EnhancedSeries(SHAPE, AFFINE, 2.0, 12, protocol="task-echoes", echo=echo, echoes=3, echo_time=seconds)
        _save(folder, 12, _scanned(scan, 3, echo), first=10 * echo)
    reference = MosaicSeries(SHAPE, AFFINE, 8.0, 13, protocol="task-nf_SBRef")
    _save(folder, 13, _scanned(reference, 1), ProtocolName="task-nf")
    _save(folder, 14, _scanned(MosaicSeries(SHAPE, AFFINE, 2.0, 14, protocol="task-nf"), 3))
    for part, kind in enumerate(("M", "P")):
        scan = MosaicSeries(SHAPE, AFFINE, 2.0, 15 + part, protocol="task-parts", image_type=(kind, "ND"))
        _save(folder, 15 + part, _scanned(scan, 3, part))
    _save(folder, 17, _scanned(SliceSeries(SHAPE, AFFINE, 2.0, 17, protocol="func_task-slices_acq-fast", volumes=3), 3))
    moco = MosaicSeries(SHAPE, AFFINE, 2.0, 18, protocol="task-nf", image_type=("M", "MOCO", "ND"))
    _save(folder, 18, _scanned(moco, 3), SeriesDescription="MoCoSeries")
    write(folder, 19, "t1_mprage_sag_MPR_cor", ImageType=["DERIVED", "SECONDARY", "MPR", "CSA MPR"])
    write(folder, 20, "something odd")


def _scanned(scan: Series, volumes: int, kind: int = 0) -> Iterator[bytes]:
    for index in range(volumes):
        yield from scan.dicoms(volume(scan.number, index, kind), index)


def _save(folder: Path, series: int, contents: Iterator[bytes], first: int = 0, **elements: Any) -> None:
    for number, content in enumerate(contents, first + 1):
        dataset = dcmread(BytesIO(content))
        uid = f"{PYDICOM_ROOT_UID}1.{series}.{number}"
        for keyword, value in {"SOPInstanceUID": uid, **elements}.items():
            setattr(dataset, keyword, value)
        dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dcmwrite(folder / f"{series:03d}_{number:05d}.dcm", dataset, enforce_file_format=True)


def _phases(folder: Path, series: int) -> None:
    """Two echoes of magnitude, two of phase, each kind a series of its own, as GE and Philips have it."""
    for place, (echo, seconds) in enumerate((("1", "4.6"), ("2", "6.9"))):
        write(folder, series, "B0map", first=100 * place, EchoTime=seconds, EchoNumbers=echo)
        write(folder, series + 1, "B0map", first=100 * place, EchoTime=seconds, EchoNumbers=echo, ImageType=PHASE)


def _diffusion(folder: Path, series: int) -> None:
    for index, (value, direction) in enumerate(GRADIENTS):
        measured = {"DiffusionBValue": value, "DiffusionGradientOrientation": list(direction)}
        elements = {"Manufacturer": "CANON_MEC", "ScanningSequence": ["EP", "SE"], "MRAcquisitionType": "2D", **measured}
        write(folder, series, "dwi_acq-multi", first=100 * index, **elements)
