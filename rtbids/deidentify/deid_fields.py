"""What a field of a `deid` recipe means: a keyword, a name, a tag, or all whose name holds, begins with or ends with a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_has_tag

from rtbids.deidentify.elements_named import meant

_PRIVATE = re.compile(r'\(?([0-9A-Fa-f]{4}),"([^"]+)",([0-9A-Fa-f]{2})\)?')
_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?\s?([0-9A-Fa-f]{4})\)?")
_EXPANDER = re.compile(r'([^:"]+):(.+)')


class Unclear(Exception):
    """A field, or what is to be done with it, has no counterpart; the text says why."""


@dataclass(frozen=True)
class Fields:
    """Elements by tag, by pattern of their keywords, or by private creator."""

    tags: frozenset[int] = frozenset()
    globs: tuple[str, ...] = ()
    private: tuple[tuple[str, str], ...] = ()
    everything: bool = False

    def with_more(self, other: Fields) -> Fields:
        private = (*self.private, *other.private)
        return replace(self, tags=self.tags | other.tags, globs=(*self.globs, *other.globs), private=private)

    def patterns(self) -> Iterator[int | str]:
        yield from self.globs
        yield from sorted(self.tags)

    def means(self, tag: int) -> bool:
        return tag in self.tags or any(tag in _tags(glob) for glob in self.globs)


def split(line: str) -> list[str]:
    """Split a line at its spaces, not at those in quotes."""
    return re.findall(r"""(?:[^\s"']+|"[^"]*"|'[^']*')+""", line) or [line]


def read(text: str, lists: Mapping[str, Fields]) -> Fields:
    """Return what a field means; `lists` are those of ``%fields``.

    Raises
    ------
    Unclear
        It means nothing here.
    """
    if text.lower() == "all":
        raise Unclear("all elements at once: the basic profile decides for each; name those that are to differ")
    if text in lists:
        return lists[text]
    if private := _PRIVATE.fullmatch(text):
        return Fields(private=((private[2], f"({private[1]},xx{private[3]})"),))
    if expander := _EXPANDER.fullmatch(text):
        return _expanded(expander[1].lower(), expander[2], text)
    return Fields(tags=_single(text))


def _single(text: str) -> frozenset[int]:
    if tag := _TAG.fullmatch(text):
        number = int(tag[1] + tag[2], 16)
        if number >> 16 & 1:
            raise Unclear('a private element is named with its creator: (0019,"SIEMENS MR HEADER",0A)')
        if not dictionary_has_tag(number):
            raise Unclear("no such element in the standard; unknown ones are always removed")
        return frozenset((number,))
    found = frozenset(tag for tag, names in _names().items() if text.lower() in (names[0].lower(), names[1].lower()))
    if not found:
        raise Unclear("no element has this name" + (", and nested ones are not named by path" if "__" in text else ""))
    return found


def _expanded(expander: str, expression: str, text: str) -> Fields:
    if expander in ("fields", "values"):
        raise Unclear(f"there is no list %{expander} {expression}" if expander == "fields" else "lists of values do not map")
    if expander == "select":
        return _selected(expression)
    if expander == "except":
        raise Unclear("all elements but some: the basic profile decides for each; name those that are to differ")
    forms = {"contains": "{}", "startswith": "^({})", "endswith": "({})$"}
    if expander not in forms:
        raise Unclear(f"unknown {expander}:")
    try:
        pattern = re.compile(forms[expander].format(expression), re.IGNORECASE)
    except re.error:
        raise Unclear("no regular expression") from None
    wanted = frozenset(tag for tag, names in _names().items() if any(map(pattern.search, (*names, *_written(tag)))))
    if not wanted:
        raise Unclear("no element of the standard is meant")
    return _shortened(wanted, expander, expression)


def _selected(expression: str) -> Fields:
    kind, _, value = expression.partition(":")
    if kind.lower() == "vr":
        found = frozenset(tag for tag, _ in meant(value[:2].upper()) if value) if len(value) >= 2 else frozenset()
    elif kind.lower() == "group" and re.fullmatch("[0-9A-Fa-f]{1,4}", value):
        found = frozenset(tag for tag in _names() if tag >> 16 == int(value, 16))
    else:
        raise Unclear("expected select:VR:.. or select:group:....")
    if not found:
        raise Unclear("no public element is meant")
    return Fields(tags=found)


def _shortened(wanted: frozenset[int], expander: str, expression: str) -> Fields:
    """Return `wanted` as one pattern and what else there is, where a pattern means nothing more than that."""
    forms = {"contains": "*{}*", "startswith": "{}*", "endswith": "*{}"}
    if expression.isalnum():
        for spelt in (expression, expression[0].upper() + expression[1:]):
            glob = forms[expander].format(spelt)
            if (covered := _tags(glob)) and covered <= wanted:
                return Fields(tags=wanted - covered, globs=(glob,))
    return Fields(tags=wanted)


@cache
def _tags(glob: str) -> frozenset[int]:
    return frozenset(tag for tag, _ in meant(glob))


@cache
def _names() -> dict[int, tuple[str, str]]:
    """Return keyword and name of the elements of a data set; the file's own head is written anew in any case."""
    return {tag: (entry[4], entry[2]) for tag, entry in DicomDictionary.items() if entry[4] and tag >> 16 > 6}


def _written(tag: int) -> tuple[str, str]:
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})", f"{tag:08x}"
