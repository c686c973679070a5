"""Free text: what repeats a value that goes elsewhere is cut out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from rtbids.deidentify import kept
from rtbids.deidentify.charsets import decoded, encoded
from rtbids.deidentify.known import AS_CODE, AS_COUNT, AS_FORM, AS_NUMBER, AS_TERM, AS_TIME, AS_WORD, AS_WORDS
from rtbids.deidentify.notes import Element
from rtbids.deidentify.terms import CODED, FREE, LONGEST, MAKER, TECHNIQUE, Term, terms
from rtbids.deidentify.words import is_of_the_trade, makers, words_kept_in

Text = tuple[bytes, bytes]  # value and character set, or a sign of how it is looked at
_UID = re.compile(r"(?<![\d.])(?!1\.2\.840\.10008\.)[0-2](?:\.\d+){5,}")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|\d+(?:\.\d+)+|[-+]\d\d:?\d\d|")  # UIDs, time zones too
_CODE = re.compile(r"[A-Z0-9 _]{0,16}")
_DATE = 8  # digits
_SHORT = 5  # characters: a shorter term lies in many words
_LEAST_NUMBER, _LEAST_COUNT = 5, 6  # digits: a shorter identifier is the value of many elements that are numbers, or count
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
_SIGNS = (AS_TERM, AS_WORD, AS_WORDS)


def cleaned(texts: Iterable[Text], gone: Iterable[Element]) -> Mapping[Text, bytes]:
    """Return those texts that repeat a value that goes, each with what is left of it; and numbers that are none, as nothing."""
    search = _search(frozenset(terms(gone)))
    return {text: new for text in texts if (new := search.left_of(text)) is not None}


class _Search:
    """What looks for a set of terms; it remembers the texts that it saw, for those of a series are the same."""

    def __init__(self, found: frozenset[Term]) -> None:
        places = (FREE, MAKER, CODED, TECHNIQUE)
        self._in = {place: _expression(term for term in found if term.reach & place) for place in places}
        numbers = {term.text for term in found if term.text.isdigit() and term.reach & MAKER}
        self._numbers = {number for number in numbers if len(number) >= _LEAST_NUMBER}
        self._counts = {number for number in numbers if len(number) >= _LEAST_COUNT}
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
        if sign in (AS_NUMBER, AS_COUNT):
            return None if _are_numbers(value, self._numbers if sign == AS_NUMBER else self._counts) else b""
        if sign == AS_CODE:
            return self._codes_left(value)
        if sign.startswith(AS_FORM):
            return None if kept.fits(int(sign[1:], 16), value.decode("latin-1").rstrip("\0")) else b""
        charset = sign[1:] if sign[:1] in _SIGNS else sign
        whole = decoded(value, charset)
        left = self._of_text(whole.partition("\0")[0], sign)  # most readers stop there, and something may hide behind
        return None if left == whole else encoded(left.strip(), charset)

    def _of_text(self, shown: str, sign: bytes) -> str:
        if sign.startswith(AS_TERM):
            left = _terms_left(shown, self._in[TECHNIQUE]).split("\\")
            return "\\".join(_words_left(one, self._in[CODED], is_of_the_trade) for one in left)
        if sign.startswith(AS_WORD):
            return _words_left(shown, self._in[MAKER])
        if sign.startswith(AS_WORDS):
            known = "\\".join(words_kept_in(one, makers()) for one in shown.split("\\"))
            return _words_left(_words_left(known, self._in[TECHNIQUE]), self._in[FREE], is_of_the_trade)
        return _words_left(_words_left(shown, self._in[FREE]), _SOME_DATE)

    def _codes_left(self, value: bytes) -> bytes | None:
        """Return those of several codes that look like codes (PS3.5, 6.2) and repeat nothing."""
        codes = value.decode("latin-1").rstrip("\0 ").split("\\")
        left = [one for one in codes if _CODE.fullmatch(one.strip()) and not self._is_repeated(one)]
        return None if left == codes else "\\".join(left).encode("latin-1")

    def _is_repeated(self, code: str) -> bool:
        if self._in[TECHNIQUE].search(code):
            return True
        return bool(self._in[CODED].search(code)) and not is_of_the_trade(code)


def _are_numbers(value: bytes, gone: set[str]) -> bool:
    """Tell whether values are numbers, and none of them a date or an identifier that goes elsewhere."""
    values = [one.strip() for one in value.decode("latin-1").rstrip("\0").split("\\")]
    return all(_NUMBER.fullmatch(one) and gone.isdisjoint(_digits_of(one)) for one in values)


def _digits_of(number: str) -> tuple[str, str]:
    """Return a number without what may be written about it (+20190203.0), and its digits alone (2019.0203)."""
    plain = number.lstrip("+-0")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return plain, plain.replace(".", "") if len(plain) > _DATE else plain


def _terms_left(whole: str, pattern: re.Pattern[str]) -> str:
    """Return those of several values in which nothing is repeated."""
    return "\\".join(one for one in whole.split("\\") if not pattern.search(one))


def _words_left(whole: str, pattern: re.Pattern[str], is_spared: Callable[[str], bool] = lambda word: False) -> str:
    """Return a text without the words in which something is repeated; of a long one nothing: it may tell more."""
    found = [_whole_words(whole, *match.span()) for match in (*pattern.finditer(whole), *_UID.finditer(whole))]
    found = [(start, stop) for start, stop in found if not is_spared(whole[start:stop].replace("\\", " "))]
    if found and len(whole) > LONGEST:
        return ""
    left = len(whole)
    for start, stop in sorted(found, reverse=True):
        whole, left = (whole[:start] + whole[min(stop, left) :], start) if start < left else (whole, left)
    return whole


def _whole_words(whole: str, start: int, stop: int) -> tuple[int, int]:
    """Return from where to where the words reach in which something was found."""
    while start and not whole[start - 1].isspace() and whole[start - 1] != "\\":
        start -= 1
    while stop < len(whole) and not whole[stop].isspace() and whole[stop] != "\\":
        stop += 1
    return start, stop


def _expression(terms: Iterable[Term]) -> re.Pattern[str]:
    longest_first = sorted({(term.text, term.alone) for term in terms}, key=lambda term: (-len(term[0]), term))
    return re.compile("|".join(_of_term(*term) for term in longest_first) or r"(?!)", re.IGNORECASE)


@lru_cache(64)
def _search(found: frozenset[Term]) -> _Search:
    return _Search(found)


def _of_term(term: str, is_alone: bool) -> str:
    """Return the expression of a term; a short one must stand alone, for it lies in many words, and so must some others.

    The separators of an identifier may be others, or none.
    """
    parts = [re.escape(part) for part in re.split(r"[\W_]+", term) if part]
    inside = r"[\W_]*".join(parts) if parts and any(one.isdigit() for one in term) else re.escape(term)
    if not is_alone and (len(term) >= _SHORT or not term.isascii()):
        return inside
    return rf"(?<![^\W\d_]){inside}(?![^\W\d_])" if term.isalpha() else rf"(?<![^\W_]){inside}(?![^\W_])"
