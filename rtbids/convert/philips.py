"""What Philips headers say: the scale of the stored values, and an estimate of the readout."""

from __future__ import annotations

from pydicom.dataset import Dataset

from rtbids.convert import private
from rtbids.convert.encoding import Encoding

_WATER_FAT_PPM = 3.4


def scale(header: Dataset) -> tuple[float, float]:
    """Return (slope, inter) to floating-point values: 1/SS and RI/(RS·SS), Chenevert et al., Transl Oncol 7:65 (2014)."""
    factor = private.number(header, 0x2005, private.PHILIPS_MR, 0x0E)
    slope, intercept = _rescale(header)
    if not factor:
        return slope, intercept
    return 1.0 / factor, intercept / (slope * factor)


def with_frame(header: Dataset) -> Dataset:
    """Return the header of a classic image with what it keeps in the private item of its frame, the header's own first."""
    item = private.item(header, 0x2005, private.PHILIPS_FRAME, 0x0F)
    if item is None:
        return header
    merged = Dataset({element.tag: element for element in item if element.VR != "SQ"})
    merged.update({tag: header[tag] for tag in header.keys()})  # noqa: SIM118 (iteration converts)
    return merged


def _rescale(header: Dataset) -> tuple[float, float]:
    """Return slope and intercept to display values; where the header has none, those of the real world value mapping."""
    if header.get("RescaleSlope"):
        return float(header.RescaleSlope), float(header.get("RescaleIntercept") or 0.0)
    mapping = (header.get("RealWorldValueMappingSequence") or [Dataset()])[0]
    return float(mapping.get("RealWorldValueSlope") or 1.0), float(mapping.get("RealWorldValueIntercept") or 0.0)


def encoding(header: Dataset, steps: int) -> Encoding:
    """Return what the water-fat shift allows to estimate; sign and echo spacing are not in the DICOM.

    The shift (pixels) over its frequency (Hz) is the time for one pixel, hence for the whole echo train.
    """
    shift = private.number(header, 0x2001, private.PHILIPS_IMAGE, 0x22)
    megahertz, train = float(header.get("ImagingFrequency") or 0.0), int(header.get("EchoTrainLength") or 0)
    if not shift or not megahertz or train < 2 or steps < 2:
        return Encoding()
    readout = shift / (megahertz * _WATER_FAT_PPM * (train + 1)) * train
    return Encoding(estimated_spacing=readout / (steps - 1), estimated_readout=readout)
