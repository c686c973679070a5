"""Pictures of the brain: the mean volume of a run, its axial slices as PNG, and the outlines of masks."""

from __future__ import annotations

import base64
import gzip
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import nibabel
import numpy as np
from numpy.typing import NDArray

from rtbids import nifti
from rtbids.errors import BadData

MOST_SLICES = 24
_orientations: Any = nibabel.orientations  # nibabel has no annotations there
_UNREADABLE = (OSError, EOFError, zlib.error)


@dataclass(frozen=True)
class Mean:
    """The mean of the `count` volumes that could be read of the `promised` ones; `data` (i, j, k) in the scanner's values."""

    data: NDArray[np.float64]
    affine: NDArray[np.float64]
    count: int
    promised: int


@dataclass(frozen=True)
class Slice:
    """One axial slice as it is looked at: rows from anterior to posterior, columns from left to right.

    `millimetres` is (width, height); `outlines` holds for each mask an SVG path in voxels of this picture.
    """

    z: float
    grey: NDArray[np.uint8]
    millimetres: tuple[float, float]
    outlines: Mapping[str, str]


def mean_volume(file: Path) -> Mean:
    """Read a ``.nii`` or ``.nii.gz`` volume by volume and average; one volume at a time is in memory.

    Raises
    ------
    BadData
        Where there is no header, or not even one whole volume.
    """
    with _open(file) as stream:
        try:
            start = stream.read(nifti.HEADER)
        except _UNREADABLE as error:
            raise BadData(f"{file.name}: not a NIfTI file ({error})") from None
        header = nifti.unpack(start, file.name)
        promised = header.shape[3] if len(header.shape) > 3 else 1
        total, count = np.zeros(header.shape[:3], order="F"), 0
        for volume in _volumes(stream, header, promised):
            total += volume
            count += 1
    if count == 0:
        raise BadData(f"{file.name}: expected {promised} volumes of {header.volume_bytes} bytes, found not one whole")
    return Mean(total / count * header.slope + header.inter, header.affine, count, promised)


def _open(file: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(file, "rb")) if file.suffix == ".gz" else file.open("rb")


def _volumes(stream: IO[bytes], header: nifti.Header, promised: int) -> Iterator[NDArray[Any]]:
    """Yield what is whole; a run that was killed while it was compressed ends early."""
    try:
        stream.read(header.offset - nifti.HEADER)
        for _ in range(promised):
            content = stream.read(header.volume_bytes)
            if len(content) < header.volume_bytes:
                return
            volume = np.frombuffer(content, header.dtype).reshape(header.shape[:3], order="F")
            yield np.nan_to_num(volume, nan=0.0, posinf=0.0, neginf=0.0) if volume.dtype.kind == "f" else volume
    except _UNREADABLE:
        return


def mask_of(file: Path, mean: Mean) -> NDArray[np.bool_]:
    """Read a mask; raise BadData where it is not on the grid of `mean`."""
    try:
        image = cast(Any, nibabel.load(file))
        mask = np.asarray(image.dataobj)
    except Exception as error:  # nibabel raises what the format at hand raises
        raise BadData(f"mask {file.name}: cannot be read ({type(error).__name__})") from None
    if mask.shape != mean.data.shape or not np.allclose(image.affine, mean.affine, atol=1e-2):
        raise BadData(f"mask {file.name}: expected the run's grid {mean.data.shape}, found {mask.shape} or another affine")
    return np.asarray(np.nan_to_num(mask) != 0)


