"""Conversion in process, beside the dcm2niix binary called for each volume and for the whole series.

The files are the real series of RTBIDS_TEST_DATA (by default ../shared/data); without them there is nothing to measure.
"""

from __future__ import annotations

import lzma
import os
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import dcm2niix
import figures

from rtbids.convert import dicom
from rtbids.convert.series import Assembler, counter
from rtbids.volume import Volume

DATA = Path(os.environ.get("RTBIDS_TEST_DATA", "../shared/data"))
FORMS = {
    "mosaic 384×384": "siemens_mosaic_ve11_rtcloud",
    "XA enhanced 64×64×33": "siemens_xa30_enhanced",
    "Philips, 35 slices 80×80": "philips_classic_oneback",
    "GE, 32 slices 64×64": "ge_architect_groupdelay",
}
ROUNDS = 7


def measure() -> Iterator[str]:
    if not DATA.is_dir():
        yield f"real series not found at {DATA}: set RTBIDS_TEST_DATA"
        return
    for name, folder in FORMS.items():
        files = sorted((DATA / folder / "dicom").iterdir())
        whole, last = _ours(files)
        theirs = _binary(files, len(whole) // ROUNDS)
        yield figures.spread(f"{name}, per volume", whole)
        yield figures.spread("  after its last file", last)
        yield figures.ratio("  dcm2niix per volume / ours", theirs, whole)
    yield from _whole_series()


def _ours(files: list[Path]) -> tuple[list[float], list[float]]:
    """Return, volume by volume, the time in all and that from the volume's last file on."""
    contents = [(file.name, file.read_bytes()) for file in files]
    whole, last = [], []
    for _ in range(ROUNDS):
        assembler = Assembler({}, counter())
        spent = 0.0
        for name, content in contents:
            begin = time.perf_counter()
            items = assembler.add(dicom.read(content, name, 0.0), 0.0)
            took = time.perf_counter() - begin
            spent += took
            volumes = sum(isinstance(item, Volume) for item in items)
            if volumes:
                whole += [spent / volumes] * volumes
                last += [took / volumes] * volumes
                spent = 0.0
    return whole, last


def _binary(files: list[Path], volumes: int) -> list[float]:
    """Return what the binary takes for the files of one volume, process included."""
    one = files[: max(1, len(files) // max(volumes, 1))]
    times = []
    with tempfile.TemporaryDirectory() as place:
        source, made = Path(place) / "dicom", Path(place) / "made"
        source.mkdir()
        made.mkdir()
        for file in one:
            (source / file.name).symlink_to(file.resolve())
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            _run(source, made)
            times.append(time.perf_counter() - begin)
    return times


def _whole_series() -> Iterator[str]:
    packed = DATA / "siemens_mosaic_vb17_nf" / "whole_run" / "nf_run.tar.xz"
    if not packed.exists():
        return
    with tempfile.TemporaryDirectory() as place:
        with lzma.open(packed) as file, tarfile.open(fileobj=file) as tar:
            tar.extractall(place, filter="data")
        files = sorted(Path(place).rglob("*.dcm"))
        made = Path(place) / "made"
        made.mkdir()
        ours, theirs = [], []
        for _ in range(3):
            begin = time.perf_counter()
            assembler = Assembler({}, counter())
            for path in files:
                assembler.add(dicom.read(path.read_bytes(), path.name, 0.0), 0.0)
            assembler.finish()
            ours.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            _run(files[0].parent, made)
            theirs.append(time.perf_counter() - begin)
    yield figures.spread(f"whole series of {len(files)} mosaics", ours)
    yield figures.ratio("  dcm2niix for the series / ours", theirs, ours)


def _run(source: Path, made: Path) -> None:
    command = [dcm2niix.bin, "-f", "volume", "-b", "y", "-z", "n", "-w", "1", "-o", str(made), str(source)]
    subprocess.run(command, check=True, capture_output=True)
