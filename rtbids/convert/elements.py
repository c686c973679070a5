"""Which elements of a DICOM file conversion needs, and a quick reader of those.

pydicom reads every nested element of an enhanced image before it hands out the first (9 ms for 33 frames). Scanners
export Explicit VR Little Endian; a walk over the bytes that keeps the wanted elements and steps over the others takes a third
of that. Every other transfer syntax goes through pydicom. The layout is DICOM PS3.5, section 7.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Set
from typing import Any, TypeAlias

from pydicom import config
from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from rtbids.convert import known

# pydicom's warnings quote the values that they find invalid, and a value may identify a person.
config.settings.reading_validation_mode = config.IGNORE

EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
PIXEL_DATA = 0x7FE00010
_TRANSFER_SYNTAX = 0x00020010
_CHARACTER_SET = 0x00080005
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_SHORT = frozenset((b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO"))
_SHORT |= {b"LT", b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}

_NAMED = """
    SpecificCharacterSet ImageType SOPClassUID SOPInstanceUID AcquisitionDate AcquisitionTime AcquisitionDateTime Modality
    Manufacturer SeriesDescription ManufacturerModelName ComplexImageComponent
    ScanningSequence SequenceVariant ScanOptions MRAcquisitionType SequenceName SliceThickness RepetitionTime EchoTime
    ImagingFrequency EchoNumbers MagneticFieldStrength SpacingBetweenSlices EchoTrainLength SoftwareVersions ProtocolName
    AcquisitionMatrix InPlanePhaseEncodingDirection FlipAngle PulseSequenceName EchoPulseSequence EchoPlanarPulseSequence
    RectilinearPhaseEncodeReordering ParallelReductionFactorInPlane AcquisitionDuration DiffusionBValue
    EffectiveEchoTime GradientEchoTrainLength FrameAcquisitionDateTime ImageComments
    StudyInstanceUID SeriesInstanceUID SeriesNumber AcquisitionNumber InstanceNumber ImagePositionPatient
    ImageOrientationPatient TemporalPositionIdentifier NumberOfTemporalPositions ImagesInAcquisition
    SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns PixelSpacing BitsAllocated
    BitsStored HighBit PixelRepresentation RescaleIntercept RescaleSlope PixelData
    MRTimingAndRelatedParametersSequence MRModifierSequence MREchoSequence MRFOVGeometrySequence FrameContentSequence
    PlanePositionSequence PlaneOrientationSequence PixelMeasuresSequence PixelValueTransformationSequence
    MRDiffusionSequence MRImageFrameTypeSequence SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
    DimensionIndexSequence DimensionIndexPointer DimensionIndexValues
    RealWorldValueMappingSequence RealWorldValueSlope RealWorldValueIntercept
    BodyPartExamined ReceiveCoilName MRReceiveCoilSequence MagnetizationTransfer MRImagingModifierSequence Spoiling
    PartialFourierDirection ParallelAcquisitionTechnique ParallelReductionFactorOutOfPlane
"""
# Group → the low bytes of its elements; the block is whatever the creator element names (private.py).
_PRIVATE = {
    0x0019: {0x0A, 0x18, 0x28, 0x29},
    0x0021: {0x04, 0x1C, 0x42, 0x4F, 0x53, 0x75, 0x8E, 0xFE},
    0x0025: {0x1B},
    0x0029: {0x10},
    0x0043: {0x2A, 0x2C, 0x7C, 0x83},
    0x0051: {0x0F, 0x11},
    0x0065: {0x50, 0x51},
    0x2001: {0x13, 0x18, 0x20, 0x22},
    0x2005: {0x0E, 0x0F, 0xA0},
}


def _named() -> dict[int, BaseTag]:
    from pydicom.datadict import tag_for_keyword

    found = {}
    for keyword in _NAMED.split():
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword
        found[int(tag)] = BaseTag(tag)
    return found


_WANTED = _named()
_PER_FRAME = 0x52009230
_MANUFACTURER = 0x00080070
# What differs from frame to frame of a Siemens volume: PlanePositionSequence, ImagePositionPatient, FrameContentSequence,
# FrameAcquisitionDateTime.
_VARYING = frozenset((0x00209113, 0x00200032, 0x00209111, 0x00189074))
_VARYING_PRIVATE = {0x0021: {0x04, 0xFE}}  # time after start, and the item that it stands in (SIEMENS MR SDI 02)
Choice: TypeAlias = Callable[[int], bool]


class Unusual(Exception):
    """Bytes that the quick reader leaves to pydicom."""


class CutShort(Exception):
    """The bytes end inside an element: `found` of `expected` bytes are there."""

    def __init__(self, tag: int, expected: int, found: int) -> None:
        super().__init__(f"ended inside ({tag >> 16:04X},{tag & 0xFFFF:04X}) after {found} of {expected} bytes")


def wanted(tag: int) -> bool:
    """Say whether conversion uses this element, or needs it to find a private one."""
    return tag in _WANTED or _is_private_one(tag, _PRIVATE)


def _varies(tag: int) -> bool:
    """Say whether conversion uses this element of the second and later frames; reading only those saves half of the time."""
    return tag in _VARYING or _is_private_one(tag, _VARYING_PRIVATE)


def _is_siemens(found: Mapping[BaseTag, Any]) -> bool:
    """Say whether the frames make one volume, as Siemens's do; those of others may be echoes, parts and volumes."""
    maker = found.get(BaseTag(_MANUFACTURER))
    return isinstance(maker, RawDataElement) and bytes(maker.value or b"")[:7].lower() == b"siemens"


