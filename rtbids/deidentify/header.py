"""The elements at the top of a dataset, looked at before anything is changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pydicom.datadict import tag_for_keyword

from rtbids.deidentify import charsets, markers, part10, reading
from rtbids.deidentify.known import CHARACTER_SET, PIXELS
from rtbids.deidentify.profile import dictionary
from rtbids.deidentify.reading import Found
from rtbids.errors import BadData


def uid_text(value: bytes) -> str:
    """Return UIDs as text, without what fills them up."""
    return "\\".join(one.strip(" \0") for one in value.decode("ascii", "replace").split("\\"))


class Header:
    """The elements at the top of a dataset; called with a keyword it gives the value as text, "" where there is none."""

    def __init__(self, file: part10.File) -> None:
        self.file = file
        self._found: dict[int, Found] = {}
        self._order: list[tuple[int, int]] = []
        for found in reading.elements(file.content, file.position, len(file.content), file.encoding):
            self._found.setdefault(found.tag, found)
            self._order.append((found.tag, found.start))
        self.charset = self._bytes(CHARACTER_SET).strip(b" \0")

    def __call__(self, keyword: str) -> str:
        found = self._found.get(tag_for_keyword(keyword) or 0)
        if found is None:
            return ""
        value = self.file.content[found.value : found.stop]
        if dictionary(found.tag) == "US" and len(value) == 2:
            return str(self.file.encoding.short.unpack(value)[0])
        return uid_text(value) if dictionary(found.tag) == "UI" else charsets.decoded(value, self.charset)

    def tags(self) -> Collection[int]:
        return self._found.keys()

    def pixels(self) -> Found:
        """Return the one element that holds the pixels."""
        found = [tag for tag, _ in self._order if tag in PIXELS]
        if not found:
            raise reading.CutShort("the file ends before its pixel data")
        if len(found) > 1:
            raise BadData("it has pixel data more than once, the file is damaged")
        return self._found[found[0]]

    def elements(self, tags: Iterable[int]) -> list[Found]:
        return [self._found[tag] for tag in tags if tag in self._found]

    def _bytes(self, tag: int) -> bytes:
        found = self._found.get(tag)
        return self.file.content[found.value : found.stop] if found else b""

    def place_of(self, tag: int) -> int:
        """Return where an element with this tag is to be put."""
        return next((start for other, start in self._order if other > tag), len(self.file.content))

    def earlier(self) -> markers.Earlier:
        """Return what the file says of a de-identification before: the codes of its methods, and its words."""
        words = charsets.decoded(self._bytes(markers.METHOD), self.charset).split("\\")
        return markers.Earlier(self._methods(), tuple(one.strip() for one in words if one.strip()))

    def _methods(self) -> frozenset[str]:
        found = self._found.get(markers.METHODS)
        if found is None or not reading.is_sequence(self.file.content, found, self.file.encoding):
            return frozenset()
        inside = reading.leaves(self.file.content, found, self.file.encoding)
        codes = (self.file.content[one.value : one.stop] for one in inside if one.tag == markers.CODE)
        return frozenset(code.decode("latin-1").strip(" \0") for code in codes)
