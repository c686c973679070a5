"""Conversion in process, beside dcm2niix called for each volume and for the whole series, dicom2nifti and nibabel.

The files are the real series of RTBIDS_TEST_DATA (by default ../shared/data); without them there is nothing to measure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import converters
import dcm2niix
import figures
import numpy as np
import series
import timing

from rtbids.convert import dicom
from rtbids.convert.series import Assembler, counter
from rtbids.volume import Volume

ROUNDS = 7
WHOLE_SERIES = 1.5  # times what dcm2niix takes, at the most


@dataclass(frozen=True)
class Form:
    """A real series: its folder, how many files a volume has, and what is to be reached (ms): in all, after the last file."""

    folder: str
    files: int = 1
    limit: float | None = None
    limit_of_last: float | None = None


FORMS = {
    "mosaic 384×384": Form("siemens_mosaic_ve11_rtcloud", limit=2.5),
    "XA enhanced 64×64×33": Form("siemens_xa30_enhanced", limit=8.0),
    "Philips, 35 slices 80×80": Form("philips_classic_oneback", 35, limit=25.0, limit_of_last=3.0),
    "GE, 32 slices 64×64": Form("ge_architect_groupdelay", 32),
}


def measure() -> Iterator[str]:
    if not series.DATA.is_dir():
        yield f"real series not found at {series.DATA}: set RTBIDS_TEST_DATA"
        return
    for name, form in FORMS.items():
        yield from _form(name, form)
    yield from _whole_series()


def _form(name: str, form: Form) -> Iterator[str]:
    files = sorted((series.DATA / form.folder / "dicom").iterdir())
    contents = [(file.name, file.read_bytes()) for file in files]
    whole, last, first = _ours(contents)
    yield figures.spread(f"{name}, per volume", whole) + figures.share(whole, form.limit)
    if form.files > 1:
        yield figures.spread("  after its last file", last) + figures.share(last, form.limit_of_last)
    yield figures.against("  dcm2niix, the binary", _binary(_of_one_volume(files, contents)), whole)
    one = [content for _, content in _of_one_volume(contents, contents)]
    for other, converter in converters.OTHERS.items():
        why = converters.fault(converter, one, first)
        if why:
            yield f"  {other:<32} {why}"
        else:
            yield figures.against(f"  {other}", timing.wall(lambda c=converter: c(one), ROUNDS), whole)


def _of_one_volume(items: list, contents: list[tuple[str, bytes]]) -> list:
    """Return those of `items` that belong to the files of the first volume, which may lie anywhere in the series."""
    assembler = Assembler({}, counter())
    uids: dict[str, int] = {}
    for number, (name, content) in enumerate(contents):
        instance = dicom.read(content, name, 0.0)
        uids[name] = number
        if any(isinstance(item, Volume) for item in assembler.add(instance, 0.0)):
            depth = len(uids)
            break
    return items[:depth]


def _ours(contents: list[tuple[str, bytes]]) -> tuple[list[float], list[float], np.ndarray]:
    """Return, volume by volume, the time in all and that from the volume's last file on; and the first volume's voxels."""
    whole, last, first = [], [], None
    for _ in range(ROUNDS):
        assembler = Assembler({}, counter())
        spent = 0.0
        for name, content in contents:
            begin = time.perf_counter()
            items = assembler.add(dicom.read(content, name, 0.0), 0.0)
            took = time.perf_counter() - begin
            spent += took
            volumes = [item for item in items if isinstance(item, Volume)]
            if volumes:
                first = volumes[0].data if first is None else first
                whole += [spent / len(volumes)] * len(volumes)
                last += [took / len(volumes)] * len(volumes)
                spent = 0.0
    assert first is not None
    return whole, last, first


def _binary(one: list[Path]) -> list[float]:
    """Return what the binary takes for the files of one volume, process included."""
    with tempfile.TemporaryDirectory() as place:
        source, made = Path(place) / "dicom", Path(place) / "made"
        source.mkdir()
        made.mkdir()
        for file in one:
            (source / file.name).symlink_to(file.resolve())
        return timing.wall(lambda: _dcm2niix(source, made), ROUNDS)


def _whole_series() -> Iterator[str]:
    if not series.NEUROFEEDBACK.is_file():
        return
    with series.neurofeedback() as place, tempfile.TemporaryDirectory() as folder:
        files, made = sorted(place.rglob("*.dcm")), Path(folder)
        ways: dict[str, Callable[[], object]] = {
            "rtbids, in process": lambda: _convert(files),
            "dcm2niix, written as .nii": lambda: _dcm2niix(files[0].parent, made),
            "rtbids convert, as .nii.gz": lambda: _command(files[0].parent),
            "dcm2niix, written as .nii.gz": lambda: _dcm2niix(files[0].parent, made, "y"),
        }
        wall, cpu = _in_turn(ways)
    yield f"whole series of {len(files)} mosaics, {ROUNDS} times each in turn"
    for name in ways:
        yield figures.spread(f"  {name}", wall[name]) + f"   CPU {1000 * np.median(cpu[name]):6.0f} ms"
    for ours, theirs in (tuple(ways)[:2], tuple(ways)[2:]):
        yield f"  {f'{ours} / dcm2niix':<40} {_ratios(wall, cpu, ours, theirs)}, to reach: {WHOLE_SERIES}"


def _ratios(wall: dict[str, list[float]], cpu: dict[str, list[float]], ours: str, theirs: str) -> str:
    """Return how many times as long ours takes: the fastest of each is what a quiet machine would show."""
    median, processor = (np.median(times[ours]) / np.median(times[theirs]) for times in (wall, cpu))
    return (
        f"{median:.2f} × by medians, {min(wall[ours]) / min(wall[theirs]):.2f} × by the fastest, {processor:.2f} × in CPU time"
    )


def _in_turn(ways: dict[str, Callable[[], object]]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the wall and CPU times of each way, measured in turn so that all see the same machine."""
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, call in ways.items():
            begin, before = time.perf_counter(), sum(os.times()[:4])  # user and system, ours and that of children
            call()
            wall[name].append(time.perf_counter() - begin)
            cpu[name].append(sum(os.times()[:4]) - before)
    return wall, cpu


def _convert(files: list[Path]) -> None:
    assembler = Assembler({"task": "nf"}, counter())
    for path in files:
        assembler.add(dicom.read(path.read_bytes(), path.name, 0.0), 0.0)
    assembler.finish()


def _command(source: Path) -> None:
    with tempfile.TemporaryDirectory() as study:
        command = [sys.executable, "-m", "rtbids", "convert", str(source), "-o", study, "--no-wait"]
        subprocess.run(command, check=True, capture_output=True)


def _dcm2niix(source: Path, made: Path, compressed: str = "n") -> None:
    command = [dcm2niix.bin, "-f", "volume", "-b", "y", "-z", compressed, "-w", "1", "-o", str(made), str(source)]
    subprocess.run(command, check=True, capture_output=True)
