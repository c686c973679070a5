"""A file that is de-identified: its bytes, its new names, what was done to it and what went."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pydicom._uid_dict import UID_dictionary

from rtbids.deidentify import charsets, private
from rtbids.deidentify.notes import Element, Notes, Path
from rtbids.deidentify.profile import Action


class Done(Mapping[str, Action]):
    """What was done, by where the element lies: ``(0040,0275)[0].(0008,0050)``."""

    def __init__(self, notes: Notes) -> None:
        self._done, self._creators, self._sequences = notes.done, notes.creators, notes.sequences

    def shown(self) -> Iterator[tuple[str, Action]]:
        """Yield the same with who made a private block in the place of its number, which is another in each file."""
        for number, (path, tag, action) in enumerate(self._done):
            yield self._outer(path) + _with_creator(tag, self._creators.get(number, "")), action

    def _outer(self, path: Path) -> str:
        if not path:
            return ""
        outer, tag, item = path
        return f"{self._outer(outer)}{_with_creator(tag, self._sequences.get((outer, tag), ''))}[{item}]."

    @cached_property
    def _named(self) -> dict[str, Action]:
        return {_place(path) + _tag(tag): action for path, tag, action in self._done}

    def __getitem__(self, key: str) -> Action:
        return self._named[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)


@dataclass(frozen=True, eq=False, repr=False)
class Clean:
    """A file that is de-identified; all that is named here is new, but for what went (`removed`), which stays in memory.

    `name` is what the file is to be called: patient/series/instance.dcm. `remarks` are said to whoever runs it.
    """

    content: bytes
    sop_class: str
    instance: str
    series: str
    study: str
    patient: str
    name: str
    done: Mapping[str, Action]
    gone: frozenset[Element] = field(repr=False)
    remarks: tuple[str, ...] = ()
    accession: str = ""
    shift_days: int | None = None

    @cached_property
    def removed(self) -> frozenset[str | bytes]:
        """The values that went: texts decoded, each value by itself; anything else as bytes."""
        return frozenset(_values(self.gone))

    @cached_property
    def removed_public(self) -> frozenset[str | bytes]:
        """Those of them that stood in public elements; private ones are mostly technical."""
        return frozenset(_values(element for element in self.gone if not element.tag >> 16 & 1))


def _values(gone: Iterable[Element]) -> Iterator[str | bytes]:
    for element in gone:
        if element.vr in ("PN", "LO", "SH", "ST", "LT", "UT", "UC", "UR", "AE", "UI", "DA", "DT", "TM", "AS", "CS", "DS", "IS"):
            found = (one.strip(" \0") for one in charsets.decoded(element.value, element.charset).split("\\"))
            yield from (one for one in found if one and one not in UID_dictionary)  # those of the standard stay elsewhere
        else:
            yield element.value


def _place(path: Path) -> str:
    return f"{_place(path[0])}{_tag(path[1])}[{path[2]}]." if path else ""


def _with_creator(tag: int, creator: str) -> str:
    """Return ``(0019,xx0C SIEMENS MR HEADER)``; a creator that nobody knows may be anything, also a name."""
    if not tag >> 16 & 1 or tag & 0xFFFF < 0x1000:
        return _tag(tag)
    name = creator if private.is_known(creator) else "unknown creator" if creator else "no creator"
    return f"({tag >> 16:04X},xx{tag & 0xFF:02X} {name})"


def _tag(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
