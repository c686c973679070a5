"""Faces taken out of anatomical series by a program of somebody who knows how: volume in, volume out, and back into the slices.

Nothing is defaced here. The slices of a series are put together as a NIfTI file, a program that the user has named makes
another, and the voxels that differ go into the de-identified DICOM slices that they came from. A series of which that cannot be
done is refused: who asks for defacing must not get a face.
"""

from __future__ import annotations

import io
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from rtbids.deidentify.engine import Clean
from rtbids.deidentify.pixels import Refused
from rtbids.deidentify.slices import Stack, stacks
from rtbids.errors import UsageFault

PROGRAMS: Mapping[str, str] = {
    "pydeface": "pydeface {input} --outfile {output} --force",
    "fsl_deface": "fsl_deface {input} {output}",
    "mideface": "mideface --i {input} --o {output}",
}
LONGEST = 3600.0  # seconds for a volume
_CLOSE = 1e-3  # mm, and its share for directions: what a header of float32 may differ by
_CODE = ("113102", "Clean Recognizable Visual Features Option")


@dataclass(frozen=True)
class Defacer:
    """A program that makes a volume without a face of one with it."""

    name: str
    words: tuple[str, ...]
    longest: float = LONGEST

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
        try:
            ended = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=self.longest, check=False)
        except subprocess.TimeoutExpired:
            raise Refused(f"{self.name} did not end within {self.longest:g} s") from None
        except OSError as error:
            raise Refused(f"{self.name} cannot be started: {error.strerror}") from None
        if ended.returncode:
            lines = ended.stderr.decode("utf-8", "replace").strip().splitlines() or ["without a word"]
            raise Refused(f"{self.name} ended with {ended.returncode}: {lines[-1][:200]}")


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
