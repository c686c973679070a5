"""The stored pixels of an image, and the type and scale that its NIfTI file has."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException

from rtbids.errors import BadData

Pixels = NDArray[np.integer]
MOST = 1 << 32  # bytes: what a DICOM element can hold
_TWELVE = 12  # bits stored in 16
_PADDING = 16  # bytes: DICOM pads to an even length, some copies to words of a computer


def whole(dataset: Dataset, keyword: str, absent: int = 0) -> int:
    """Return an integer element, `absent` where it is missing, empty or no number."""
    try:
        value = dataset.get(keyword)
        return absent if value is None else int(value)
    except (TypeError, ValueError, ArithmeticError, struct.error, BytesLengthException):
        return absent


def expected_bytes(dataset: Dataset, name: str) -> int:
    """Return how many bytes whole pixel data have; raise BadData for an image that is not grey."""
    frames = whole(dataset, "NumberOfFrames", 1) or 1
    rows, columns, bits = (whole(dataset, keyword) for keyword in ("Rows", "Columns", "BitsAllocated"))
    if whole(dataset, "SamplesPerPixel", 1) != 1 or bits not in (8, 16) or not rows or not columns:
        raise BadData(f"{name}: expected a grey image of 8 or 16 bits, found {rows} rows, {columns} columns, {bits} bits")
    size = frames * rows * columns * bits // 8
    if not 0 < size <= MOST:
        raise BadData(f"{name}: expected an image of up to {MOST >> 30} GiB, found {frames} frames of {rows}x{columns} pixels")
    return size


def check_tail(dataset: Dataset) -> None:
    """Refuse an image that has more pixels than its header tells; a few bytes or zeros after the last one are none."""
    expected, found = expected_bytes(dataset, "image"), len(dataset.PixelData)
    if found - expected > _PADDING and bytes(dataset.PixelData[expected:]).lstrip(b"\0"):
        raise BadData(f"Rows, Columns and frames make {expected} bytes of pixels, found {found}")


def stored(dataset: Dataset) -> Pixels:
    """Return the pixels as stored, (frame, row, column), without a copy and read-only."""
    rows, columns, bits = (whole(dataset, keyword) for keyword in ("Rows", "Columns", "BitsAllocated"))
    signed = whole(dataset, "PixelRepresentation") == 1
    dtype = np.dtype(f"<{'i' if signed else 'u'}{bits // 8}")
    frames = whole(dataset, "NumberOfFrames", 1) or 1
    return np.frombuffer(dataset.PixelData, dtype, frames * rows * columns).reshape(frames, rows, columns)


def as_nifti(dataset: Dataset, images: Pixels) -> Pixels:
    """Return `images` in the type that dcm2niix would write.

    Signed 16-bit and unsigned pixels of fewer than 16 stored bits become int16 (of 12 bits the upper four, where overlays may
    lie, are masked away or filled with the sign), unsigned pixels of 16 bits stay uint16, bytes stay uint8.
    """
    bits = whole(dataset, "BitsStored", 16)
    if images.dtype.itemsize == 1:
        return images.view(np.uint8)
    if images.dtype.kind == "i" and bits == _TWELVE:
        return np.left_shift(images, 16 - _TWELVE) >> (16 - _TWELVE)
    if images.dtype.kind == "i" or bits >= 16:
        return images
    if bits == _TWELVE:
        images = images & np.uint16(0x0FFF)
    return images.view(np.int16)
