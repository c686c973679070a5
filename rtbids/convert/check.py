"""Conversion held against the dcm2niix binary, series by series, for a site that wants proof on its own files."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtbids import nifti
from rtbids.convert import dicom
from rtbids.convert.dicom import Instance
from rtbids.convert.one_series import number_of
from rtbids.convert.series import Assembler, counter
from rtbids.errors import cannot_write
from rtbids.volume import Volume, voxels

KEYS = (
    "RepetitionTime",
    "EchoTime",
    "FlipAngle",
    "PhaseEncodingDirection",
    "PhaseEncodingAxis",
    "EffectiveEchoSpacing",
    "TotalReadoutTime",
    "SliceTiming",
)
MILLIMETRES = 0.005  # dcm2niix derives the affine in single precision
RELATIVE, SECONDS = 2e-5, 2e-6  # and writes numbers with six digits


@dataclass(frozen=True)
class Agreement:
    """How one run compares: what agrees, and what does not with both values."""

    series: str
    volumes: int
    agree: tuple[str, ...]
    differ: Mapping[str, str]


def compare(instances: Iterable[Instance], series: frozenset[int] | None = None) -> Iterator[Agreement]:
    """Convert the functional series among `instances`, which come series by series, in process and by dcm2niix, and compare.

    Voxels and data type are to be equal, the affine within MILLIMETRES, scale and numbers of the sidecar within RELATIVE,
    slice times that or within SECONDS.

    Raises
    ------
    CannotWrite
        The folder for temporary files does not take a copy of a series and what dcm2niix makes of it.
    """
    for _, group in itertools.groupby(instances, key=_series):
        with _scratch() as folder:
            runs = _convert(group, folder, series)
            outputs = _dcm2niix(folder) if runs else []
            for name, run in runs.items():
                yield _agreement(name, run, outputs)


@contextmanager
def _scratch() -> Iterator[Path]:
    """Give a folder that is gone afterwards."""
    with _room():
        place = tempfile.TemporaryDirectory(prefix="rtbids-check-", ignore_cleanup_errors=True)
    with place as name:
        yield Path(name)


@contextmanager
def _room() -> Iterator[None]:
    """Name the folder for temporary files where that does not take what is written; the one in it is gone when that is read."""
    try:
        yield
    except OSError as error:
        fault = cannot_write(tempfile.tempdir or "the folder for temporary files", error)
        fault.hint = "set TMPDIR to a folder with room for a copy of the largest series and what dcm2niix makes of it"
        raise fault from None


@dataclass
class _Run:
    first: Volume
    metadata: Mapping[str, Any]
    hashes: dict[int, str]


@dataclass(frozen=True)
class _Output:
    """What dcm2niix made of one run."""

    header: nifti.Header
    fields: Mapping[str, Any]
    hashes: tuple[str, ...]


def _series(instance: Instance) -> object:
    return dicom.sort_key(instance.dataset)[1], number_of(instance.dataset)


def _convert(instances: Iterable[Instance], folder: Path, series: frozenset[int] | None) -> dict[str, _Run]:
    """Convert one series in process, leaving its files in `folder`; return its runs by a name for people."""
    assembler = Assembler({}, counter(), series=series)
    runs: dict[str, _Run] = {}
    title = ""
    for number, instance in enumerate(instances):
        with _room():
            (folder / f"{number:06d}.dcm").write_bytes(instance.content)
        title = title or f"{number_of(instance.dataset)} {instance.dataset.get('SeriesDescription') or ''}".strip()
        _note(assembler.add(instance, instance.received), title, runs)
    _note(assembler.finish(), title, runs)
    return runs


def _note(items: Iterable[object], title: str, runs: dict[str, _Run]) -> None:
    for item in items:
        if isinstance(item, Volume):
            kinds = [f"{entity} {item.entities[entity]}" for entity in ("echo", "part") if entity in item.entities]
            run = runs.setdefault(", ".join([title, *kinds]), _Run(item, item.metadata, {}))
            run.metadata = item.metadata
            run.hashes[item.index] = hashlib.sha256(voxels(item)).hexdigest()


def _dcm2niix(folder: Path) -> list[_Output]:
    import dcm2niix

    made = folder / "made"
    with _room():
        made.mkdir()
    command = [dcm2niix.bin, "-f", "%s_%e_%d", "-b", "y", "-ba", "y", "-z", "n", "-o", str(made), str(folder)]
    done = subprocess.run(command, check=False, capture_output=True)
    if done.returncode and b"disk full" in done.stdout + done.stderr:
        with _room():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return [_output(file) for file in sorted(made.glob("*.nii"))]


def _output(file: Path) -> _Output:
    content = memoryview(file.read_bytes())
    header = nifti.unpack(content, file.name)
    count = header.shape[3] if len(header.shape) > 3 else 1
    starts = [header.offset + number * header.volume_bytes for number in range(count)]
    hashes = tuple(hashlib.sha256(content[start : start + header.volume_bytes]).hexdigest() for start in starts)
    sidecar = file.with_suffix(".json")
    return _Output(header, json.loads(sidecar.read_text()) if sidecar.exists() else {}, hashes)


def _agreement(name: str, run: _Run, outputs: list[_Output]) -> Agreement:
    if not outputs:
        return Agreement(name, len(run.hashes), (), {"dcm2niix": "wrote no image"})
    ours = [run.hashes[index] for index in sorted(run.hashes)]
    output = max(outputs, key=lambda output: len(set(output.hashes) & set(ours)))
    pairs = {
        "voxels": (_voxels(ours, output.hashes), "equal"),
        "volumes": (len(ours), len(output.hashes)),
        "type": (run.first.data.dtype, output.header.dtype),
        "affine": _affine(run.first, output.header),
        "scale": (run.first.slope, output.header.slope),
        "offset": (run.first.inter, output.header.inter),
        **{key: (run.metadata.get(key), output.fields.get(key)) for key in KEYS},
    }
    differ = {
        what: str(found) if wanted == "equal" else f"{found} here, {wanted} by dcm2niix"
        for what, (found, wanted) in pairs.items()
        if not _same(found, wanted)
    }
    agree = tuple(what for what, (found, _) in pairs.items() if what not in differ and found is not None)
    return Agreement(name, len(ours), agree, differ)


def _voxels(ours: list[str], theirs: tuple[str, ...]) -> str:
    differ = sum(one != other for one, other in itertools.zip_longest(ours, theirs))
    return f"{differ} of {len(ours)} differ" if differ else "equal"


def _affine(volume: Volume, header: nifti.Header) -> tuple[str, str]:
    distance = float(np.abs(volume.affine - header.affine).max())
    return ("equal" if distance <= MILLIMETRES else f"{distance:.3f} mm apart", "equal")


def _same(found: object, wanted: object) -> bool:
    if isinstance(found, int | float) and isinstance(wanted, int | float):
        return bool(np.isclose(found, wanted, rtol=RELATIVE, atol=0))
    if isinstance(found, list | tuple) and isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and bool(np.allclose(found, wanted, rtol=RELATIVE, atol=SECONDS))
    return found == wanted
