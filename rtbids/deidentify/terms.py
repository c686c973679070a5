"""What must not stand in a text that stays: names and their parts, identifiers, dates, in all their spellings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from rtbids.deidentify.charsets import decoded
from rtbids.deidentify.notes import Element
from rtbids.deidentify.profile import rows
from rtbids.deidentify.words import is_of_the_trade, vocabulary

# Where a term is looked for: in free text, in a maker's private words, in codes and terms of technique that are none of the
# trade, in all of them.
FREE, MAKER, CODED, TECHNIQUE = 1, 2, 4, 8
_USUAL = FREE | MAKER | CODED
_ALWAYS = _USUAL | TECHNIQUE
LONGEST = 64
_PARTS = re.compile(r"[\s^=,.\-_]+")
_LEAST_TERM, _LEAST_PART, _LEAST_WORD, _LEAST_DIGITS = 4, 2, 5, 5
_IDENTIFIERS = frozenset({0x00100020, 0x00101000, 0x00080050, 0x00101001, 0x00102154, 0x00102155, 0x00101040})
_NUMBERED = _IDENTIFIERS | {0x00181000, 0x00200010, 0x00380010, 0x00081010, 0x00400241}  # serial, study, admission, stations
# Institution, addresses, department, stations, location, service, issuer, residence.
_PLACES = frozenset(
    {0x00080080, 0x00080081, 0x00081040, 0x00101040, 0x00081010, 0x00400241, 0x00400243, 0x00321033, 0x00100021}
    | {0x00102150, 0x00102152}
)
_LEAST_NUMBERED = 4  # digits of a word that is not letters alone
_TELEPHONE = 0x00102154
_LEAST_CODE = 5  # characters
_LEAST_DESCRIPTION = 12  # characters: a shorter one may be the word of the trade that a kept element is made of
_TEXTS = frozenset({"LO", "SH", "AE", "UC", "ST", "LT", "UT"})
_UMLAUTS = {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "ø": "oe", "å": "aa", "æ": "ae"}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_IDEOGRAPHS = 0x2E80  # the first character of scripts in which one sign may be a name


class Term(NamedTuple):
    """What must not stand in a text, and in which texts; `alone`: only as a word by itself."""

    text: str
    reach: int
    alone: bool = False


def terms(gone: Iterable[Element]) -> Iterator[Term]:
    """Yield what must not stand in a text, and where. A word of the trade names nobody: a patient may be called Rest."""
    for element in gone:
        yield from _named_by(element)


@lru_cache(1 << 12)
def _named_by(element: Element) -> tuple[Term, ...]:
    return tuple(term for term in _of(element) if term.text.casefold() not in vocabulary())


def _of(element: Element) -> Iterator[Term]:
    if element.vr == "PN":
        yield from (Term(part, _reach(part, _ALWAYS)) for part in _of_name(decoded(element.value, element.charset)))
    elif element.vr in ("DA", "DT"):
        yield from (Term(spelling, _USUAL) for spelling in _of_dates(element.value))
    elif element.vr in _TEXTS and element.tag in rows():
        least = _LEAST_DESCRIPTION if "descriptors" in rows()[element.tag][1] else _LEAST_TERM
        text = decoded(element.value, element.charset)
        most = _ALWAYS if element.tag in _IDENTIFIERS else _USUAL
        yield from (Term(one, _reach(one, most)) for one in _of_text(text, least))
        if element.tag in _NUMBERED:
            yield from (Term(one, _USUAL) for one in _of_identifier(text, is_telephone=element.tag == _TELEPHONE))
        if element.tag in _PLACES:
            yield from (Term(one, FREE | CODED) for one in re.split(r"[\W\d_]+", text) if len(one) >= _LEAST_WORD)
        if least == _LEAST_DESCRIPTION:
            yield from (Term(one, FREE | CODED, alone=True) for one in _telling_words(text))


def _telling_words(text: str) -> Iterator[str]:
    """Yield the words of a text that are none of the trade: who is named in a description may be named in a kept text too."""
    for word in re.split(r"[\W_]+", text):
        is_telling = word.isalpha() or sum(map(str.isdigit, word)) >= _LEAST_NUMBERED
        if len(word) >= _LEAST_TERM and is_telling and not is_of_the_trade(word):
            yield word


def _reach(term: str, most: int) -> int:
    """Return how far a term is looked for: XA60 is a version of software, and two letters stand for many things."""
    if len(term) <= _LEAST_PART and term.isascii():
        return FREE | CODED
    return FREE | MAKER if len(term) < _LEAST_CODE and not term.isalpha() else most


def _of_identifier(text: str, *, is_telephone: bool) -> Iterator[str]:
    """Yield the numbers in identifiers, without what others leave out: zeros, the letters about them, the code of a country."""
    for one in text.split("\\"):
        digits = re.sub(r"\D", "", one)
        found = [run.lstrip("0") for run in re.findall(r"\d+", one)] + [one.strip().partition("-")[2]]
        found += [digits[2:], digits[3:]] if is_telephone else []
        yield from (run for run in found if sum(map(str.isdigit, run)) >= _LEAST_DIGITS)


def _of_name(text: str) -> Iterator[str]:
    for name in text.split("\\"):
        for group in name.split("="):
            parts = [part for part in _PARTS.split(group) if part]
            for part in (*parts, *_joined(parts), *_given(parts)):
                yield from (one for one in spellings(part) if len(one) >= (1 if ord(one[0]) >= _IDEOGRAPHS else _LEAST_PART))


def _joined(parts: list[str]) -> Iterator[str]:
    """Yield the first two parts of a name in one word, also with an initial: DoeJane, JaneDoe, DoeJ, JDoe."""
    if len(parts) > 1:
        family, given = parts[:2]
        made = (family + given, given + family, family + given[0], given[0] + family, given + family[0], family[0] + given)
        yield from (one for one in made if len(one) >= _LEAST_TERM)


def _given(parts: list[str]) -> Iterator[str]:
    """Yield the given name of one that is written without a break, as in Chinese: all but the first sign, or the first two."""
    whole = parts[0] if len(parts) == 1 and ord(parts[0][0]) >= _IDEOGRAPHS else ""
    yield from (whole[first:] for first in (1, 2) if len(whole) - first > 1)


@lru_cache(1 << 12)
def spellings(word: str) -> frozenset[str]:
    """Return a word as keyboards and programs write it: with accents of their own or none, umlauts as two letters or one."""
    composed = unicodedata.normalize("NFKC", word)
    apart = unicodedata.normalize("NFD", composed)
    plain = "".join(one for one in apart if not unicodedata.combining(one)).replace("ß", "ss")
    spelt = {word, composed, apart, plain if plain.isascii() else composed}
    return frozenset(spelt | {_replaced(composed, _UMLAUTS), _replaced(composed, {two: one for one, two in _UMLAUTS.items()})})


def _replaced(word: str, letters: Mapping[str, str]) -> str:
    for old, new in letters.items():
        word = word.replace(old, new)
    return word


def _of_text(text: str, least: int) -> Iterator[str]:
    for one in (text, *text.split("\\")):
        if least <= len(one.strip()) <= LONGEST:
            yield one.strip()


@lru_cache(256)
def _of_dates(value: bytes) -> tuple[str, ...]:
    """Return the spellings of dates: 20190203, 2019-02-03, 3.2.2019, 02/03/2019, 3 Feb 2019 and their like."""
    return tuple(spelling for found in re.findall(rb"(\d{4})\.?(\d{2})\.?(\d{2})", value) for spelling in _spellings(*found))


def _spellings(*numbers: bytes) -> Iterator[str]:
    year, month, day = (number.decode() for number in numbers)
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return
    yield year + month + day
    yield year[2:] + month + day
    yield day + month + year
    yield month + day + year
    for mark in "-./":
        for first, second in ((month, day), (str(int(month)), str(int(day)))):
            yield from (f"{year}{mark}{first}{mark}{second}", f"{second}{mark}{first}{mark}{year}")
            yield f"{first}{mark}{second}{mark}{year}"
    name = _MONTHS[int(month) - 1]
    yield from (f"{day}.{month}.{year[2:]}", f"{month}/{day}/{year[2:]}", f"{day}.{name}.{year[2:]}", f"{year}.{name}.{day}")
    for mark in (" ", "-", ". "):
        yield from (f"{day}{mark}{name} {year}", f"{int(day)}{mark}{name} {year}", f"{name} {int(day)}, {year}")
        yield from (f"{day}-{name}-{year}", f"{name} {day} {year}")
