"""A single oddity: a file made from nothing with one thing wrong or unusual in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import identity
from identity import Ledger
from planted import Planted, element
from raw_files import RawFile, having, made

Change = Callable[[RawFile, Ledger], RawFile]


@dataclass(frozen=True)
class Odd:
    """One case: what it is called, how it is made, and whether to refuse it as broken is right as well."""

    name: str
    make: Change
    refusable: bool = False

    def planted(self) -> Planted:
        ledger = Ledger()
        whole = self.make(made(), ledger)
        return Planted(whole.content(), ledger)


def odd(refusable: bool = False) -> Callable[[Change], Odd]:
    """Make a case of a function, of the function's name."""
    return lambda make: Odd(make.__name__.replace("_", " "), make, refusable)


def named(file: RawFile, ledger: Ledger, name: str = identity.NAME) -> RawFile:
    """Return a file of the person, whose name is sought."""
    for place in ("family name", "given name"):
        ledger.note(place, *identity.PERSON[place])
    return having(file, element(0x00100010, "PN", name))


def with_text(file: RawFile, text: str) -> RawFile:
    return having(file, element(0x0008103E, "LO", text), element(0x00204000, "LT", text))
