"""Of the names of protocols only known words stay: those that such names are made of (``words.txt``)."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import files

from rtbids.deidentify.charsets import decoded, encoded
from rtbids.deidentify.kept import words as listed

_BREAKS = re.compile(r"([\s_^/+,;:()\[\]{}|\\&@=]+)")
_ENTITY = re.compile(
    r"((?:task|acq|dir|run|echo|part|rec|ce|inv|mt)-)([A-Za-z\d]{1,32})|(ses-)([A-Za-z]?\d{1,3})", re.IGNORECASE
)
_PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+(?:[.,]\d+)?|.")
_MANY_DIGITS = re.compile(r"\d{5}")
_GROUPS = re.compile(r"(?<!\d)\d{1,8}(?:[\s_./-]+\d{1,8}){2,}(?!\d)")  # a date, a telephone number
_YEARS = (range(1900, 2000), range(2001, 2030))
_VERSION = re.compile(r"[A-Z]{1,2}\d{2}[A-Z]?|V\d[\dSPVRO.*]{0,12}|release:[A-Z]{2}\d\d\.\d_R\d\d_\d{4}\.[a-z]")


def words_kept(value: bytes, charset: bytes, words: frozenset[str]) -> bytes:
    """Return of a protocol's name the words that names of protocols are made of, BIDS entities, and small numbers."""
    values = decoded(value, charset).split("\\")
    return encoded("\\".join(words_kept_in(one, words) for one in values), charset)


def words_kept_in(text: str, words: frozenset[str] = frozenset()) -> str:
    """Return of one name its known words."""
    kept: list[str] = []
    pieces = _BREAKS.split(_GROUPS.sub("", text).strip())
    for between, piece in zip(["", *pieces[1::2]], pieces[::2], strict=True):
        if known := "-".join(part for part in _parts(piece) if _is_known(part, words)):
            kept += [between if kept else "", known]
    return "".join(kept)


def _parts(piece: str) -> list[str]:
    is_one = _ENTITY.fullmatch(piece) or piece.replace("-", "").casefold() in vocabulary()
    return [piece] if is_one else piece.split("-")


def _is_known(part: str, words: frozenset[str]) -> bool:
    if _MANY_DIGITS.search(part) or len(part) > 40:
        return False
    if entity := _ENTITY.fullmatch(part):
        return bool(entity[3]) or entity[2].isdigit() or _is_known(entity[2], words)
    if part.casefold() in words or part.replace("-", "").casefold() in vocabulary():
        return True
    pieces = _PIECES.findall(part)
    return bool(pieces) and all(_is_piece(piece, pieces, words) for piece in pieces)


def _is_piece(piece: str, pieces: list[str], words: frozenset[str]) -> bool:
    """Tell whether a piece of a word is a known one, a number, or a letter beside a number (p2, 3T, 2x2)."""
    if piece[0].isdigit():
        return len(piece) <= 3 if len(pieces) == 1 else "." in piece or "," in piece or _is_setting(int(piece))
    if len(piece) == 1:
        return (len(pieces) > 1 and any(one[0].isdigit() for one in pieces)) or piece in ".*"
    return piece.casefold() in words or piece.casefold() in vocabulary()


def _is_setting(number: int) -> bool:
    """Tell whether a number beside letters may be a setting (TR2000, b1000): a year or an identifier is rarely round."""
    return number < 1000 or (number % 10 == 0 and not any(number in years for years in _YEARS))


def is_of_the_trade(text: str) -> bool:
    """Tell whether a text is made of known words, defined terms and versions of software: it names nobody."""
    return all(_is_term(word) for word in text.split())


@lru_cache(1 << 12)
def _is_term(word: str) -> bool:
    if _VERSION.fullmatch(word) or words_kept_in(word, makers() | listed("models")) == word:
        return True
    parts = [part.casefold() for part in word.split("_")]
    return all(part in listed("codes") or part in vocabulary() for part in parts)


def makers() -> frozenset[str]:
    """Return the words that makers are named by; persons may be called so too."""
    return listed("makers")


@cache
def vocabulary() -> frozenset[str]:
    """Return the words of which names of protocols and sequences are made."""
    text = files("rtbids.deidentify").joinpath("words.txt").read_text(encoding="utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())
