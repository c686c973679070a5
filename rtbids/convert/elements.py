"""Which elements of a DICOM file conversion needs, and a quick reader of those.

pydicom reads every nested element of an enhanced image before it hands out the first (9 ms for 33 frames). Scanners
export Explicit VR Little Endian; a walk over the bytes that keeps the wanted elements and steps over the others takes a third
of that. Every other transfer syntax goes through pydicom. The layout is DICOM PS3.5, section 7.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Set
from functools import lru_cache
from typing import Any

from pydicom import config
from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from rtbids.convert.known import KnownDataset

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
_BEFORE_VALUE = {**dict.fromkeys(_SHORT, 8), **dict.fromkeys(_LONG, 12)}  # bytes of tag, representation and length
_NAMES = {vr: vr.decode() for vr in _BEFORE_VALUE}
_beginning = struct.Struct("<HH2sHI").unpack_from

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
    0x0021: {0x04, 0x1C, 0x42, 0x4F, 0x53, 0x59, 0x75, 0x8E, 0xFE},
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
_VARYING = {tag: _WANTED[tag] for tag in (0x00209113, 0x00200032, 0x00209111, 0x00189074)}
_VARYING_PRIVATE = {0x0021: {0x04, 0xFE}}  # time after start, and the item that it stands in (SIEMENS MR SDI 02)
_MOST_TAGS = 1 << 16  # remembered by a choice; then all are forgotten


class Choice(dict[int, BaseTag | None]):
    """Which elements to read: gives their tags, None for an element to step over.

    Each tag is judged once and remembered: the header of one slice has 500 elements.
    """

    def __init__(self, named: Mapping[int, BaseTag], private: Mapping[int, Set[int]]) -> None:
        super().__init__()
        self._named = named
        self._private = private

    def __missing__(self, tag: int) -> BaseTag | None:
        if len(self) >= _MOST_TAGS:
            self.clear()
        chosen = self[tag] = self._named.get(tag) or (BaseTag(tag) if _is_private_one(tag, self._private) else None)
        return chosen


def _is_private_one(tag: int, chosen: Mapping[int, Set[int]]) -> bool:
    low_bytes = chosen.get(tag >> 16)
    return low_bytes is not None and ((tag & 0xFF) in low_bytes or 0x10 <= (tag & 0xFFFF) <= 0xFF)


_USED = Choice(_WANTED, _PRIVATE)  # by conversion, or needed to find a private element
_VARIES = Choice(_VARYING, _VARYING_PRIVATE)  # of the second and later frames; reading only those saves half of the time
_NONE = Choice({}, {})


class Unusual(Exception):
    """Bytes that the quick reader leaves to pydicom."""


class CutShort(Exception):
    """The bytes end inside an element: `found` of `expected` bytes are there."""

    def __init__(self, tag: int, expected: int, found: int) -> None:
        super().__init__(f"ended inside ({tag >> 16:04X},{tag & 0xFFFF:04X}) after {found} of {expected} bytes")


def wanted(tag: int) -> bool:
    """Say whether conversion uses this element, or needs it to find a private one."""
    return _USED[int(tag)] is not None


def _is_siemens(found: Mapping[BaseTag, Any]) -> bool:
    """Say whether the frames make one volume, as Siemens's do; those of others may be echoes, parts and volumes."""
    maker = found.get(_WANTED[_MANUFACTURER])
    return isinstance(maker, RawDataElement) and bytes(maker.value or b"")[:7].lower() == b"siemens"


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
    elements, _ = _elements(content, position, len(content), _USED)
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
    size = len(content)
    while position < end:
        try:  # what `_element` does, without a call for each of some thousand elements
            group, low, vr, length, longer = _beginning(content, position)
            tag, start = group << 16 | low, position + _BEFORE_VALUE[vr]
            length = longer if start == position + 12 else length
        except (struct.error, KeyError):  # near the end, an item, or something unusual
            tag, vr, length, start = _element(content, position)
            if tag in (_ITEM_END, _SEQUENCE_END):
                return found, start
        chosen = choice[tag]
        if vr == b"SQ":
            items, position = _items(content, start, length, choice if chosen else _NONE, _later(tag, found, choice))
            if chosen:
                found[chosen] = items
            continue
        if length == _UNDEFINED:
            raise Unusual("undefined length outside a sequence")
        position = start + length
        if position > size:
            raise CutShort(tag, length, size - start)
        if chosen:
            found[chosen] = RawDataElement(chosen, _NAMES[vr], length, bytes(content[start:position]), start, False, True)
        if tag == PIXEL_DATA:
            return found, end
    return found, position


def _later(tag: int, found: Mapping[BaseTag, Any], choice: Choice) -> Choice:
    """Return what to read of the second and later items of a sequence."""
    return _VARIES if tag == _PER_FRAME and _is_siemens(found) else choice


def _items(
    content: memoryview, position: int, length: int, first: Choice, later: Choice
) -> tuple[list[dict[BaseTag, Any]], int]:
    """Collect the items of a sequence: of the first item the elements of one choice, of later ones those of another.

    Sequences and items of known length of which nothing is chosen are stepped over.
    """
    if length != _UNDEFINED and first is _NONE:
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
        if item_length != _UNDEFINED and first is _NONE:
            position = start + item_length
            continue
        item_end = end if item_length == _UNDEFINED else start + item_length
        item, position = _elements(content, start, item_end, later if items and first is not _NONE else first)
        items.append(item)
    return items, position


def _encodings(elements: dict[BaseTag, Any]) -> tuple[str, ...]:
    raw = elements.get(_WANTED[_CHARACTER_SET])
    return _encodings_of(raw.value if raw is not None else b"")


@lru_cache(maxsize=64)
def _encodings_of(names: bytes) -> tuple[str, ...]:
    return tuple(convert_encodings(names.decode("ascii", "replace").strip().split("\\")))


def _dataset(elements: dict[BaseTag, Any], encodings: tuple[str, ...]) -> KnownDataset:
    for tag, element in elements.items():
        if isinstance(element, list):
            items = Sequence([_dataset(item, encodings) for item in element])
            elements[tag] = DataElement(tag, "SQ", items, already_converted=True)
    return KnownDataset.of(elements, encodings)
