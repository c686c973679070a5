"""One pass over the bytes of a dataset: what stays is copied as it is, what goes is noted, what changes is written anew.

Elements are read by hand (PS3.5, 7), for two reasons: values that stay are never interpreted, and so never altered; and every
length is checked against what there is, which a reader meant for viewing does not do. What changes is a list of edits of the
bytes, made all at once at the end.
"""

from __future__ import annotations

import re

from rtbids.deidentify import charsets, reading
from rtbids.deidentify import known as knowledge
from rtbids.deidentify.encoding import IMPLICIT, ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, Encoding, even
from rtbids.deidentify.known import AS_WORD, CHARACTER_SET, CREATOR, FORM, PRIVATE, REMOVED, TEXT, Known
from rtbids.deidentify.notes import Creators, Edit, Element, Notes, Path, Rules
from rtbids.deidentify.private import PrivateRule
from rtbids.deidentify.profile import IMAGE, PATIENT_NAME, TEXTS, Action, dictionary
from rtbids.deidentify.reading import DEEPEST, CutShort, Found
from rtbids.errors import BadData

_COMMENTS, _GRADIENT = 0x00204000, re.compile(rb"b=\d{1,5}(\.\d)?\((-?[01]\.\d{1,6},){2}-?[01]\.\d{1,6}\)[ \0]?")


