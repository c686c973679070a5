"""What a pass over a file goes by, and what it finds: rules, elements that went, texts that stayed, edits to be made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from rtbids.deidentify.profile import Action, Profile

_MOST_NOTED = 1024  # bytes of a value that went

Path = tuple[()] | tuple["Path", int, int]  # where an element lies: outer item, tag of the sequence, number of the item
Edit = tuple[int, int, bytes]  # from, to, what stands there now


class Element(NamedTuple):
    """One that is not merely copied. `vr` is that of the dictionary where the file says UN."""

    tag: int
    vr: str
    value: bytes
    charset: bytes


@dataclass
class Notes:
    """What a pass found: what was done, the values that went, the texts that stayed (with their character sets, or signs)."""

    done: list[tuple[Path, int, Action]] = field(default_factory=list)
    gone: set[Element] = field(default_factory=set)
    texts: set[tuple[bytes, bytes]] = field(default_factory=set)
    remarks: set[str] = field(default_factory=set)
    creators: dict[int, str] = field(default_factory=dict)  # of a private element, by its number in `done`
    sequences: dict[tuple[Path, int], str] = field(default_factory=dict)  # the same of those that something lies in

    def take(self, element: Element) -> None:
        """Take note of an element that goes."""
        if element.value:
            self.gone.add(element._replace(value=element.value[:_MOST_NOTED]))


@dataclass(frozen=True)
class Rules:
    """What a pass does: `new` gives the new value of an element for an action, `cleaned` the new text of a text that stays."""

    profile: Profile
    new: Callable[[Action, Element], bytes]
    cleaned: Mapping[tuple[bytes, bytes], bytes] = field(default_factory=dict)


@dataclass
class Creators:
    """The private blocks of one dataset: who made them, and which of them still hold anything."""

    places: dict[int, tuple[str, int, int]] = field(default_factory=dict)  # by group and block: name, from, to
    used: set[int] = field(default_factory=set)

    def name(self, tag: int) -> str:
        """Return who made the block of a private element; empty where nobody says so."""
        place = self.places.get(tag >> 8)
        return place[0] if place else ""


def edited(content: bytes, position: int, edits: list[Edit]) -> bytes:
    """Return the bytes from `position` on with the edits made."""
    chunks: list[bytes] = []
    for start, stop, new in sorted(edits):
        chunks += (content[position:start], new)
        position = stop
    return b"".join((*chunks, content[position:]))
