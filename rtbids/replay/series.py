"""What our own DICOM says of a series in whatever form: who scanned it, where its voxels lie, how they were measured.

The inverse of the rules for reading: rows flipped, LPS for RAS. The forms are in `rtbids.replay.mosaic`, `enhanced`, `slices`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import PYDICOM_ROOT_UID, UID, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from rtbids.errors import BadData

START = 10 * 3600  # seconds of the imaginary day at which a run begins
BANDWIDTH = 40.0  # Hz per pixel along the phase-encoding direction
_SHEAR = 1e-3  # cosine between two axes of a grid that DICOM, whose axes are square to each other, can still place


@dataclass(frozen=True)
class Series(ABC):
    """One functional series of an imaginary scanner; `dicoms` gives the files of one volume.

    Attributes
    ----------
    shape, affine
        (i, j, k) and voxel → mm, RAS+, as the NIfTI file shall have them.
    repetition_time
        Seconds.
    number
        Series Number; the Series Instance UID follows from it and from `study`.
    image_type
        After ORIGINAL\\PRIMARY: ``("M", "ND", "MOCO")`` marks motion-corrected volumes. What a form needs is added.
    bits
        12, stored as the vendors do and read back as int16, or 16, read back as uint16, or 8, read back as uint8.
    study
        A number that sets the UIDs of one study apart from another's.
    signed
        Of 16 bits one is for the sign: read back as int16.
    slope, inter
        From stored values to the scanner's.
    echo_time, flip_angle
        Seconds, degrees; None is left out.
    echo
        Number of the echo, from 1.
    echoes
        How many echoes the header announces, as each vendor does; None is left out.
    timing
        Seconds of each slice after the first one (slices,). None is left out, empty stands for an interleaved acquisition.
    phase_axis, phase_sign
        ``i`` or ``j``, and 1 for from left to right (``i``) or back to front (``j-``) in the words of BIDS, 0 for the
        contrary. None is left out.
    bandwidth
        Hz per pixel along phase encoding, 1 / (effective echo spacing · voxels). None is left out.
    volumes
        How many the header announces, in the forms whose vendors do; None is left out.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    repetition_time: float
    number: int = 7
    image_type: tuple[str, ...] = ("M", "ND")
    protocol: str = "func_task-nf"
    bits: int = 12
    study: int = 1
    signed: bool = False
    slope: float = 1.0
    inter: float = 0.0
    echo_time: float | None = 0.03
    flip_angle: float | None = 77.0
    echo: int = 1
    echoes: int | None = None
    timing: tuple[float, ...] | None = ()
    phase_axis: str | None = "j"
    phase_sign: int | None = 1
    bandwidth: float | None = BANDWIDTH
    volumes: int | None = None

    def __post_init__(self) -> None:
        axes = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        if np.abs(axes.T @ axes - np.eye(3)).max() > _SHEAR:
            raise BadData("expected voxels with axes square to each other, which DICOM can place, found a sheared grid")

    @abstractmethod
    def dicoms(self, data: NDArray[np.integer], index: int) -> list[bytes]:
        """Return the files of volume `index` (from 0), in the order in which they leave the scanner."""

    @property
    def uid(self) -> str:
        return f"{PYDICOM_ROOT_UID}{self.study}.{self.number}"

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """The type of the pixels in the file."""
        return np.dtype(f"<{'i' if self.signed else 'u'}{1 if self.bits <= 8 else 2}")

    @property
    def steps(self) -> int:
        """Voxels along phase encoding."""
        return self.shape[0] if self.phase_axis == "i" else self.shape[1]

    def slice_timing(self) -> NDArray[np.float64] | None:
        """Return the seconds of each slice after the first one (slices,); None where they are not known."""
        if self.timing is None:
            return None
        return np.array(self.timing, dtype=np.float64) if self.timing else self._interleaved()

    def _interleaved(self) -> NDArray[np.float64]:
        """Return slice times in steps of 2.5 ms, as Siemens has them."""
        slices = self.shape[2]
        order = [*range((slices + 1) % 2, slices, 2), *range(slices % 2, slices, 2)]
        step = math.floor(self.repetition_time / slices / 0.0025 + 1e-6) * 0.0025
        return np.argsort(order).astype(np.float64) * step

    def _images(self, data: NDArray[np.integer], index: int) -> NDArray[np.integer]:
        """Return the slices as DICOM stores them (slice, row from the top, column); raise BadData where they do not fit."""
        spare = 1 if self.signed else 0
        lowest, highest = -spare << (self.bits - 1), (1 << (self.bits - spare)) - 1
        if data.shape != self.shape or data.min() < lowest or data.max() > highest:
            found = f"{data.shape} from {data.min()} up to {data.max()}"
            raise BadData(f"volume {index}: expected {self.shape} of {self.bits} bits, found {found}")
        if data.dtype.kind == "f" and (data != np.rint(data)).any():
            raise BadData(f"volume {index}: expected whole numbers, as DICOM holds them, found {data.dtype} that are not")
        return data[:, ::-1].transpose(2, 1, 0).astype(self.dtype)

    @cached_property
    def _lps(self) -> NDArray[np.float64]:
        """Voxel as stored (rows from the top) → mm, LPS+."""
        flip = np.diag([1.0, -1.0, 1.0, 1.0])
        flip[1, 3] = self.shape[1] - 1
        lps: NDArray[np.float64] = np.diag([-1.0, -1.0, 1.0, 1.0]) @ self.affine @ flip
        return lps

    @cached_property
    def _sizes(self) -> NDArray[np.float64]:
        """Steps in mm along (column, row, slice)."""
        sizes: NDArray[np.float64] = np.linalg.norm(self._lps[:3, :3], axis=0)
        return sizes

    def _begun(self, sop_class: str, *parts: Mapping[str, object]) -> Dataset:
        """Return a data set with `parts` in it, in which only what differs from file to file is missing."""
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = UID(sop_class)
        for elements in (_PATIENT, self._identity(), self._pixels(), *parts):
            set_elements(dataset, elements)
        return dataset

    def _identity(self) -> dict[str, object]:
        return {
            "StudyInstanceUID": f"{PYDICOM_ROOT_UID}{self.study}",
            "SeriesInstanceUID": self.uid,
            "FrameOfReferenceUID": f"{PYDICOM_ROOT_UID}{self.study}.0",
            "SeriesNumber": self.number,
            "SeriesDescription": self.protocol,
            "ProtocolName": self.protocol,
        }

    def _pixels(self) -> dict[str, object]:
        return {
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": self.shape[1],
            "Columns": self.shape[0],
            "BitsAllocated": 8 * self.dtype.itemsize,
            "BitsStored": self.bits,
            "HighBit": self.bits - 1,
            "PixelRepresentation": int(self.signed),
        }

    def _sequence(self) -> dict[str, object]:
        """Return what a classic header says of the measurement; what is not known is empty."""
        axis = {"i": "ROW", "j": "COL", None: None}[self.phase_axis]
        return {
            **_SEQUENCE,
            "RepetitionTime": decimal(self.repetition_time * 1000),
            "EchoTime": None if self.echo_time is None else decimal(self.echo_time * 1000),
            "EchoNumbers": str(self.echo),
            "FlipAngle": None if self.flip_angle is None else decimal(self.flip_angle),
            "InPlanePhaseEncodingDirection": axis,
        }

    def _protocol_text(self) -> str:
        """Return of a Siemens protocol what announces the echoes, in the lines that real ones have."""
        return f"### ASCCONV BEGIN ###\nlContrasts\t = \t{self.echoes}\n### ASCCONV END ###\n"

    def _scale(self) -> dict[str, object]:
        """Return slope and intercept, in nine digits: NIfTI files hold them in single precision."""
        if (self.slope, self.inter) == (1.0, 0.0):
            return {}
        return {"RescaleSlope": f"{self.slope:.9g}", "RescaleIntercept": f"{self.inter:.9g}", "RescaleType": "US"}

    def _plane(self) -> dict[str, object]:
        """Return the place of one slice but for its position, in the elements of a classic header."""
        return {**self._measures(), "ImageOrientationPatient": self._orientation()}

    def _measures(self) -> dict[str, object]:
        return {
            "PixelSpacing": decimals(self._sizes[1::-1]),
            "SliceThickness": decimal(self._sizes[2]),
            "SpacingBetweenSlices": decimal(self._sizes[2]),
        }

    def _matrix(self) -> list[int]:
        """Return AcquisitionMatrix: frequency rows and columns, phase rows and columns."""
        columns, rows, _ = self.shape
        return [0, rows, columns, 0] if self.phase_axis == "i" else [columns, 0, 0, rows]

    def _orientation(self) -> list[str]:
        return decimals((self._lps[:3, :2] / self._sizes[:2]).T.ravel())

    def _position(self, k: int) -> list[str]:
        """Return the centre of the first pixel of slice `k`."""
        return decimals(self._lps[:3, 2] * k + self._lps[:3, 3])


