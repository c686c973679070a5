"""What a kept private value may look like: so many numbers of some size, words of a list, or a pattern.

An element is known by what it held in the series that were read. Where it holds something else, a text in the place of a
number, nobody has read that, and it goes.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_NUMBER = re.compile(r"[-+]?(?:\d{1,16}(?:\.\d{0,16})?|\.\d{1,16})(?:[eE][-+]?\d{1,3})?|0x[0-9a-fA-F]{1,8}")
_LONGEST = 256  # characters of one text
_LEAST = 1e-20  # what is nearer to 0 is no rounded 0, but eight characters read as one number


@dataclass(frozen=True)
class Values:
    """Up to `numbers` numbers of at most `most` either way, or `words`, or texts that `pattern` matches as a whole."""

    numbers: int = 0
    most: float = 0.0
    words: tuple[str, ...] = ()
    pattern: str = ""

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Values:
        """Read what the file of rules says; other fields than those of `Values` are somebody else's."""
        words = tuple(str(word) for word in said.get("words", ()))
        made = cls(int(said.get("numbers", 0)), float(said.get("most", 0)), words, str(said.get("pattern", "")))
        if sum(map(bool, (made.numbers, made.words, made.pattern))) != 1 or bool(made.numbers) != bool(made.most):
            raise ValueError(f"expected numbers with most, or words, or a pattern, found {dict(said)}")
        return made

    def __str__(self) -> str:
        if self.numbers:
            several = "one number" if self.numbers == 1 else f"up to {self.numbers} numbers"
            return f"{several} up to {self.most:.12g}"
        return f"one of {', '.join(self.words)}" if self.words else f"texts like {self.pattern}"

    def fit(self, content: bytes, representation: str) -> bool:
        """Say whether the bytes of an element look like this; none, or nothing but padding, always do."""
        if representation in BINARY:
            return self._fit_binary(content, BINARY[representation])
        return content.isascii() and self.fit_texts([text.strip() for text in content.decode().rstrip("\0 ").split("\\")])

    def fit_texts(self, texts: Sequence[str]) -> bool:
        """Say whether all these texts look like this."""
        if self.numbers:
            return len(texts) <= self.numbers and all(not text or self._fit_number(text) for text in texts)
        return all(not text or text in self.words or self._matches(text) for text in texts)

    def _matches(self, text: str) -> bool:
        return bool(self.pattern and len(text) <= _LONGEST and self._compiled.fullmatch(text))

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def _fit_number(self, text: str) -> bool:
        if not _NUMBER.fullmatch(text):
            return False
        return abs(int(text, 16) if text[:2] == "0x" else float(text)) <= self.most

    def _fit_binary(self, content: bytes, code: str) -> bool:
        count, rest = divmod(len(content), struct.calcsize(f"<{code}"))
        if rest or count > self.numbers:
            return False
        found = struct.unpack(f"<{count}{code}", content)
        return all(value == 0 or (math.isfinite(value) and _LEAST < abs(value) <= self.most) for value in found)