def slices(mean: Mean, masks: Mapping[str, NDArray[np.bool_]]) -> list[Slice]:
    """Return evenly spaced axial slices, `MOST_SLICES` at the most, and of each mask the slice that has most of it."""
    turn = _orientations.io_orientation(mean.affine)
    ras = _orientations.apply_orientation(mean.data, turn)
    affine = mean.affine @ _orientations.inv_ornt_aff(turn, mean.data.shape)
    turned = {name: _orientations.apply_orientation(mask, turn) for name, mask in masks.items()}
    grey, zooms = _grey(ras), np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    size = (float(ras.shape[0] * zooms[0]), float(ras.shape[1] * zooms[1]))
    centre = [(length - 1) / 2 for length in ras.shape[:2]]
    return [
        Slice(
            z=float((affine @ [*centre, k, 1])[2]),
            grey=_looked_at(grey[:, :, k]),
            millimetres=size,
            outlines={name: outline(_looked_at(mask[:, :, k])) for name, mask in turned.items() if mask[:, :, k].any()},
        )
        for k in _chosen(ras.shape[2], turned)
    ]


def planes(values: NDArray[Any], affine: NDArray[np.float64], masks: Mapping[str, NDArray[np.bool_]]) -> list[NDArray[Any]]:
    """Return the planes of a volume (i, j, k) that `slices` has of a mean with the same masks, turned as there."""
    turn = _orientations.io_orientation(affine)
    turned = {name: _orientations.apply_orientation(mask, turn) for name, mask in masks.items()}
    ras = _orientations.apply_orientation(values, turn)
    return [_looked_at(ras[:, :, k]) for k in _chosen(ras.shape[2], turned)]


def _chosen(count: int, masks: Mapping[str, NDArray[np.bool_]]) -> list[int]:
    step = -(-count // MOST_SLICES)
    best = {int(mask.sum(axis=(0, 1)).argmax()) for mask in masks.values() if mask.any()}
    return sorted(best.union(range(step // 2, count, step)))


def _grey(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return 0…255 from the lowest value to the 99.5th percentile: vessels and eyes would darken everything else."""
    low, high = float(values.min()), float(np.percentile(values, 99.5))
    if high <= low:
        high = float(values.max())
    span = high - low if high > low else 1.0
    return (np.clip((values - low) / span, 0.0, 1.0) * 255).round().astype(np.uint8)


def _looked_at(plane: NDArray[Any]) -> NDArray[Any]:
    """Turn a plane (x to the right, y to anterior) into rows from the top: the subject's left is on the left."""
    return np.ascontiguousarray(plane.T[::-1])


def outline(mask: NDArray[np.bool_]) -> str:
    """Return the edges between inside and outside of `mask` (rows, columns) as an SVG path, neighbouring edges joined."""
    padded = np.pad(mask.astype(np.int8), 1)
    across = np.diff(padded, axis=0)[:, 1:-1] != 0  # (rows + 1, columns): horizontal edges
    along = np.diff(padded, axis=1)[1:-1] != 0  # (rows, columns + 1): vertical edges
    horizontal = (f"M{start} {row}H{stop}" for row, line in enumerate(across) for start, stop in _stretches(line))
    vertical = (f"M{column} {start}V{stop}" for column, line in enumerate(along.T) for start, stop in _stretches(line))
    return "".join([*horizontal, *vertical])


def _stretches(line: NDArray[np.bool_]) -> list[tuple[int, int]]:
    steps = np.flatnonzero(np.diff(np.pad(line.astype(np.int8), 1)))
    return [(int(start), int(stop)) for start, stop in zip(steps[::2], steps[1::2], strict=True)]


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return grey (rows, columns) or RGBA (rows, columns, 4) as a PNG of eight bits (ISO/IEC 15948).

    Each row is filtered by "Sub".
    """
    rows, columns = pixels.shape[:2]
    filtered = np.empty((rows, pixels[0].size + 1), np.uint8)
    filtered[:, 0] = 1  # filter type "Sub": the difference from the pixel on the left, modulo 256
    filtered[:, 1:] = np.diff(pixels, axis=1, prepend=np.uint8(0)).reshape(rows, -1)
    kind = 6 if pixels.ndim == 3 else 0
    header = struct.pack(">2I5B", columns, rows, 8, kind, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Return `pixels` as a picture that stands in the page itself."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")
