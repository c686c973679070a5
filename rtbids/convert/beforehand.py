"""What a source that is all there holds, learnt from its headers before the first image is converted.

So the first run of a series is named rightly where only its later images tell that there are several echoes, magnitudes where
their phases come as a series of their own, and each series is over with its last image.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO, TypeAlias

from pydicom.filereader import read_partial
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from rtbids.convert import dicom, enhanced, functional
from rtbids.convert.functional import Kind
from rtbids.convert.one_series import key_of, number_of, protocol_of
from rtbids.convert.vendor import vendor

_TAGS: list[BaseTag | int] = [
    0x00080005,  # SpecificCharacterSet
    0x00080008,  # ImageType
    0x00080016,  # SOPClassUID
    0x00080018,  # SOPInstanceUID
    0x00080070,  # Manufacturer
    0x0008103E,  # SeriesDescription
    0x00089208,  # ComplexImageComponent
    0x00180081,  # EchoTime
    0x00180086,  # EchoNumbers
    0x00181020,  # SoftwareVersions
    0x00181030,  # ProtocolName
    0x00189082,  # EffectiveEchoTime
    0x0020000D,  # StudyInstanceUID
    0x0020000E,  # SeriesInstanceUID
    0x00200011,  # SeriesNumber
    0x00200012,  # AcquisitionNumber
    0x00200013,  # InstanceNumber
]
_BEGINNING = 1024  # bytes that hold what a file is
_LOOKED_INTO = 16  # images of a series that tell their echo frame by frame only: more than any TR brings

Buffer: TypeAlias = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Header:
    """What is remembered of an image: its place among others and its kind; `content` gives its bytes again."""

    order: tuple[object, ...]
    key: str
    number: int
    description: str
    protocol: str
    uid: str
    kind: Kind
    is_alone: bool  # an image of frames of one kind, which the frames tell
    is_mixed: bool  # frames of several kinds in one file, which tells them itself
    content: Callable[[], Buffer]


class Unknown(Exception):
    """A file that may be an image and whose header cannot be read quickly."""


def header(file: BinaryIO, content: Callable[[], Buffer]) -> Header | None:
    """Read what tells images of a source apart, of a file no more than that; None for what is no DICOM file.

    Raises
    ------
    Unknown
        Where only the reader proper can say what it is.
    """
    beginning = file.read(_BEGINNING)
    bare = beginning[:2] in dicom.ELEMENT_FIRST
    if beginning[128:132] != b"DICM" and not bare:
        return None
    try:
        if DeflatedExplicitVRLittleEndian.encode() in beginning:  # no part of it can be read without the rest
            found = dicom.read(content(), "", 0.0).dataset
        else:
            file.seek(0)
            found = read_partial(file, _is_past, force=bare, specific_tags=_TAGS)
        return Header(
            dicom.sort_key(found),
            key_of(found),
            number_of(found),
            str(found.get("SeriesDescription") or ""),
            protocol_of(found),
            str(found.SOPInstanceUID),
            functional.kind(found),
            is_alone=enhanced.is_enhanced(found) and vendor(found) == "siemens",
            is_mixed=enhanced.is_enhanced(found) and vendor(found) != "siemens",
            content=content,
        )
    except Exception as error:  # pydicom raises what its parsing stumbles over
        raise Unknown from error


def _is_past(tag: BaseTag, vr: str | None, length: int) -> bool:
    return int(tag) > int(_TAGS[-1])


@dataclass(frozen=True)
class _Series:
    number: int
    description: str
    protocol: str
    kinds: frozenset[Kind]
    images: int

    @property
    def is_magnitude(self) -> bool:
        return any(kind.part is None and not kind.corrected for kind in self.kinds)

    @property
    def has_parts(self) -> bool:
        return any(kind.part is not None for kind in self.kinds)


@dataclass(frozen=True)
class Foreseen:
    """The series of a source by key; with nothing in it, nothing is known beforehand.

    `is_complete` says that every image of the source has been seen, so that their numbers are known as well.
    """

    series: dict[str, _Series] = field(default_factory=dict)
    is_complete: bool = False

    def kinds(self, key: str) -> frozenset[Kind]:
        """Return the kinds of image (echo, part, ...) that a series is known to have."""
        return self.series[key].kinds if key in self.series else frozenset()

    def images(self, key: str) -> int | None:
        """Return how many images a series has, None where that is not known."""
        return self.series[key].images if self.is_complete and key in self.series else None

    def has_parts(self, key: str, picked: Callable[[int], bool] = lambda number: True) -> bool:
        """Say whether phases (real, imaginary) of the magnitudes of a series come as another one, among the picked ones.

        They are the next series of the protocol, before more magnitudes.
        """
        own = self.series.get(key)
        if own is None:
            return False
        later = [one for one in self.series.values() if one.protocol == own.protocol and one.number > own.number]
        after = min((one.number for one in later if one.is_magnitude), default=None)
        return any(one.has_parts and picked(one.number) and (after is None or one.number < after) for one in later)

    def scans(self, numbers: Collection[int]) -> int:
        """Return how many scans the series of these numbers are at least; phases are of their magnitudes' scan."""
        picked = [one for one in self.series.values() if one.number in numbers]
        return len({one.number for one in picked if one.is_magnitude}) or bool(picked)


NOTHING_KNOWN = Foreseen()


def foreseen(headers: Iterable[Header], *, is_complete: bool) -> Foreseen:
    """Return what the headers of a source tell; `is_complete` where there is one for every image."""
    groups: defaultdict[tuple[int, str], list[Header]] = defaultdict(list)
    for one in sorted(headers, key=lambda one: one.order):
        groups[one.number, one.description].append(one)
    series: dict[str, _Series] = {}
    for group in groups.values():
        for keys, images in _by_series(group):
            series |= dict.fromkeys(keys, _series(images))
    return Foreseen(series, is_complete)


def _by_series(group: list[Header]) -> Iterable[tuple[set[str], list[Header]]]:
    """Part images of one number and name by series; where each has a series UID of its own (anonymisers), they are one."""
    series: defaultdict[str, list[Header]] = defaultdict(list)
    for one in group:
        series[one.key].append(one)
    if len(series) >= len({one.uid for one in group}):
        return [(set(series), group)]
    return [({key}, images) for key, images in series.items()]


def _series(images: list[Header]) -> _Series:
    first = images[0]
    kinds = {one.kind for one in images if not (one.is_alone or one.is_mixed)}
    kinds |= {kind for one in islice((one for one in images if one.is_alone), _LOOKED_INTO) if (kind := _looked_into(one))}
    return _Series(first.number, first.description, first.protocol, frozenset(kinds), len({one.uid for one in images}))


def _looked_into(one: Header) -> Kind | None:
    try:
        return functional.kind(dicom.read(one.content(), "", 0.0).dataset)
    except Exception:  # the reader proper will say what is wrong
        return None
