"""Siemens-like mosaic DICOM, written from volumes: what `rtbids.convert` and dcm2niix read back to the same voxels.

The inverse of the rules for reading mosaics: rows flipped, LPS for RAS, slices in tiles, and the position of the big picture's
corner for that of the first slice's.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import PYDICOM_ROOT_UID, UID, ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import format_number_as_ds

from rtbids.errors import BadData

BANDWIDTH = 40.0  # Hz per pixel along the phase-encoding direction
CSA_ITEMS = 6  # value fields of an element; those not used are empty


@dataclass(frozen=True)
class MosaicSeries:
    """One functional series of an imaginary Siemens scanner; `dicom` gives the file of one volume.

    Attributes
    ----------
    shape, affine
        (i, j, k) and voxel → mm, RAS+, as the NIfTI file shall have them.
    repetition_time
        Seconds.
    number
        Series Number; the Series Instance UID follows from it and from `study`.
    image_type
        After ORIGINAL\\PRIMARY: ``("M", "ND", "MOCO")`` marks motion-corrected volumes. MOSAIC is added.
    bits
        12, stored as the vendor does and read back as int16, or 16, read back as uint16.
    study
        A number that sets the UIDs of one study apart from another's.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    repetition_time: float
    number: int = 7
    image_type: tuple[str, ...] = ("M", "ND")
    protocol: str = "func_task-nf"
    bits: int = 12
    study: int = 1

    @property
    def uid(self) -> str:
        return f"{PYDICOM_ROOT_UID}{self.study}.{self.number}"

    @property
    def tiles(self) -> int:
        """Tiles along one side of the square."""
        return math.ceil(math.sqrt(self.shape[2]))

    def dicom(self, data: NDArray[np.integer], index: int, image: int | None = None) -> bytes:
        """Return the file of volume `index` (from 0); another `image` number makes the same volume another instance."""
        if data.shape != self.shape or data.min() < 0 or data.max() >= 1 << self.bits:
            raise BadData(f"volume {index}: expected {self.shape} of {self.bits} bits, found {data.shape} up to {data.max()}")
        dataset = self._template
        uid = UID(f"{self.uid}.{(index if image is None else image) + 1}")
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid
        dataset.InstanceNumber = dataset.AcquisitionNumber = index + 1
        dataset.AcquisitionTime = dataset.ContentTime = _time_of_day(10 * 3600 + index * self.repetition_time)
        dataset.PixelData = self._picture(data).tobytes()
        file = BytesIO()
        dcmwrite(file, dataset, enforce_file_format=True)
        return file.getvalue()

    def _picture(self, data: NDArray[np.integer]) -> NDArray[np.uint16]:
        """Lay the slices out row by row in a square of tiles."""
        columns, rows, slices = self.shape
        tiles = np.zeros((self.tiles**2, rows, columns), "<u2")
        tiles[:slices] = data[:, ::-1].transpose(2, 1, 0)
        square = tiles.reshape(self.tiles, self.tiles, rows, columns)
        return square.transpose(0, 2, 1, 3).reshape(self.tiles * rows, self.tiles * columns)

    @cached_property
    def _template(self) -> Dataset:
        """All elements that the volumes of the series have in common."""
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = MRImageStorage
        for elements in (_SCANNER, _SEQUENCE, self._identity(), self._pixels(), self._geometry()):
            for keyword, value in elements.items():
                setattr(dataset, keyword, value)
        block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x08, "CS", "IMAGE NUM 4")
        block.add_new(0x09, "LO", "20000101")
        block.add_new(0x10, "OB", self._csa())
        return dataset

    def _identity(self) -> dict[str, object]:
        return {
            "ImageType": ["ORIGINAL", "PRIMARY", *self.image_type, "MOSAIC"],
            "StudyInstanceUID": f"{PYDICOM_ROOT_UID}{self.study}",
            "SeriesInstanceUID": self.uid,
            "FrameOfReferenceUID": f"{PYDICOM_ROOT_UID}{self.study}.0",
            "SeriesNumber": self.number,
            "SeriesDescription": self.protocol,
            "ProtocolName": self.protocol,
            "RepetitionTime": _decimal(self.repetition_time * 1000),
        }

    def _pixels(self) -> dict[str, object]:
        return {
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": self.tiles * self.shape[1],
            "Columns": self.tiles * self.shape[0],
            "BitsAllocated": 16,
            "BitsStored": self.bits,
            "HighBit": self.bits - 1,
            "PixelRepresentation": 0,
        }

    def _geometry(self) -> dict[str, object]:
        columns = self._lps
        steps = np.linalg.norm(columns[:3, :3], axis=0)
        sides = np.array(self.shape[:2]) * (self.tiles - 1) / 2
        corner = columns[:3, 3] - columns[:3, :2] @ sides
        return {
            "PixelSpacing": _decimals(steps[1::-1]),
            "SliceThickness": _decimal(steps[2]),
            "SpacingBetweenSlices": _decimal(steps[2]),
            "ImageOrientationPatient": _decimals((columns[:3, :2] / steps[:2]).T.ravel()),
            "ImagePositionPatient": _decimals(corner),
            "AcquisitionMatrix": [self.shape[0], 0, 0, self.shape[1]],
        }

    @cached_property
    def _lps(self) -> NDArray[np.float64]:
        """Voxel as stored (rows from the top) → mm, LPS+."""
        flip = np.diag([1.0, -1.0, 1.0, 1.0])
        flip[1, 3] = self.shape[1] - 1
        lps: NDArray[np.float64] = np.diag([-1.0, -1.0, 1.0, 1.0]) @ self.affine @ flip
        return lps

    def slice_timing(self) -> NDArray[np.float64]:
        """Return the seconds of each slice after the first one (slices,): interleaved, in steps of 2.5 ms as the vendor has."""
        slices = self.shape[2]
        order = [*range((slices + 1) % 2, slices, 2), *range(slices % 2, slices, 2)]
        step = math.floor(self.repetition_time / slices / 0.0025 + 1e-6) * 0.0025
        return np.argsort(order).astype(np.float64) * step

    def _csa(self) -> bytes:
        normal = self._lps[:3, 2] / np.linalg.norm(self._lps[:3, 2])
        return csa_header(
            [
                ("ProtocolSliceNumber", "IS", 6, ["0"]),
                ("PhaseEncodingDirectionPositive", "IS", 6, ["1"]),
                ("NumberOfImagesInMosaic", "US", 10, [str(self.shape[2])]),
                ("SliceNormalVector", "FD", 4, [f"{value:.8f}" for value in normal]),
                ("BandwidthPerPixelPhaseEncode", "FD", 4, [f"{BANDWIDTH:.8f}"]),
                ("MosaicRefAcqTimes", "FD", 4, [f"{1000 * seconds:.8f}" for seconds in self.slice_timing()]),
            ]
        )


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