class Walk:
    """A pass over the bytes of a dataset and of everything in it."""

    def __init__(self, content: bytes, encoding: Encoding, rules: Rules, notes: Notes, edits: list[Edit] | None = None) -> None:
        self.content, self.encoding, self.rules, self.notes = content, encoding, rules, notes
        self.edits: list[Edit] = [] if edits is None else edits
        self.charset = b""
        self.depth = 0
        self._item_mark = encoding.tag.pack(ITEM >> 16, ITEM & 0xFFFF)
        self._private_rules = knowledge.private_memory(rules.profile)
        self._known = knowledge.memory(rules.profile, encoding)

    def dataset(self, position: int, end: int, path: Path = (), *, delimited: bool = False) -> tuple[int, int]:
        """Edit the elements up to `end`, or to the delimiter of the item; return how much longer they become, and the end."""
        creators, charset, more = Creators(), self.charset, 0
        while True:
            known, start, value, length = self._next(position, end)
            if known is None or known.tag == ITEM_END:
                break
            added, position = self._one(known, start, value, length, end, path, creators)
            more += added
        if delimited != (known is not None):
            raise CutShort
        self.charset = charset
        return more + self._without_idle(creators), end if known is None else value

    def _next(self, position: int, end: int) -> tuple[Known | None, int, int, int]:
        """Return the next element that is not merely copied: where it begins, where its value does, and its length."""
        content, memory, texts, cleaned = self.content, self._known, self.notes.texts, self.rules.cleaned
        implicit, long, short = self.encoding.implicit, self.encoding.long.unpack_from, self.encoding.short.unpack_from
        head, last, signs = 4 if implicit else 6, end - 8, knowledge.signs(self.charset)
        while position <= last:
            known = memory[content[position : position + head]]
            kind = known.kind
            if known.long:
                value = position + 12
                if value > end:
                    raise CutShort
                length = long(content, position + 8)[0]
            else:
                value = position + 8
                length = long(content, position + 4)[0] if implicit else short(content, position + 6)[0]
            stop = value + length
            if kind > FORM or length > known.most or length == UNDEFINED:
                if stop > end and length != UNDEFINED:
                    raise CutShort
                return known, position, value, length
            if stop > end:
                raise CutShort
            if kind and length:
                text = content[value:stop], signs[kind] or known.sign
                texts.add(text)
                if text in cleaned:
                    return known, position, value, length
            position = stop
        if position != end:
            raise CutShort
        return None, end, end, 0

    def _one(
        self, known: Known, start: int, value: int, length: int, end: int, path: Path, creators: Creators
    ) -> tuple[int, int]:
        """Do what is to be done with one element; return how much longer it becomes, and where the next begins."""
        tag = known.tag
        if tag in (ITEM, SEQUENCE_END):
            raise BadData("an item lies outside of a sequence, the file is damaged")
        if known.kind == CREATOR:
            return self._creator(tag, start, value, length, creators)
        decided = self._private(known, creators) if known.kind == PRIVATE else None
        noted = len(self.notes.done)
        action = decided.action if decided else known.action
        if action is Action.KEEP and decided and self.content[value : value + 4] == self._item_mark:
            action = Action.WALK
        if action is Action.WALK:
            walked = self._sequence(known, start, value, length, end, path)
            if walked:
                if decided and len(self.notes.done) > noted:
                    self.notes.sequences[path, tag] = creators.name(tag)
                return walked
            action = Action.REMOVE
        stop = value + length if length != UNDEFINED else self._end(known, value, end)
        found = Found(tag, known.vr, start, value, stop, length == UNDEFINED)
        if decided:
            self.notes.creators[noted] = creators.name(tag)
        return self._leaf(found, action, decided, path), stop

    def _end(self, known: Known, value: int, end: int) -> int:
        return reading.end_of_items(self.content, value, end, IMPLICIT if known.vr == "UN" else self.encoding, self.depth)

    def _creator(self, tag: int, start: int, value: int, length: int, creators: Creators) -> tuple[int, int]:
        stop = value + length
        if length == UNDEFINED:
            raise BadData("the creator of a private block has no length, the file is damaged")
        name, block = self.content[value:stop].decode("latin-1").strip(" \0"), tag >> 8 & 0xFFFF00 | tag & 0xFF
        if block in creators.places:
            self.edits.append((start, stop, b""))
            return start - stop, stop
        creators.places[block] = (name, start, stop)
        return 0, stop

    def _without_idle(self, creators: Creators) -> int:
        """Take away the creators of blocks in which nothing is left; return how much longer that makes the dataset."""
        idle = [(start, stop) for block, (_, start, stop) in creators.places.items() if block not in creators.used]
        self.edits += ((start, stop, b"") for start, stop in idle)
        return sum(start - stop for start, stop in idle)

    def _private(self, known: Known, creators: Creators) -> PrivateRule:
        """Return what becomes of a private element; within what stays, names, dates and UIDs are treated as anywhere."""
        place = creators.places.get(known.tag >> 8)
        if place is None:
            return REMOVED
        decided = self._private_rules[place[0], known.tag, known.vr]
        if decided.action is not Action.REMOVE:
            creators.used.add(known.tag >> 8)
        return decided

    def _sequence(self, known: Known, start: int, value: int, length: int, end: int, path: Path) -> tuple[int, int] | None:
        """Edit the items of a sequence; None where that cannot be because it is none that its VR would announce."""
        undefined, edits, done, before = length == UNDEFINED, len(self.edits), len(self.notes.done), (self.depth, self.charset)
        inside = self if known.vr != "UN" else self._implicit()
        try:
            more, stop = inside.items(value, end if undefined else value + length, (path, known.tag), delimited=undefined)
        except BadData:
            if undefined or known.vr == "SQ":
                raise
            del self.edits[edits:], self.notes.done[done:]
            self.depth, self.charset = before
            return None
        if more and not undefined:
            self.edits.append((value - 4, value, self.encoding.long.pack(length + more)))
        return more, stop

    def _implicit(self) -> Walk:
        """Return a pass over what lies in an element of VR UN: implicit VR, little endian, always (PS3.5, 6.2.2)."""
        walk = Walk(self.content, IMPLICIT, self.rules, self.notes, self.edits)
        walk.charset, walk.depth = self.charset, self.depth
        return walk

    def items(self, position: int, end: int, place: tuple[Path, int], *, delimited: bool) -> tuple[int, int]:
        """Edit the items of a sequence up to `end`, or to its delimiter; return how much longer they become, and the end."""
        if self.depth >= DEEPEST:
            raise BadData(f"sequences lie more than {DEEPEST} deep in each other")
        self.depth += 1
        more, number = 0, 0
        while position < end or delimited:
            if end - position < 8:
                raise CutShort
            tag, length = self._item(position)
            if tag == SEQUENCE_END:
                position += 8
                break
            added, position = self._in_item(position, length, end, (*place, number))
            more, number = more + added, number + 1
        self.depth -= 1
        return more, position

    def _item(self, position: int) -> tuple[int, int]:
        group, number = self.encoding.tag.unpack_from(self.content, position)
        tag = group << 16 | number
        if tag not in (ITEM, SEQUENCE_END):
            raise BadData("a sequence holds what is no item, the file is damaged")
        return tag, self.encoding.long.unpack_from(self.content, position + 4)[0]

    def _in_item(self, position: int, length: int, end: int, path: Path) -> tuple[int, int]:
        if length == UNDEFINED:
            return self.dataset(position + 8, end, path, delimited=True)
        stop = position + 8 + length
        if stop > end:
            raise CutShort
        more, _ = self.dataset(position + 8, stop, path)
        if more:
            self.edits.append((position + 4, position + 8, self.encoding.long.pack(length + more)))
        return more, stop

    def _leaf(self, found: Found, action: Action, decided: PrivateRule | None, path: Path) -> int:
        """Treat an element as a whole; return how much longer it becomes."""
        vr = dictionary(found.tag) if found.vr == "UN" else found.vr
        element = Element(found.tag, vr, self.content[found.value : found.stop], self.charset)
        if found.tag == CHARACTER_SET:
            new = charsets.known_sets(element.value)
            self.charset = new.strip(b" \0")
            return self._renewed(found, element, new, Action.CLEAN, path)
        if action is Action.REMOVE and self._is_gradient(element):
            return 0
        if action is Action.REMOVE or (found.tag in IMAGE and path):
            return self._removed(found, element, path)
        if action is Action.PATIENT and path and (found.tag == PATIENT_NAME or not element.value):  # another person perhaps
            action = Action.EMPTY
        if action is Action.KEEP and decided is None and len(element.value) > (most := knowledge.most(found.tag, vr)):
            return self._renewed(found, element, element.value[:most], Action.CLEAN, path)
        if action is Action.KEEP and not (kind := knowledge.kind(found.tag, vr)):
            return 0
        sign = self._sign(found.tag, kind if action is Action.KEEP else TEXT, is_private=decided is not None)
        new = self._new(action, element, decided, sign)
        if decided and decided.block and not new and element.value.strip(b" \0"):
            self.notes.remarks.add(f"its {decided.block} is damaged and left out: what is read from it, as slice times, lacks")
            return self._removed(found, element, path)
        return self._renewed(found, element, new, action, path)

    def _is_gradient(self, element: Element) -> bool:
        """Tell whether a comment is nothing but the direction of a gradient, which Canon writes nowhere else."""
        is_one = element.tag == _COMMENTS and _GRADIENT.fullmatch(element.value)
        return bool(is_one) and self.rules.profile.change(element.tag, element.vr) is None

    def _sign(self, tag: int, kind: int, *, is_private: bool) -> bytes:
        if kind == TEXT and is_private:
            return AS_WORD + self.charset
        return knowledge.signs(self.charset)[kind] or (knowledge.form(tag) if kind == FORM else b"")

    def _new(self, action: Action, element: Element, decided: PrivateRule | None, sign: bytes) -> bytes:
        """Return the new value; a text that is kept so far may yet repeat a value that goes."""
        if action is Action.MASK and decided and decided.mask:
            new = decided.mask(element.value)
        else:
            new = element.value if action is Action.KEEP else self.rules.new(action, element)
        if new and (action is Action.KEEP or element.vr in TEXTS):
            self.notes.texts.add((new, sign))
            new = self.rules.cleaned.get((new, sign), new)
        return new

    def _removed(self, found: Found, element: Element, path: Path) -> int:
        self.edits.append((found.start, found.stop, b""))
        self.notes.done.append((path, found.tag, Action.REMOVE))
        if reading.is_sequence(self.content, found, self.encoding):
            for leaf in reading.leaves(self.content, found, self.encoding, self.depth):
                self.notes.take(Element(leaf.tag, leaf.vr, self.content[leaf.value : leaf.stop], self.charset))
        else:
            self.notes.take(element)
        return found.start - found.stop

    def _renewed(self, found: Found, element: Element, new: bytes, action: Action, path: Path) -> int:
        if new == element.value or (new := even(new, found.vr)) == element.value:
            return 0
        self.notes.take(element)
        self.notes.done.append((path, found.tag, Action.CLEAN if action is Action.KEEP else action))
        written = self.encoding.header(found.tag, found.vr, len(new)) + new
        self.edits.append((found.start, found.stop, written))
        return len(written) - (found.stop - found.start)
