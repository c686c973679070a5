"""The NIfTI-1 single-file header, packed and read by ``struct``.

Through nibabel a 295 kB volume takes 0.6 ms to serialise and 0.4 ms to read; a header packed from a template takes some
microseconds, and the loop needs neither extensions nor other formats. Field offsets are those of ``nifti1.h``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rtbids.errors import BadData

Buffer: TypeAlias = bytes | bytearray | memoryview
HEADER = 352  # bytes before the voxels: the header of 348 and the four bytes that say "no extensions"
COUNT_OFFSET = 40 + 4 * 2  # of dim[4], the number of volumes
TYPE_CODES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_CODE_OF = {np.dtype("<" + name): code for code, name in TYPE_CODES.items()}
LARGEST = 32767  # a dimension is a signed 16-bit number
_TEXTS = {"data_type": (4, 10), "db_name": (14, 18), "descrip": (148, 80), "aux_file": (228, 24), "intent_name": (328, 16)}
_MM_AND_SECONDS = 10
_SCANNER = 1


@dataclass(frozen=True)
class Header:
    """What a header says: `shape` is (i, j, k) or (i, j, k, t); `affine` is voxel → mm, RAS+."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    affine: NDArray[np.float64]
    slope: float
    inter: float
    repetition_time: float
    offset: int = HEADER

    @property
    def volume_bytes(self) -> int:
        return int(np.prod(self.shape[:3])) * self.dtype.itemsize


def pack(header: Header) -> bytes:
    """Return the 352 bytes that stand before the voxels, little endian."""
    dtype = header.dtype.newbyteorder("<")
    if dtype not in _CODE_OF:
        raise BadData(f"NIfTI-1 has no data type for {header.dtype}")
    if not 3 <= len(header.shape) <= 4 or max(header.shape) > LARGEST:
        raise BadData(f"NIfTI-1 holds 3 or 4 dimensions of up to {LARGEST}, found {header.shape}")
    dims = (len(header.shape), *header.shape, *(1,) * (7 - len(header.shape)))
    affine = header.affine
    zooms = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    if not (np.isfinite(affine).all() and zooms.all()):
        raise BadData(f"expected voxels of some size, found {zooms.tolist()} mm")
    quaternion, qfac = _quaternion(affine[:3, :3], zooms)
    out = bytearray(HEADER)
    struct.pack_into("<i", out, 0, 348)
    struct.pack_into("<c", out, 38, b"r")
    struct.pack_into("<8h", out, 40, *dims)
    struct.pack_into("<2h", out, 70, _CODE_OF[dtype], dtype.itemsize * 8)
    struct.pack_into("<8f", out, 76, qfac, *zooms, header.repetition_time, 0, 0, 0)
    struct.pack_into("<3f", out, 108, HEADER, header.slope, header.inter)
    struct.pack_into("<B", out, 123, _MM_AND_SECONDS)
    struct.pack_into("<2h", out, 252, _SCANNER, _SCANNER)
    struct.pack_into("<6f", out, 256, *quaternion, *affine[:3, 3])
    struct.pack_into("<12f", out, 280, *affine[:3].ravel())
    out[344:348] = b"n+1\0"
    return bytes(out)


def unpack(content: Buffer, where: str = "NIfTI") -> Header:
    """Read the header at the start of `content`; raise BadData where it is not one that rtbids can use."""
    if len(content) < 348:
        raise BadData(f"{where}: a NIfTI-1 header has 348 bytes, found {len(content)}")
    order = "<" if struct.unpack_from("<i", content, 0)[0] == 348 else ">"
    if struct.unpack_from(order + "i", content, 0)[0] != 348 or bytes(content[344:347]) != b"n+1":
        raise BadData(f"{where}: not a NIfTI-1 file (.nii)")
    dims = struct.unpack_from(order + "8h", content, 40)
    code = struct.unpack_from(order + "h", content, 70)[0]
    pixdim = struct.unpack_from(order + "8f", content, 76)
    offset, slope, inter = struct.unpack_from(order + "3f", content, 108)
    if code not in TYPE_CODES:
        raise BadData(f"{where}: NIfTI data type {code} is not supported")
    if not 1 <= dims[0] <= 7 or min(dims[1 : dims[0] + 1]) < 1 or any(size > 1 for size in dims[5 : dims[0] + 1]):
        raise BadData(f"{where}: expected 3 or 4 dimensions, found {dims[1 : max(dims[0], 0) + 1]}")
    if not np.isfinite(offset):
        raise BadData(f"{where}: expected the voxels after the header, found them at byte {offset}")
    affine = _affine(content, order, pixdim)
    if not np.isfinite(affine).all():
        raise BadData(f"{where}: the affine is not made of numbers")
    shape = (*dims[1 : min(dims[0], 4) + 1], *(1,) * (3 - dims[0]))
    scaled = np.isfinite(slope) and slope != 0
    return Header(
        shape=shape,
        dtype=np.dtype(order + TYPE_CODES[code]),
        affine=affine,
        slope=float(slope) if scaled else 1.0,
        inter=float(inter) if scaled and np.isfinite(inter) else 0.0,
        repetition_time=_seconds(float(pixdim[4]), content[123]),
        offset=max(int(offset), 348),
    )


