"""Elements one after the other as they lie in the bytes, every length checked against what there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rtbids.deidentify.encoding import IMPLICIT, ITEM, ITEM_END, LONG, SEQUENCE_END, UNDEFINED, Encoding
from rtbids.deidentify.profile import dictionary
from rtbids.errors import BadData

DEEPEST = 50  # sequences in sequences; the standard's own need less than ten


class CutShort(BadData):
    """The bytes end within an element."""

    def __init__(self, message: str = "the file ends within an element") -> None:
        super().__init__(message, "it is cut short, or damaged: copy it anew from where it came from")


class Found(NamedTuple):
    """An element: where it begins, where its value does, where that ends; `undefined` where a delimiter says so."""

    tag: int
    vr: str
    start: int
    value: int
    stop: int
    undefined: bool = False


def elements(content: bytes, position: int, end: int, encoding: Encoding, depth: int = 0) -> Iterator[Found]:
    """Yield the elements from `position` to `end`, or up to the delimiter of their item."""
    while position < end:
        found = element(content, position, end, encoding, depth)
        yield found
        if found.tag == ITEM_END:
            return
        position = found.stop


def element(content: bytes, position: int, end: int, encoding: Encoding, depth: int = 0) -> Found:
    """Return the element at `position`; the delimiter of a value of undefined length belongs to it."""
    if end - position < 8:
        raise CutShort
    group, number = encoding.tag.unpack_from(content, position)
    tag = group << 16 | number
    vr, value = _representation(content, position, tag, encoding)
    if value > end:
        raise CutShort
    if value - position == 8 and not (encoding.implicit or group == 0xFFFE):
        length: int = encoding.short.unpack_from(content, position + 6)[0]
    else:
        length = encoding.long.unpack_from(content, value - 4)[0]
    if length == UNDEFINED:
        inside = IMPLICIT if vr == "UN" else encoding
        return Found(tag, vr, position, value, end_of_items(content, value, end, inside, depth), undefined=True)
    if value + length > end:
        raise CutShort
    return Found(tag, vr, position, value, value + length)


def _representation(content: bytes, position: int, tag: int, encoding: Encoding) -> tuple[str, int]:
    if encoding.implicit or tag >> 16 == 0xFFFE:
        return dictionary(tag), position + 8
    name = content[position + 4 : position + 6]
    if not (name.isalpha() and name.isupper()):
        raise BadData("an element has no VR that the standard knows, the file is damaged")
    return name.decode("ascii"), position + (12 if name in LONG else 8)


def end_of_items(content: bytes, position: int, end: int, encoding: Encoding, depth: int = 0) -> int:
    """Return where a value of undefined length ends, its delimiter included."""
    if depth > DEEPEST:
        raise BadData(f"sequences lie more than {DEEPEST} deep in each other")
    while True:
        if end - position < 8:
            raise CutShort
        group, number = encoding.tag.unpack_from(content, position)
        tag, length = group << 16 | number, encoding.long.unpack_from(content, position + 4)[0]
        if tag == SEQUENCE_END:
            return position + 8
        if tag != ITEM:
            raise BadData("a sequence holds what is no item, the file is damaged")
        position = position + 8 + length if length != UNDEFINED else _end_of_item(content, position + 8, end, encoding, depth)


def _end_of_item(content: bytes, position: int, end: int, encoding: Encoding, depth: int) -> int:
    for found in elements(content, position, end, encoding, depth + 1):
        if found.tag == ITEM_END:
            return found.stop
    raise CutShort


def leaves(content: bytes, found: Found, encoding: Encoding, depth: int = 0) -> Iterator[Found]:
    """Yield the elements that lie in a sequence, at any depth."""
    inside = IMPLICIT if found.vr == "UN" else encoding
    if depth > DEEPEST:
        raise BadData(f"sequences lie more than {DEEPEST} deep in each other")
    position = found.value
    while position < found.stop:
        group, number = inside.tag.unpack_from(content, position)
        if group << 16 | number != ITEM:
            return
        length, position = inside.long.unpack_from(content, position + 4)[0], position + 8
        for one in elements(content, position, found.stop if length == UNDEFINED else position + length, inside, depth):
            position = one.stop
            if one.tag != ITEM_END and is_sequence(content, one, inside):
                yield from leaves(content, one, inside, depth + 1)
            elif one.tag != ITEM_END:
                yield one


def is_sequence(content: bytes, found: Found, encoding: Encoding) -> bool:
    """Tell whether a value holds items: by its VR, or where that is unknown by its first bytes."""
    if found.vr == "SQ":
        return True
    if found.vr != "UN":
        return False
    first = content[found.value : found.value + 4]
    return first == b"\xfe\xff\x00\xe0" or (found.undefined and first == b"\xfe\xff\xdd\xe0")
