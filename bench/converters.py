"""Other ways of turning the DICOM files of a volume into an array with its affine, in process and from memory as ours does."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pydicom

Converter = Callable[[Sequence[bytes]], Any]


class Cannot(Exception):
    """A converter that does not do this form, and why."""


def nibabel_wrappers(files: Sequence[bytes]) -> np.ndarray:
    """Convert as ``nibabel.nicom`` does: it knows mosaics and multi-frame images, and of slices one at a time."""
    if len(files) > 1:
        raise Cannot("wraps one slice at a time, makes no volume of them")
    with warnings.catch_warnings(action="ignore"):  # it says of itself that it is experimental
        import nibabel.nicom.dicomwrappers
    wrapper = nibabel.nicom.dicomwrappers.wrapper_from_data(pydicom.dcmread(BytesIO(files[0])))
    wrapper.affine  # noqa: B018 (computed when asked for)
    return np.asarray(wrapper.get_data())


def dicom2nifti(files: Sequence[bytes]) -> np.ndarray:
    """Convert as dicom2nifti does, without its reorientation, which the others do not do."""
    try:
        from dicom2nifti import convert_dicom
    except ImportError:
        raise Cannot("is not installed: pip install 'rtbids[bench]'") from None
    logging.getLogger("dicom2nifti").setLevel(logging.CRITICAL)
    made = convert_dicom.dicom_array_to_nifti([pydicom.dcmread(BytesIO(file)) for file in files], None, reorient_nifti=False)
    return np.asarray(made["NII"].dataobj)


OTHERS: dict[str, Converter] = {"dicom2nifti": dicom2nifti, "nibabel": nibabel_wrappers}


def fault(converter: Converter, files: Sequence[bytes], expected: np.ndarray) -> str | None:
    """Say why a converter is not measured: it cannot do this form, or gives other voxels; None where it can."""
    try:
        found = converter(files)
    except Cannot as error:
        return str(error)
    except Exception as error:  # it is another's code, and this is what it says
        return f"cannot: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
    if found.size != expected.size or not np.array_equal(np.sort(found.ravel()), np.sort(expected.ravel())):
        return f"gives other voxels: {found.shape} {found.dtype}"
    return None