def _decimal(value: float) -> str:
    return format_number_as_ds(float(value))


def _decimals(values: ArrayLike) -> list[str]:
    return [_decimal(value) for value in np.asarray(values, dtype=np.float64)]


def _time_of_day(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600 % 24:02}{whole // 60 % 60:02}{whole % 60:02}.{round((seconds - whole) * 1e6):06}"


_SCANNER: dict[str, object] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "Modality": "MR",
    "Manufacturer": "SIEMENS",
    "ManufacturerModelName": "Phantom",
    "SoftwareVersions": "syngo MR E11",
    "StudyDate": "20000101",
    "SeriesDate": "20000101",
    "AcquisitionDate": "20000101",
    "ContentDate": "20000101",
    "StudyTime": "100000.000000",
    "SeriesTime": "100000.000000",
    "PatientName": "Phantom",
    "PatientID": "phantom",
    "PatientPosition": "HFS",
    "MagneticFieldStrength": "3",
    "ImagingFrequency": "123.25",
    "ImagedNucleus": "1H",
}

_SEQUENCE: dict[str, object] = {
    "ScanningSequence": "EP",
    "SequenceVariant": "SK",
    "ScanOptions": "FS",
    "MRAcquisitionType": "2D",
    "SequenceName": "*epfid2d1_64",
    "EchoTime": "30",
    "FlipAngle": "77",
    "EchoNumbers": "1",
    "EchoTrainLength": "64",
    "NumberOfAverages": "1",
    "PixelBandwidth": "1565",
    "PercentSampling": "100",
    "PercentPhaseFieldOfView": "100",
    "InPlanePhaseEncodingDirection": "COL",
}
