"""Files of random elements: any row of the table, unknown and private tags, in any representation, nested at random."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property

from identity import Ledger
from planted import ESSENTIAL, Planted, element, once, private, rows
from pydicom._private_dict import private_dictionaries
from pydicom.datadict import DicomDictionary, dictionary_has_tag, dictionary_VR, repeater_has_tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from raw_files import Element, having, made

KINDS = ("LO", "SH", "ST", "LT", "UT", "PN", "UC", "UN", "OB", "UI", "DA", "DT", "AE", "CS", "UR")
SEQUENCES = [tag for tag in DicomDictionary if dictionary_VR(tag) == "SQ" and tag >> 16 > 7 and tag not in ESSENTIAL]
# Times in other representations are a case of `odd_representations.py`.
OTHERS = {tag for tag in DicomDictionary if dictionary_VR(tag) in {"TM", "SQ"}} | ESSENTIAL
ROWS = [tag for tag, *_ in rows() if tag not in OTHERS and tag >> 16 > 7]
CREATORS = list(private_dictionaries)
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
DEEPEST = 4


@dataclass(frozen=True)
class Dice:
    """What chance makes of one seed."""

    seed: int

    @cached_property
    def random(self) -> random.Random:
        return random.Random(self.seed)

    def planted(self) -> Planted:
        ledger = Ledger(count=1000 * self.seed)
        elements = [e for e in self.dataset(ledger, "", 0) if e.tag not in ESSENTIAL]
        return Planted(having(made(syntax=self.random.choice(SYNTAXES)), *elements).content(), ledger)

    def dataset(self, ledger: Ledger, path: str, depth: int) -> tuple[Element, ...]:
        found: dict[int, Element] = {}
        for _ in range(self.random.randrange(3, 14)):
            noted = dict(ledger.sought)
            new = {e.tag: e for e in self.leaf(ledger, path)}
            if found.keys().isdisjoint(new):
                found |= new
            else:
                ledger.sought = noted
        for _ in range(self.random.randrange(4) if depth < DEEPEST else 0):
            tag = self.random.choice(SEQUENCES)
            if tag not in found:
                found[tag] = self.sequence(ledger, f"{path}{tag:08x} > ", tag, depth)
        return tuple(sorted(found.values(), key=lambda e: e.tag))

    def sequence(self, ledger: Ledger, path: str, tag: int, depth: int) -> Element:
        undefined = self.random.random() < 0.5
        vr = "UN" if undefined and self.random.random() < 0.2 else "SQ"
        items = [self.dataset(ledger, f"{path}[{n}] ", depth + 1) for n in range(self.random.randrange(1, 3))]
        return Element(tag, vr, tuple(items), undefined)

    def leaf(self, ledger: Ledger, path: str) -> tuple[Element, ...]:
        """Return an element, with its creator where it is private."""
        vr = self.random.choice(KINDS)
        if self.random.random() < 0.3:
            group, low, block = (
                self.random.randrange(9, 0x7FFF, 2),
                self.random.randrange(256),
                self.random.randrange(0x10, 0xFF),
            )
            value = once(ledger, f"{path}private {group:04x},{block:02x}{low:02x} {vr}", vr) or ""
            return private(self.random.choice(["", *CREATORS]), group, (low, vr, value), block=block)
        tag = self.random.choice(ROWS) if self.random.random() < 0.7 else self.unknown()
        if dictionary_has_tag(tag) and self.random.random() < 0.75:
            vr = dictionary_VR(tag)[:2]
        value = once(ledger, f"{path}{tag:08x} {vr}", vr)
        return () if value is None else (element(tag, vr, value),)

    def unknown(self) -> int:
        tags = iter(lambda: self.random.randrange(8, 0x4FFE, 2) << 16 | self.random.randrange(1, 0xFFFF), None)
        return next(tag for tag in tags if not dictionary_has_tag(tag) and not repeater_has_tag(tag))