def texts(content: Buffer) -> dict[str, bytes]:
    """Return what a header says in words, and the extensions behind it."""
    found = {name: bytes(content[start : start + size]).rstrip(b"\0") for name, (start, size) in _TEXTS.items()}
    found["extensions"] = bytes(content[HEADER : unpack(content).offset])
    return {name: text for name, text in found.items() if text}


def without_texts(content: Buffer, where: str = "NIfTI") -> Buffer:
    """Return a file without the texts of its header, its extensions, and what follows its voxels; all numbers stay.

    Raises
    ------
    BadData
        It is no NIfTI-1 file, or ends before its voxels do.
    """
    header = unpack(content, where)
    size = header.volume_bytes * int(np.prod(header.shape[3:]))
    if len(content) < header.offset + size:
        raise BadData(f"{where} has {len(content)} bytes, expected {header.offset + size}")
    order = "<" if struct.unpack_from("<i", content, 0)[0] == 348 else ">"
    left = bytearray(content[:348]) + bytes(HEADER - 348)
    for start, length in _TEXTS.values():
        left[start : start + length] = bytes(length)
    left[32:38], left[344:348] = bytes(6), b"n+1\0"
    struct.pack_into(order + "f", left, 108, HEADER)
    if header.offset == HEADER and len(content) == HEADER + size and left == content[:HEADER]:
        return content
    return left + content[header.offset : header.offset + size]


def as_stored(affine: NDArray[np.floating]) -> NDArray[np.float64]:
    """Round an affine to what the header holds (float32), so that live and replay agree bit for bit."""
    stored = np.asarray(affine, dtype=np.float32).astype(np.float64)
    stored.setflags(write=False)
    return stored


def _seconds(pixdim4: float, xyzt_units: int) -> float:
    return pixdim4 * {16: 1e-3, 24: 1e-6}.get(xyzt_units & 0x38, 1.0)


def _affine(content: Buffer, order: str, pixdim: tuple[float, ...]) -> NDArray[np.float64]:
    qform, sform = struct.unpack_from(order + "2h", content, 252)
    affine = np.eye(4)
    if sform > 0:
        affine[:3] = np.array(struct.unpack_from(order + "12f", content, 280)).reshape(3, 4)
    elif qform > 0:
        b, c, d, x, y, z = struct.unpack_from(order + "6f", content, 256)
        a = np.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
        rotation = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        zooms = np.array(pixdim[1:4]) * (1, 1, -1 if pixdim[0] < 0 else 1)
        affine[:3, :3] = rotation * zooms
        affine[:3, 3] = x, y, z
    else:
        affine[:3, :3] = np.diag(pixdim[1:4])
    return as_stored(affine)


def _quaternion(matrix: NDArray[np.float64], zooms: NDArray[np.float64]) -> tuple[tuple[float, float, float], float]:
    """Return (b, c, d) and qfac of the rotation nearest to `matrix` without its zooms (``nifti1_io.c``'s rule)."""
    u, _, vt = np.linalg.svd(matrix / zooms)
    rotation = u @ vt
    qfac = 1.0
    if np.linalg.det(rotation) < 0:
        rotation[:, 2] *= -1
        qfac = -1.0
    # The quaternion is the eigenvector of Bar-Itzhack's symmetric matrix with the largest eigenvalue.
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    k = (
        np.array(
            [
                [xx - yy - zz, 0, 0, 0],
                [xy + yx, yy - xx - zz, 0, 0],
                [xz + zx, yz + zy, zz - xx - yy, 0],
                [zy - yz, xz - zx, yx - xy, xx + yy + zz],
            ]
        )
        / 3.0
    )
    b, c, d, a = np.linalg.eigh(k)[1][:, -1]
    sign = -1.0 if a < 0 else 1.0
    return (sign * b, sign * c, sign * d), qfac