def set_elements(dataset: Dataset, elements: Mapping[str, object]) -> None:
    """Set elements by their keywords; None is left out."""
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, value)


def written(dataset: Dataset, uid: str) -> bytes:
    """Return the file of the instance `uid`."""
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = UID(uid)
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def decimal(value: float) -> str:
    return format_number_as_ds(float(value))


def decimals(values: ArrayLike) -> list[str]:
    return [decimal(value) for value in np.asarray(values, dtype=np.float64)]


def time_of_day(seconds: float) -> str:
    """Return the DICOM time `seconds` after the run began."""
    whole, millionths = divmod(round((START + seconds) * 1e6), 1_000_000)
    return f"{whole // 3600 % 24:02}{whole // 60 % 60:02}{whole % 60:02}.{millionths:06}"


DATE = "20000101"
_PATIENT: dict[str, object] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "Modality": "MR",
    "ManufacturerModelName": "Phantom",
    "StudyDate": DATE,
    "SeriesDate": DATE,
    "AcquisitionDate": DATE,
    "ContentDate": DATE,
    "StudyTime": "100000.000000",
    "SeriesTime": "100000.000000",
    "PatientName": "Phantom",
    "PatientID": "phantom",
    "PatientPosition": "HFS",
    "MagneticFieldStrength": "3",
}
_SEQUENCE: dict[str, object] = {
    "ImagingFrequency": "123.25",
    "ImagedNucleus": "1H",
    "ScanningSequence": "EP",
    "SequenceVariant": "SK",
    "ScanOptions": "FS",
    "MRAcquisitionType": "2D",
    "EchoTrainLength": "64",
    "NumberOfAverages": "1",
    "PixelBandwidth": "1565",
    "PercentSampling": "100",
    "PercentPhaseFieldOfView": "100",
}
