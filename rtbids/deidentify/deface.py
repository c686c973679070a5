"""Faces taken out of anatomical series by a program of somebody who knows how: volume in, volume out, and back into the slices.

Nothing is defaced here. The slices of a series are put together as a NIfTI file, a program that the user has named makes
another, and the voxels that differ go into the de-identified DICOM slices that they came from. A series of which that cannot be
done is refused: who asks for defacing must not get a face.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from rtbids.deidentify.clean import Clean
from rtbids.deidentify.pixels import Refused
from rtbids.deidentify.slices import Stack, stacks
from rtbids.errors import UsageFault

PROGRAMS: Mapping[str, str] = {
    "pydeface": "pydeface {input} --outfile {output} --force",
    "fsl_deface": "fsl_deface {input} {output}",
    "mideface": "mideface --i {input} --o {output}",
}
LONGEST = 3600.0  # seconds for a volume
_LOOK = 0.05  # seconds between looks at whether a program has ended
_LAST_WORDS = 4096  # bytes of what it said
_CLOSE = 1e-3  # mm, and its share for directions: what a header of float32 may differ by
_CODE = ("113102", "Clean Recognizable Visual Features Option")


def _pause(seconds: float) -> bool:
    time.sleep(seconds)
    return False


@dataclass(frozen=True)
class Defacer:
    """A program that makes a volume without a face of one with it; `stopped` waits, and tells whether all is to end."""

    name: str
    words: tuple[str, ...]
    longest: float = LONGEST
    stopped: Callable[[float], bool] = _pause

    def deface(self, series: Sequence[Clean]) -> list[Clean]:
        """Return the images of a series without the face.

        Raises
        ------
        Refused
            The series is no stack of slices, or the program failed or changed nothing.
        """
        datasets = [dcmread(io.BytesIO(clean.content)) for clean in series]
        for stack in stacks(datasets):
            _put_back(stack, self._volume(stack), [datasets[place] for place in stack.places])
        return [_written(clean, dataset) for clean, dataset in zip(series, datasets, strict=True)]

    def _volume(self, stack: Stack) -> NDArray[np.generic]:
        """Run the program in a folder that only we can read and that is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="rtbids-deface-") as folder:
            given, made = Path(folder, "volume.nii.gz"), Path(folder, "defaced.nii.gz")
            nibabel.save(nibabel.Nifti1Image(stack.voxels, stack.affine), given)
            self._run([word.format(input=given, output=made) for word in self.words])
            return _read(made, stack, self.name)

    def _run(self, words: Sequence[str]) -> None:
        with tempfile.TemporaryFile() as said:
            try:  # a session of its own, so that what it starts itself can be ended with it
                program = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
                )
            except OSError as error:
                raise Refused(f"{self.name} cannot be started: {error.strerror}") from None
            with program:
                try:
                    self._wait(program)
                finally:
                    _end(program)
            if program.returncode:
                said.seek(max(0, said.seek(0, os.SEEK_END) - _LAST_WORDS))
                lines = said.read().decode("utf-8", "replace").strip().splitlines() or ["without a word"]
                raise Refused(f"{self.name} ended with {program.returncode}: {lines[-1][:200]}")

    def _wait(self, program: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + self.longest
        while program.poll() is None:
            if self.stopped(_LOOK):
                raise Refused(f"{self.name} was stopped")
            if time.monotonic() > until:
                raise Refused(f"{self.name} did not end within {self.longest:g} s")


def _end(program: subprocess.Popen[bytes]) -> None:
    if program.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)


def defacer(text: str) -> Defacer:
    """Return the program that `text` names: one of PROGRAMS, or a command with ``{input}`` and ``{output}``.

    Raises
    ------
    UsageFault
        It is not on the PATH, or the command does not say where its files go.
    """
    try:
        words = tuple(shlex.split(PROGRAMS.get(text, text)))
    except ValueError:
        words = ()
    if not words or not all(any(place in word for word in words) for place in ("{input}", "{output}")):
        raise UsageFault(
            f"--deface: expected {', '.join(PROGRAMS)}, or a command with {{input}} and {{output}}, found {text!r}"
        )
    if shutil.which(words[0]) is None:
        raise UsageFault(
            f"--deface: there is no program {words[0]!r} here", "install it (pydeface needs FSL too), or name another"
        )
    return Defacer(Path(words[0]).name, words)


def shows_a_face(clean: Clean) -> bool:
    """Tell whether an image may be part of an anatomical series: any that is not echo-planar, whatever it is called."""
    wanted = ["ImageType", "ScanningSequence", "EchoPlanarPulseSequence", "EchoPulseSequence", "SequenceName", "Modality"]
    header = dcmread(io.BytesIO(clean.content), stop_before_pixels=True, specific_tags=[*wanted, "PulseSequenceName"])
    if "MOSAIC" in header.get("ImageType", ()) or header.get("Modality") in ("US", "MG", "SR"):
        return False
    sequence = header.get("ScanningSequence", "")
    echo_planar = "EP" in ([sequence] if isinstance(sequence, str) else list(sequence))
    return not (echo_planar or header.get("EchoPlanarPulseSequence") == "YES")


def _read(path: Path, stack: Stack, name: str) -> NDArray[np.generic]:
    """Read what the program made, and see that it is the same volume."""
    try:
        image: Any = nibabel.load(path)
        voxels: NDArray[np.generic] = np.asanyarray(image.dataobj)
    except (OSError, ValueError, nibabel.filebasedimages.ImageFileError):
        raise Refused(f"{name} left no volume that can be read") from None
    if voxels.shape != stack.voxels.shape or not np.allclose(image.affine, stack.affine, rtol=_CLOSE, atol=_CLOSE):
        raise Refused(f"{name} left a volume on another grid: {voxels.shape} in place of {stack.voxels.shape}")
    if not (voxels != stack.voxels).any():
        raise Refused(f"{name} changed nothing: the face would be there")
    return voxels


def _put_back(stack: Stack, voxels: NDArray[np.generic], datasets: Sequence[Dataset]) -> None:
    """Put the voxels that differ into the slices that they came from, and mark all slices."""
    kind = stack.voxels.dtype
    bounds = np.iinfo(kind.name)
    for place, dataset in enumerate(datasets):
        old, new = stack.voxels[:, :, place], voxels[:, :, place]
        if (changed := old != new).any():
            rounded = np.clip(np.rint(np.asarray(new, np.float64)), bounds.min, bounds.max).astype(kind)
            dataset.PixelData = np.where(changed, rounded, old).T.astype(kind.newbyteorder("<")).tobytes()
        _mark(dataset)


def _mark(dataset: Dataset) -> None:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = _CODE[0], "DCM", _CODE[1]
    if "DeidentificationMethodCodeSequence" in dataset:
        dataset.DeidentificationMethodCodeSequence.append(item)
    else:
        dataset.DeidentificationMethodCodeSequence = [item]
    dataset.RecognizableVisualFeatures = "NO"


def _written(clean: Clean, dataset: Dataset) -> Clean:
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=False)
    return replace(clean, content=content.getvalue())
