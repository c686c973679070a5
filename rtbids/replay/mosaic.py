"""Siemens-like mosaic DICOM: all slices of a volume as the tiles of one picture, the position that of the picture's corner."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from rtbids.replay.series import BANDWIDTH, Series, decimals, time_of_day, written

__all__ = ["BANDWIDTH", "MosaicSeries", "csa_header", "mosaic_dicom"]

CSA_ITEMS = 6  # value fields of an element; those not used are empty


class MosaicSeries(Series):
    """A series of mosaics: one file a volume, any orientation and handedness."""

    @property
    def tiles(self) -> int:
        """Tiles along one side of the square."""
        return math.ceil(math.sqrt(self.shape[2]))

    def dicoms(self, data: NDArray[np.integer], index: int) -> list[bytes]:
        return [self.dicom(data, index)]

    def dicom(self, data: NDArray[np.integer], index: int, image: int | None = None) -> bytes:
        """Return the file of volume `index` (from 0); another `image` number makes the same volume another instance."""
        dataset = self._template
        dataset.PixelData = self._picture(self._images(data, index)).tobytes()
        dataset.InstanceNumber = dataset.AcquisitionNumber = index + 1
        dataset.AcquisitionTime = dataset.ContentTime = time_of_day(index * self.repetition_time)
        return written(dataset, f"{self.uid}.{(index if image is None else image) + 1}")

    def _picture(self, images: NDArray[np.integer]) -> NDArray[np.integer]:
        """Lay the slices out row by row in a square of tiles."""
        columns, rows, slices = self.shape
        tiles = np.zeros((self.tiles**2, rows, columns), self.dtype)
        tiles[:slices] = images
        square = tiles.reshape(self.tiles, self.tiles, rows, columns)
        return square.transpose(0, 2, 1, 3).reshape(self.tiles * rows, self.tiles * columns)

    @cached_property
    def _template(self) -> Dataset:
        """All elements that the volumes of the series have in common."""
        dataset = self._begun(MRImageStorage, _SCANNER, self._sequence(), self._plane(), self._scale(), self._big_picture())
        block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x08, "CS", "IMAGE NUM 4")
        block.add_new(0x09, "LO", "20000101")
        block.add_new(0x10, "OB", self._csa())
        if self.echoes is not None:
            block.add_new(0x20, "OB", csa_header([("MrPhoenixProtocol", "UN", 0, [self._protocol_text()])]))
        return dataset

    def _big_picture(self) -> dict[str, object]:
        """Return what the picture of all tiles says otherwise than one slice would."""
        sides = np.array(self.shape[:2]) * (self.tiles - 1) / 2
        return {
            "ImageType": ["ORIGINAL", "PRIMARY", *self.image_type, "MOSAIC"],
            "Rows": self.tiles * self.shape[1],
            "Columns": self.tiles * self.shape[0],
            "ImagePositionPatient": decimals(self._lps[:3, 3] - self._lps[:3, :2] @ sides),
            "AcquisitionMatrix": self._matrix(),
        }

    def _csa(self) -> bytes:
        normal = self._lps[:3, 2] / self._sizes[2]
        timing = self.slice_timing()
        elements = [
            ("ProtocolSliceNumber", "IS", 6, ["0"]),
            ("NumberOfImagesInMosaic", "US", 10, [str(self.shape[2])]),
            ("SliceNormalVector", "FD", 4, [f"{value:.8f}" for value in normal]),
        ]
        if self.phase_sign is not None:
            elements.append(("PhaseEncodingDirectionPositive", "IS", 6, [str(self.phase_sign)]))
        if self.bandwidth is not None:
            elements.append(("BandwidthPerPixelPhaseEncode", "FD", 4, [f"{self.bandwidth:.8f}"]))
        if timing is not None:
            elements.append(("MosaicRefAcqTimes", "FD", 4, [f"{1000 * seconds:.8f}" for seconds in timing]))
        return csa_header(elements)


def mosaic_dicom(
    data: NDArray[np.integer], affine: NDArray[np.float64], *, index: int = 0, repetition_time: float = 2.0, number: int = 7
) -> bytes:
    """Return one volume as one file; a `MosaicSeries` does the same for a whole series without making it anew each time."""
    i, j, k = data.shape
    return MosaicSeries((i, j, k), affine, repetition_time, number).dicom(data, index)


def csa_header(elements: Sequence[tuple[str, str, int, list[str]]]) -> bytes:
    """Pack elements (name, VR, the vendor's type number, values) as a CSA2 header (nibabel, "Siemens format DICOM")."""
    packed = [b"SV10\4\3\2\1", struct.pack("<2I", len(elements), 77)]
    for name, vr, kind, values in elements:
        count = max(CSA_ITEMS, len(values))
        packed.append(struct.pack("<64si4s3i", name.encode(), len(values), vr.encode(), kind, count, 77))
        packed.extend(_csa_item(value) for value in values + [""] * (count - len(values)))
    return b"".join(packed)


def _csa_item(value: str) -> bytes:
    text = value.encode() + b"\0" if value else b""
    return struct.pack("<4i", len(text), len(text), 77, len(text)) + text + bytes(-len(text) % 4)


_SCANNER: dict[str, object] = {
    "Manufacturer": "SIEMENS",
    "SoftwareVersions": "syngo MR E11",
    "SequenceName": "*epfid2d1_64",
}
