"""A whole series through the dcm2niix binary: its images with their sidecars and gradients."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from rtbids.convert.session import unfit
from rtbids.errors import BadData

_SECONDS = 900.0  # a series takes dcm2niix a second or two; one that takes so long has hung
_TAGS = ["BurnedInAnnotation", "ImageType", "SOPClassUID", "ConversionType"]
_NOT_MEASURED = ("BidsGuess", "WipMemBlock")  # a guess, and a vendor's memory in which anything may stand
_DB_NAME, _DESCRIP, _AUX_FILE = slice(14, 32), slice(148, 228), slice(228, 252)  # into these go patients, times and comments


@dataclass(frozen=True)
class Output:
    """One image that dcm2niix wrote: an uncompressed NIfTI, its sidecar, and the files of its gradients by extension."""

    nifti: Path
    fields: Mapping[str, Any]
    gradients: Mapping[str, Path]


def screened(folder: Path) -> str | None:
    """Say why the DICOM files of `folder` are not for converting; None where nothing speaks against it."""
    for file in sorted(folder.glob("*.dcm")):
        try:
            header = dcmread(file, stop_before_pixels=True, specific_tags=_TAGS, force=True)
        except (InvalidDicomError, OSError, ValueError, NotImplementedError):
            return "its DICOM files cannot be read"
        if reason := unfit(header):
            return reason
    return None


def convert(folder: Path, made: Path, *, identified: bool = False) -> list[Output]:
    """Convert the DICOM files of `folder` into `made`; return what came of them, nothing where dcm2niix refuses.

    With `identified` the sidecars say who was measured, where and when.
    It runs at the priority of the thread that calls, and a Ctrl-C in the terminal does not reach it.

    Raises
    ------
    BadData
        Where there is no binary, or it hangs.
    """
    import dcm2niix

    anonymous = "n" if identified else "y"
    command = [dcm2niix.bin, "-f", "image", "-b", "y", "-ba", anonymous, "-z", "n", "-o", str(made), str(folder)]
    try:
        subprocess.run(command, check=False, capture_output=True, timeout=_SECONDS, start_new_session=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadData(f"dcm2niix did not end well ({type(error).__name__})") from None
    return [_output(file) for file in sorted(made.glob("*.nii"))]


def _output(file: Path) -> Output:
    _blank(file)
    sidecar = file.with_suffix(".json")
    try:
        fields = json.loads(sidecar.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        fields = {}
    fields = {key: value for key, value in fields.items() if key not in _NOT_MEASURED}
    gradients = {extension: file.with_suffix(extension) for extension in (".bval", ".bvec")}
    return Output(file, fields, {extension: path for extension, path in gradients.items() if path.exists()})


def _blank(file: Path) -> None:
    """Empty the texts of a NIfTI header that may tell who was measured, and when."""
    with file.open("r+b") as nifti:
        for place in (_DB_NAME, _DESCRIP, _AUX_FILE):
            nifti.seek(place.start)
            nifti.write(bytes(place.stop - place.start))


def series_uids(place: Path) -> set[str]:
    """Return the Series Instance UIDs of the files in a folder."""
    return {uid for path in place.glob("*.dcm") if (uid := _uid(path, "SeriesInstanceUID"))}


def join(begun: Path, rest: Path) -> int:
    """Move the images that only `begun` has to `rest`, drop the others of `begun`; return how many `rest` has then."""
    there = {_uid(path, "SOPInstanceUID") for path in rest.glob("*.dcm")} - {""}
    for path in sorted(begun.glob("*.dcm")):
        if _uid(path, "SOPInstanceUID") in there:
            path.unlink()
        else:
            path.rename(rest / f"begun-{path.name}")
    return len(list(rest.glob("*.dcm")))


def _uid(path: Path, keyword: str) -> str:
    """Return a UID of an image; empty where it has none that can be read."""
    try:
        return str(dcmread(path, force=True, stop_before_pixels=True, specific_tags=[keyword]).get(keyword) or "")
    except Exception:  # foreign bytes, and parsers raise whatever they stumble over
        return ""
