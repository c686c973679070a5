"""Free text: what repeats a value that goes elsewhere is cut out, and of the names of protocols only known words stay."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib.resources import files

from rtbids.deidentify import kept
from rtbids.deidentify.charsets import decoded, encoded
from rtbids.deidentify.known import AS_CODE, AS_FORM, AS_NUMBER, AS_TERM, AS_TIME, AS_WORD, AS_WORDS
from rtbids.deidentify.profile import rows
from rtbids.deidentify.walk import Element

Text = tuple[bytes, bytes]  # value and character set, or a sign of how it is looked at
_UID = re.compile(r"(?<![\d.])(?!1\.2\.840\.10008\.)[0-2](?:\.\d+){5,}")
_PARTS = re.compile(r"[\s^=,.\-_]+")
_LEAST_TERM, _LEAST_PART, _LONGEST_TERM, _SHORT = 4, 3, 64, 6
_IDENTIFIERS = frozenset({0x00100020, 0x00101000, 0x00080050, 0x00101001, 0x00102154, 0x00102155, 0x00101040})
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|\d+(?:\.\d+)+|[-+]\d\d:?\d\d|")  # UIDs, time zones too
_CODE = re.compile(r"[A-Z0-9 _]{0,16}")
_LEAST_NUMBER = 6  # digits: a shorter identifier is the value of many elements that are numbers
_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
_NAMED_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
_SOME_DATE = re.compile(
    rf"(?<!\d)(?:{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|{_YEAR}([-./]){_MONTH}\1{_DAY}|{_DAY}([-./]){_MONTH}\2{_YEAR}"
    rf"|{_MONTH}([-./]){_DAY}\3{_YEAR}|{_DAY}[ .-]*{_NAMED_MONTH}[ .-]*{_YEAR}|{_NAMED_MONTH} {_DAY},? {_YEAR})(?!\d)",
    re.IGNORECASE,
)
_CLOCK = rb"([01]\d|2[0-3])(:?[0-5]\d(:?[0-6]\d(\.\d{1,6})?)?)?[ \0]*"
_TIMES = re.compile(rb"(" + _CLOCK + rb")?(\\(" + _CLOCK + rb")?)*")
_MOST_SEEN = 1 << 13
_FREE, _MAKER, _TECHNIQUE = range(3)
_DATE, _LEAST_CODE = 8, 5  # digits, characters
_LEAST_DESCRIPTION = 12  # characters: a shorter one may be the word of the trade that a kept element is made of
_TEXTS = frozenset({"LO", "SH", "AE", "UC", "ST", "LT", "UT"})
_UMLAUTS = {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "ø": "oe", "å": "aa", "æ": "ae"}
_SIGNS = (AS_TERM, AS_WORD, AS_WORDS)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_BREAKS = re.compile(r"([\s_^/+,;:()\[\]{}|\\&@=]+)")
_ENTITY = re.compile(r"(?:task|acq|dir|run|echo|part|rec|ce|inv|mt)-[A-Za-z0-9]{1,32}|ses-[A-Za-z]?\d{1,3}", re.IGNORECASE)
_PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+(?:[.,]\d+)?|.")
_MANY_DIGITS = re.compile(r"\d{5}")


def cleaned(texts: Iterable[Text], gone: Iterable[Element]) -> Mapping[Text, bytes]:
    """Return those texts that repeat a value that goes, each with what is left of it; and numbers that are none, as nothing."""
    search = _search(frozenset(terms(gone)))
    return {text: new for text in texts if (new := search.left_of(text)) is not None}


def terms(gone: Iterable[Element]) -> Iterator[tuple[str, int]]:
    """Yield what must not stand in a text, and where: in free text only, in a maker's words too, in terms of technique too.

    Those are names and their parts, identifiers, and dates as people write them.
    """
    for element in gone:
        if element.vr == "PN":
            yield from ((part, _reach(part, _TECHNIQUE)) for part in _of_name(decoded(element.value, element.charset)))
        elif element.vr in ("DA", "DT"):
            yield from ((spelling, _MAKER) for spelling in _of_dates(element.value))
        elif element.vr in _TEXTS and element.tag in rows():
            least = _LEAST_DESCRIPTION if "descriptors" in rows()[element.tag][1] else _LEAST_TERM
            most = _TECHNIQUE if element.tag in _IDENTIFIERS else _MAKER
            found = _of_text(decoded(element.value, element.charset), least)
            yield from ((one, _reach(one, most)) for one in found if one.casefold() not in vocabulary())


def _reach(term: str, most: int) -> int:
    """Return how far a term is looked for: a word of the trade may be the maker's, XA60 a version of software."""
    if term.casefold() in vocabulary():
        return _FREE
    return min(most, _MAKER) if len(term) < _LEAST_CODE and not term.isalpha() else most


def words_kept(value: bytes, charset: bytes, words: frozenset[str]) -> bytes:
    """Return of a protocol's name the words that names of protocols are made of, BIDS entities, and small numbers."""
    values = decoded(value, charset).split("\\")
    return encoded("\\".join(_words_kept(one, words) for one in values), charset)


def _of_name(text: str) -> Iterator[str]:
    for name in text.split("\\"):
        for group in name.split("="):
            parts = [part for part in _PARTS.split(group) if part]
            for part in (*parts, *_joined(parts)):
                yield from (one for one in spellings(part) if len(one) >= (_LEAST_PART if one.isascii() else 2))