def _is_private_one(tag: int, chosen: Mapping[int, Set[int]]) -> bool:
    low_bytes = chosen.get(tag >> 16)
    return low_bytes is not None and ((tag & 0xFF) in low_bytes or 0x10 <= (tag & 0xFFFF) <= 0xFF)


def transfer_syntax(content: memoryview) -> tuple[str, int]:
    """Return the transfer syntax of a file with a preamble, and where its data set begins."""
    syntax, position = "", 132
    while position + 8 <= len(content) and bytes(content[position : position + 2]) == b"\x02\x00":
        tag, _, length, start = _element(content, position)
        if start + length > len(content):
            raise CutShort(tag, length, len(content) - start)
        if tag == _TRANSFER_SYNTAX:
            syntax = bytes(content[start : start + length]).decode("ascii", "replace").rstrip("\0 ")
        position = start + length
    return syntax, position


def walk(content: memoryview, position: int) -> Dataset:
    """Read the wanted elements from `position` to the end, Explicit VR Little Endian; stop at the pixel data.

    Raises `Unusual` where pydicom should read the file instead, and `CutShort` where the bytes end too soon.
    """
    elements, _ = _elements(content, position, len(content), wanted)
    return _dataset(elements, _encodings(elements))


def _element(content: memoryview, position: int) -> tuple[int, bytes, int, int]:
    """Return tag, value representation, length, and where the value begins."""
    if position + 8 > len(content):
        raise CutShort(0, 8, len(content) - position)
    group, element, vr, length = struct.unpack_from("<HH2sH", content, position)
    tag = group << 16 | element
    if vr in _SHORT:
        return tag, vr, length, position + 8
    if vr not in _LONG:
        if group == 0xFFFE:  # items and delimiters have no value representation
            return tag, b"", struct.unpack_from("<I", content, position + 4)[0], position + 8
        raise Unusual(f"value representation {vr!r}")
    if position + 12 > len(content):
        raise CutShort(tag, 12, len(content) - position)
    return tag, vr, struct.unpack_from("<I", content, position + 8)[0], position + 12


def _elements(content: memoryview, position: int, end: int, choice: Choice) -> tuple[dict[BaseTag, Any], int]:
    """Collect the wanted elements up to `end`, or up to the item's end mark; return them and the place after."""
    found: dict[BaseTag, Any] = {}
    while position < end:
        tag, vr, length, start = _element(content, position)
        if tag in (_ITEM_END, _SEQUENCE_END):
            return found, start
        keep = choice(tag)
        if vr == b"SQ":
            later = _varies if tag == _PER_FRAME and _is_siemens(found) else choice
            items, position = _items(content, start, length, keep, first=choice, later=later)
            if keep:
                found[BaseTag(tag)] = items
            continue
        if length == _UNDEFINED:
            raise Unusual("undefined length outside a sequence")
        if start + length > len(content):
            raise CutShort(tag, length, len(content) - start)
        if keep:
            value = bytes(content[start : start + length])
            found[BaseTag(tag)] = known.element(BaseTag(tag), vr, value, start)
        if tag == PIXEL_DATA:
            return found, end
        position = start + length
    return found, position


def _items(
    content: memoryview, position: int, length: int, keep: bool, *, first: Choice, later: Choice
) -> tuple[list[dict[BaseTag, Any]], int]:
    """Collect the items of a sequence: of the first item the elements of one choice, of later ones those of another.

    A sequence of known length that is not kept is stepped over.
    """
    if length != _UNDEFINED and not keep:
        return [], position + length
    end = len(content) if length == _UNDEFINED else position + length
    if end > len(content):
        raise CutShort(0, length, len(content) - position)
    items: list[dict[BaseTag, Any]] = []
    while position < end:
        tag, _, item_length, start = _element(content, position)
        if tag == _SEQUENCE_END:
            return items, start
        if tag != _ITEM:
            raise Unusual("a sequence without items")
        if item_length != _UNDEFINED and not keep:
            position = start + item_length
            continue
        item_end = end if item_length == _UNDEFINED else start + item_length
        item, position = _elements(content, start, item_end, later if items else first)
        items.append(item)
    return items, position


def _encodings(elements: dict[BaseTag, Any]) -> list[str]:
    raw = elements.get(BaseTag(_CHARACTER_SET))
    names = raw.value.decode("ascii", "replace").strip().split("\\") if raw is not None else [""]
    return list(convert_encodings(names))


def _dataset(elements: dict[BaseTag, Any], encodings: list[str]) -> Dataset:
    for tag, element in elements.items():
        if isinstance(element, list):
            elements[tag] = DataElement(tag, "SQ", Sequence([_dataset(item, encodings) for item in element]))
    dataset = Dataset(elements)
    dataset.set_original_encoding(False, True, encodings)
    return dataset
