"""Free text: what repeats a value that goes elsewhere is cut out, and of the names of protocols only known words stay."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib.resources import files

from pydicom.charset import convert_encodings, decode_bytes, encode_string

from rtbids.deidentify.profile import rows
from rtbids.deidentify.walk import Element

Text = tuple[bytes, bytes]  # value and character set
_DELIMITERS = {0x0A, 0x0C, 0x0D, 0x09, 0x5C, 0x5E, 0x3D}
_UID = re.compile(r"(?<![\d.])(?!1\.2\.840\.10008\.)[0-2](?:\.\d+){5,}")
_PARTS = re.compile(r"[\s^=,.\-_]+")
_LEAST_TERM, _LEAST_PART, _LONGEST_TERM, _SHORT = 4, 3, 64, 6
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_BREAKS = re.compile(r"([\s_^/+,;:()\[\]{}|\\&@=]+)")
_ENTITY = re.compile(r"(?:task|acq|dir|run|echo|part|rec|ce|inv|mt)-[A-Za-z0-9]{1,32}|ses-[A-Za-z]?\d{1,3}", re.IGNORECASE)
_PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+(?:[.,]\d+)?|.")
_MANY_DIGITS = re.compile(r"\d{5}")


def cleaned(texts: Iterable[Text], gone: Iterable[Element]) -> Mapping[Text, bytes]:
    """Return those texts that repeat a value that goes, each with what is left of it."""
    pattern = _pattern(frozenset(terms(gone)))
    return {text: new for text in texts if (new := _without(text, pattern)) is not None}


def terms(gone: Iterable[Element]) -> Iterator[str]:
    """Yield what must not stand in a text: names and their parts, identifiers, dates as people write them."""
    for element in gone:
        if element.vr == "PN":
            yield from _of_name(decoded(element.value, element.charset))
        elif element.vr in ("DA", "DT"):
            yield from _of_dates(element.value)
        elif element.vr in ("LO", "SH", "AE", "UC", "ST", "LT", "UT") and element.tag in rows():
            yield from _of_text(decoded(element.value, element.charset))


def words_kept(value: bytes, charset: bytes, words: frozenset[str]) -> bytes:
    """Return of a protocol's name the words that names of protocols are made of, BIDS entities, and small numbers."""
    values = decoded(value, charset).split("\\")
    return encoded("\\".join(_words_kept(one, words) for one in values), charset)


@lru_cache(1 << 13)
def decoded(value: bytes, charset: bytes) -> str:
    """Return a text by its Specific Character Set; what that does not know becomes replacement characters."""
    return decode_bytes(value, _encodings(charset), _DELIMITERS).strip(" \0")


def encoded(text: str, charset: bytes) -> bytes:
    return bytes(encode_string(text, _encodings(charset)))


@lru_cache(64)
def _encodings(charset: bytes) -> list[str]:
    names = [name.strip() for name in charset.decode("ascii", "replace").split("\\")]
    try:
        return list(convert_encodings(names if names != [""] else None))
    except LookupError:
        return ["iso8859"]


def _of_name(text: str) -> Iterator[str]:
    for name in text.split("\\"):
        for part in _PARTS.split(name):
            if len(part) >= (_LEAST_PART if part.isascii() else 2):
                yield part


def _of_text(text: str) -> Iterator[str]:
    for one in (text, *text.split("\\")):
        if _LEAST_TERM <= len(one.strip()) <= _LONGEST_TERM:
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
    for mark in (" ", "-", ". "):
        yield from (f"{day}{mark}{name} {year}", f"{int(day)}{mark}{name} {year}", f"{name} {int(day)}, {year}")
        yield from (f"{day}-{name}-{year}", f"{name} {day} {year}")


@lru_cache(64)
def _pattern(found: frozenset[str]) -> re.Pattern[str] | None:
    if not found:
        return None
    return re.compile("|".join(_of_term(term) for term in sorted(found, key=lambda term: (-len(term), term))), re.IGNORECASE)


def _of_term(term: str) -> str:
    """Return the expression of a term; a short one must stand alone, for it lies in many words."""
    inside = re.escape(term)
    return rf"(?<![^\W_]){inside}(?![^\W_])" if len(term) < _SHORT and term.isascii() else inside


@lru_cache(1 << 13)
def _without(text: Text, pattern: re.Pattern[str] | None) -> bytes | None:
    """Return the text without what it repeats, None where it repeats nothing."""
    whole = decoded(*text)
    left = _UID.sub("", pattern.sub("", whole) if pattern else whole)
    return None if left == whole else encoded(left.strip(), text[1])


def _words_kept(text: str, words: frozenset[str]) -> str:
    kept: list[str] = []
    pieces = _BREAKS.split(text.strip())
    for between, piece in zip(["", *pieces[1::2]], pieces[::2], strict=True):
        if known := "-".join(part for part in _parts(piece) if _is_known(part, words)):
            kept += [between if kept else "", known]
    return "".join(kept)


def _parts(piece: str) -> list[str]:
    return [piece] if _ENTITY.fullmatch(piece) else piece.split("-")


def _is_known(part: str, words: frozenset[str]) -> bool:
    if _MANY_DIGITS.search(part) or len(part) > 40:
        return False
    if _ENTITY.fullmatch(part) or part.casefold() in words:
        return True
    pieces = _PIECES.findall(part)
    return bool(pieces) and all(_is_piece(piece, pieces, words) for piece in pieces)


def _is_piece(piece: str, pieces: list[str], words: frozenset[str]) -> bool:
    """Tell whether a piece of a word is a known one, a number, or a letter beside a number (p2, 3T, 2x2)."""
    if piece[0].isdigit():
        return len(piece) <= (3 if len(pieces) == 1 else 5)
    if len(piece) == 1:
        return (len(pieces) > 1 and any(one[0].isdigit() for one in pieces)) or piece in ".*"
    return piece.casefold() in words or piece.casefold() in vocabulary()


@cache
def vocabulary() -> frozenset[str]:
    """Return the words of which names of protocols and sequences are made."""
    text = files("rtbids.deidentify").joinpath("words.txt").read_text(encoding="utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())