def _joined(parts: list[str]) -> Iterator[str]:
    """Yield the first two parts of a name in one word, also with an initial: DoeJane, JaneDoe, DoeJ, JDoe."""
    if len(parts) > 1:
        family, given = parts[:2]
        made = (family + given, given + family, family + given[0], given[0] + family)
        yield from (one for one in made if len(one) >= _LEAST_TERM)


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
        if least <= len(one.strip()) <= _LONGEST_TERM:
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


class _Search:
    """What looks for a set of terms; it remembers the texts that it saw, for those of a series are the same."""

    def __init__(self, found: frozenset[tuple[str, int]]) -> None:
        self._by_reach = [_expression(term for term, reach in found if reach >= least) for least in (_FREE, _MAKER, _TECHNIQUE)]
        numbers = (term for term, reach in found if term.isdigit() and reach >= _MAKER)
        self._numbers = {term for term in numbers if len(term) == _DATE or len(term) >= _LEAST_NUMBER}
        self._seen: dict[Text, bytes | None] = {}

    def left_of(self, text: Text) -> bytes | None:
        """Return the text without what it repeats, None where it repeats nothing."""
        if text not in self._seen:
            if len(self._seen) > _MOST_SEEN:
                self._seen.clear()
            self._seen[text] = self._left_of(*text)
        return self._seen[text]

    def _left_of(self, value: bytes, sign: bytes) -> bytes | None:
        if sign == AS_TIME:
            return None if _TIMES.fullmatch(value) else b""
        if sign == AS_NUMBER:
            return None if self._are_numbers(value) else b""
        if sign == AS_CODE:
            return _codes_left(value, self._by_reach[_TECHNIQUE])
        if sign.startswith(AS_FORM):
            return None if kept.fits(int(sign[1:], 16), value.decode("latin-1").rstrip("\0")) else b""
        charset = sign[1:] if sign[:1] in _SIGNS else sign
        whole = decoded(value, charset)
        left = self._of_text(whole.partition("\0")[0], sign)  # most readers stop there, and something may hide behind
        return None if left == whole else encoded(left.strip(), charset)

    def _of_text(self, shown: str, sign: bytes) -> str:
        if sign.startswith(AS_TERM):
            return _terms_left(shown, self._by_reach[_TECHNIQUE])
        if sign.startswith(AS_WORD):
            return _words_left(shown, self._by_reach[_MAKER])
        if sign.startswith(AS_WORDS):
            shown = "\\".join(_words_kept(one, frozenset()) for one in shown.split("\\"))
        return _words_left(_words_left(shown, self._by_reach[_FREE]), _SOME_DATE)

    def _are_numbers(self, value: bytes) -> bool:
        """Tell whether values are numbers, and none of them a date or an identifier that goes elsewhere."""
        values = [one.strip() for one in value.decode("latin-1").rstrip("\0").split("\\")]
        return all(_NUMBER.fullmatch(one) and self._numbers.isdisjoint(_digits_of(one)) for one in values)


def _digits_of(number: str) -> tuple[str, str]:
    """Return a number without what may be written about it (+20190203.0), and its digits alone (2019.0203)."""
    plain = number.lstrip("+-")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return plain, plain.replace(".", "") if len(plain) > _DATE else plain


def _codes_left(value: bytes, pattern: re.Pattern[str]) -> bytes | None:
    """Return those of several codes that look like codes (PS3.5, 6.2) and repeat nothing."""
    codes = value.decode("latin-1").rstrip("\0 ").split("\\")
    left = [one for one in codes if _CODE.fullmatch(one.strip()) and not pattern.search(one)]
    return None if left == codes else "\\".join(left).encode("latin-1")


def _terms_left(whole: str, pattern: re.Pattern[str]) -> str:
    """Return those of several values in which nothing is repeated."""
    return "\\".join(one for one in whole.split("\\") if not pattern.search(one))


def _words_left(whole: str, pattern: re.Pattern[str]) -> str:
    """Return a text without the words in which something is repeated; of a long one nothing: it may tell more."""
    found = [*pattern.finditer(whole), *_UID.finditer(whole)]
    if found and len(whole) > _LONGEST_TERM:
        return ""
    left = len(whole)
    for match in sorted(found, key=lambda match: -match.start()):
        start, stop = match.span()
        if start >= left:  # it stood in a word that is cut out already
            continue
        while start and not whole[start - 1].isspace() and whole[start - 1] != "\\":
            start -= 1
        while stop < len(whole) and not whole[stop].isspace() and whole[stop] != "\\":
            stop += 1
        whole, left = whole[:start] + whole[stop:], start
    return whole


def _expression(terms: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(set(terms), key=lambda term: (-len(term), term))
    return re.compile("|".join(map(_of_term, longest_first)) or r"(?!)", re.IGNORECASE)


@lru_cache(64)
def _search(found: frozenset[tuple[str, int]]) -> _Search:
    return _Search(found)


def _of_term(term: str) -> str:
    """Return the expression of a term; a short one must stand alone, for it lies in many words.

    The separators of an identifier may be others, or none.
    """
    parts = [re.escape(part) for part in re.split(r"[\W_]+", term) if part]
    inside = r"[\W_]*".join(parts) if parts and any(one.isdigit() for one in term) else re.escape(term)
    return rf"(?<![^\W_]){inside}(?![^\W_])" if len(term) < _SHORT and term.isascii() else inside


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
    if _ENTITY.fullmatch(part) or part.casefold() in words or part.casefold() in vocabulary():
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
