"""Which public texts stay that the table of the standard does not list: those of ``kept.yaml``; all others go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydicom.datadict import tag_for_keyword

from rtbids.deidentify import listed
from rtbids.deidentify.private_values import Values

LISTED = "kept.yaml"
TEXT, WORDS, NUMBERS = "text", "words", "numbers"


@dataclass(frozen=True)
class Kept:
    """How an element is kept: as `text`, by its known `words`, as `numbers`, or where it fits `form`."""

    how: str
    why: str
    form: Values | None = None


@cache
def listing() -> Mapping[int, Kept]:
    """Return what stays, by tag."""
    return {_tag(keyword): _kept(said) for keyword, said in _listed()["elements"].items()}


@cache
def words(which: str) -> frozenset[str]:
    """Return the words that `makers` or `models` are named by, or of which `codes` are made."""
    return frozenset(word.casefold() for word in _listed()[which])


def fits(tag: int, text: str) -> bool:
    """Tell whether a text, or several, is what an element of a known form may hold."""
    form = listing()[tag].form
    return form is None or form.fit_texts([one.strip() for one in text.split("\\")])


@cache
def _listed() -> Mapping[str, Any]:
    return listed.load(LISTED)


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{LISTED}: the standard has no element {keyword}")
    return tag


def _kept(said: Mapping[str, Any]) -> Kept:
    how = said["keep"]
    if isinstance(how, str):
        if how not in (TEXT, WORDS, NUMBERS):
            raise ValueError(f"{LISTED}: expected text, words, numbers or a form, found {how}")
        return Kept(how, said["why"])
    return Kept("", said["why"], Values.of(how))
