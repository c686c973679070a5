"""What to look for in a file's bytes when a value has been taken out of it: the value's spellings, and how sure a find is.

The rules, for what is short or plain is found by chance:

* text of three characters or fewer is not looked for, nor a number of fewer than five digits;
* text of six characters or more counts wherever it stands, shorter text as a word by itself in elements of text;
* a part of a person's name counts from three letters on, as a word by itself, and in binary elements from four; of another text
  with carets just the words beside one are such parts;
* a date counts in any of its usual spellings, but not as decimals of a number; another number only by itself;
* of what private elements held, numbers are not looked for;
* what is in bytes counts from eight bytes on, unless it is three different bytes again and again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, lru_cache

from pydicom.charset import python_encoding

_NUMBER = re.compile(r"[-+]?[\d.,:/ ]*\d[\d.,:/ ]*")
_DATE = re.compile(r"(?<!\d)((?:18|19|20)\d\d)[-./]?(0[1-9]|1[0-2])[-./]?(0[1-9]|[12]\d|3[01])")
_SPELLINGS = ("%Y%m%d", "%Y-%m-%d", "%Y.%m.%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%m/%d/%Y", "%d%m%Y")
_ENCODINGS = tuple(dict.fromkeys([*python_encoding.values(), "utf-16-le", "utf-16-be"]))
_NAME_PARTS = re.compile(r"[\^=\s,;._-]+")
_BESIDE_CARETS = re.compile(r"[^\W\d_]+(?=\^)|(?<=\^)[^\W\d_]+")
_NAME_LIKE = re.compile(r"[^\d_]+")
_DECIMALS = re.compile(rb"(?<![\d.])\d*\.\d*$")
_WORD_BYTES = rb"[0-9A-Za-z\x80-\xff]"


@dataclass(frozen=True)
class Needle:
    """One spelling of a removed value, in bytes.

    ``strong``: counts wherever it is, else as a word by itself; ``number``: only where no digit or point is beside it;
    ``name``: part of a person's name; ``lesser``: not where it is all that a kept public element says.
    """

    exact: bytes
    strong: bool
    number: bool = False
    name: bool = False
    lesser: bool = False

    @cached_property
    def folded(self) -> bytes:
        return folded(self.exact)

    @cached_property
    def digits(self) -> bool:
        return self.exact.isdigit()

    def found(self, content: bytes) -> bool:
        """Tell whether it is in `content`, in capitals or not, in 8 or 16 bits a character."""
        if self.folded not in folded(content):
            return False
        return any(
            self._stands(content, spelling) for spelling in (self.exact, _wide(self.exact), b"\0" + _wide(self.exact)[:-1])
        )

    def _stands(self, content: bytes, spelling: bytes) -> bool:
        pattern = re.escape(spelling)
        if self.digits:
            return _by_itself(pattern, content, strictly=self.number)
        if self.number:
            pattern = rb"(?<![\d.])" + pattern + rb"(?!\d)"
        elif not self.strong:
            pattern = rb"(?<!" + _WORD_BYTES + rb")" + pattern + rb"(?!" + _WORD_BYTES + rb")"
        return re.search(pattern, content, re.IGNORECASE) is not None


def needles(
    removed: Collection[str | bytes], lesser: Collection[str | bytes] = (), names: Collection[str] | None = None
) -> list[Needle]:
    """Return what to look for: values `removed`, and `lesser` ones, of which numbers are not looked for.

    `names` are those of them that persons are called by; None goes by their form.
    """
    surely = dict.fromkeys(needle for value in removed for needle in _of(value, _is_name(value, names)))
    rest = (
        needle
        for value in lesser
        for needle in _of(value, _is_name(value, names))
        if not needle.number and needle not in surely
    )
    return [*surely, *(_lesser(needle) for needle in dict.fromkeys(rest))]


def folded(content: bytes) -> bytes:
    """Return `content` in small letters and without zeros, in which text of 8 and of 16 bits a character reads the same."""
    return content.translate(None, b"\0").lower()


@lru_cache(maxsize=4096)
def _lesser(needle: Needle) -> Needle:
    return replace(needle, lesser=True)


def _is_name(value: str | bytes, names: Collection[str] | None) -> bool:
    if isinstance(value, bytes):
        return False
    return bool(_NAME_LIKE.fullmatch(value)) if names is None else value in names


@lru_cache(maxsize=4096)
def _of(value: str | bytes, is_name: bool) -> tuple[Needle, ...]:
    if isinstance(value, bytes):
        return tuple(_of_bytes(value))
    parts = [part.strip(" \0\r\n\t") for part in value.split("\\")]
    return tuple(needle for part in parts for needle in _of_text(part, is_name=is_name))


def _of_bytes(value: bytes) -> Iterator[Needle]:
    stripped = value.strip(b"\0 ")
    if len(stripped) >= 8 and len(set(stripped)) > 3:
        yield Needle(stripped, strong=True)
    if stripped.isascii() and stripped.decode("ascii").isprintable():
        yield from _of(stripped.decode("ascii"), False)


def _of_text(text: str, *, is_name: bool) -> Iterator[Needle]:
    if date := _DATE.match(text):
        yield from _of_date("".join(date.groups()))
    if _NUMBER.fullmatch(text):
        if not date and len(text.strip("0+-., ").replace(".", "")) >= 5:
            yield Needle(text.encode(), strong=True, number=True)
        return
    yield from _spelt(text)
    for line in text.splitlines()[:20] if "\n" in text or "\r" in text else ():
        yield from _spelt(line.strip())
    for part in _name_parts(text, is_name=is_name):
        if len(part) >= 3 and not part.isdigit():
            yield from _encoded(part, strong=False, name=True)


def _name_parts(text: str, *, is_name: bool) -> Sequence[str]:
    if is_name and ("^" in text or "=" in text):
        return _NAME_PARTS.split(text)
    return _BESIDE_CARETS.findall(text)


def _spelt(text: str) -> Iterator[Needle]:
    if len(text) >= 4:
        yield from _encoded(text, strong=len(text) >= 6)


def _of_date(digits: str) -> Iterator[Needle]:
    try:
        day = datetime.strptime(digits, "%Y%m%d")
    except ValueError:
        return
    for spelling in _SPELLINGS:
        yield Needle(day.strftime(spelling).encode(), strong=True)


def _encoded(text: str, *, strong: bool, name: bool = False) -> Iterator[Needle]:
    for encoding in ("ascii",) if text.isascii() else _ENCODINGS:
        try:
            yield Needle(text.encode(encoding), strong, name=name)
        except UnicodeEncodeError:
            continue


def _by_itself(pattern: bytes, content: bytes, *, strictly: bool) -> bool:
    """Tell whether digits are in `content`, not among the decimals of a number; `strictly`: not in a longer number either."""
    beside = rb"(?<![\d.])" + pattern + rb"(?!\d|\.\d)" if strictly else pattern
    return any(
        not _DECIMALS.search(content[max(0, match.start() - 20) : match.start()]) for match in re.finditer(beside, content)
    )


def _wide(text: bytes) -> bytes:
    return b"".join(bytes((byte, 0)) for byte in text)
