"""Oddities of how a file is put together: order, lengths, nesting, coding, and what lies behind its end."""

from __future__ import annotations

import struct
from dataclasses import replace

from identity import Ledger
from odd_case import odd
from planted import element, of_an_item, sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian
from raw_files import PIXELS, Coding, Element, RawFile, encode, having, made, merged


@odd()
def elements_out_of_order(file: RawFile, ledger: Ledger) -> RawFile:
    def word(place: str) -> bytes:
        return ledger.word(place).encode()

    late = (
        Element(0x00100010, "PN", word("a name after the pixels")),
        Element(0x00080080, "LO", word("an institution after the pixels")),
        Element(0x00100020, "LO", word("an id after the pixels")),
        Element(0x00100010, "PN", word("a second name after the pixels")),
    )
    early = (Element(0x00400253, "SH", word("first of all")), Element(0x00100010, "PN", word("a name before its group")))
    return replace(file, dataset=early + file.dataset + late)


@odd(refusable=True)
def text_after_the_end(file: RawFile, ledger: Ledger) -> RawFile:
    return replace(file, trailing=f"Report on {ledger.word('text after the end')} of 1980-01-02\n".encode())


@odd(refusable=True)
def zeros_and_text_after_the_end(file: RawFile, ledger: Ledger) -> RawFile:
    return replace(file, trailing=bytes(512) + ledger.word("after zeros").encode() + bytes(54))


@odd(refusable=True)
def a_second_file_after_the_end(file: RawFile, ledger: Ledger) -> RawFile:
    other = having(made(), element(0x00100010, "PN", ledger.word("a second file")))
    return replace(file, trailing=other.content())


@odd(refusable=True)
def groups_that_are_forbidden(file: RawFile, ledger: Ledger) -> RawFile:
    groups = (0x0000, 0x0001, 0x0002, 0x0003, 0x0004, 0x0005, 0x0006, 0x0007, 0xFFFD, 0xFFFF)
    return having(file, *(element(group << 16 | 0x1010, "LO", ledger.word(f"group {group:04x}")) for group in groups))


@odd(refusable=True)
def sequences_a_hundred_deep(file: RawFile, ledger: Ledger) -> RawFile:
    inside: tuple[Element, ...] = (element(0x00100010, "PN", ledger.word("at the bottom")),)
    for _ in range(100):
        inside = (sequence(0x00189042, inside),)
    return having(file, *inside)


@odd(refusable=True)
def sequences_two_thousand_deep(file: RawFile, ledger: Ledger) -> RawFile:
    word = ledger.word("at the bottom").encode()
    body = encode(Element(0x00100010, "PN", word), Coding())
    for _ in range(2000):
        body = struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body
        body = struct.pack("<HH2sHI", 0x0018, 0x9042, b"SQ", 0, len(body)) + body
    before = tuple(e for e in file.dataset if e.tag < 0x00189042)
    return replace(file, dataset=before, trailing=body + encode(Element(PIXELS, "OW", bytes(512)), Coding()))


@odd(refusable=True)
def a_length_beyond_the_end(file: RawFile, ledger: Ledger) -> RawFile:
    name = struct.pack("<HH2sHI", 0x0040, 0xA160, b"UT", 0, 4000) + ledger.word("cut off").encode()
    return replace(file, dataset=tuple(e for e in file.dataset if e.tag < PIXELS), trailing=name)


@odd()
def sequences_as_bytes(file: RawFile, ledger: Ledger) -> RawFile:
    """Sequences of which a sender only knew the bytes: UN of a defined length, in implicit coding as PS3.5 has it, and OB."""
    unknown = [as_bytes(tag, Coding(implicit=True), ledger) for tag in (0x00400275, 0x00189042, 0x00081140)]
    other = as_bytes(0x00089215, Coding(), ledger)
    return having(file, *unknown, replace(other, vr="OB"))


@odd(refusable=True)
def sequences_as_bytes_of_the_other_coding(file: RawFile, ledger: Ledger) -> RawFile:
    return having(file, as_bytes(0x00189042, Coding(), ledger), as_bytes(0x00081140, Coding(), ledger))


def as_bytes(tag: int, coding: Coding, ledger: Ledger) -> Element:
    items = encode(sequence(tag, tuple(of_an_item(ledger, f"{tag:08x} as bytes"))), coding)
    return Element(tag, "UN", items[8 if coding.implicit else 12 : -8])


@odd()
def sequences_of_undefined_and_of_defined_length(file: RawFile, ledger: Ledger) -> RawFile:
    defined = tuple(of_an_item(ledger, "defined length"))
    undefined = tuple(of_an_item(ledger, "undefined length"))
    return having(file, sequence(0x00189042, defined, undefined=False), sequence(0x00189049, undefined), sequence(0x00189006))


@odd(refusable=True)
def an_image_that_says_it_is_a_directory(file: RawFile, ledger: Ledger) -> RawFile:
    record = (element(0x00041430, "CS", "PATIENT"), element(0x00041500, "CS", ledger.word("a file id").upper()))
    names = (
        element(0x00100010, "PN", ledger.word("a name in a record")),
        element(0x00041130, "CS", ledger.word("a set").upper()),
    )
    return having(file, sequence(0x00041220, merged(record, names[:1])), names[1])


@odd(refusable=True)
def implicit_items_in_an_explicit_file(file: RawFile, ledger: Ledger) -> RawFile:
    items = encode(sequence(0x00400275, tuple(of_an_item(ledger, "implicit items"))), Coding(implicit=True))
    return having(file, Element(0x00400275, "SQ", items[8:-8]))


@odd(refusable=True)
def another_coding_than_the_meta_information_says(file: RawFile, ledger: Ledger) -> RawFile:
    named_file = having(file, element(0x00100010, "PN", ledger.word("of the other coding")))
    body = b"".join(encode(e, Coding(implicit=True)) for e in named_file.dataset)
    return replace(file, dataset=(), trailing=body)


@odd(refusable=True)
def text_in_the_meta_information_beyond_its_length(file: RawFile, ledger: Ledger) -> RawFile:
    late = Element(0x00020016, "AE", ledger.word("meta information after its end").upper().encode())
    return replace(file, dataset=(late, *file.dataset))


@odd(refusable=True)
def text_behind_a_deflated_data_set(file: RawFile, ledger: Ledger) -> RawFile:
    return replace(file.with_syntax(DeflatedExplicitVRLittleEndian), trailing=ledger.word("behind the stream").encode() * 3)
