"""Oddities of private elements: their creators, and what is kept of known ones."""

from __future__ import annotations

import struct
from dataclasses import replace

from identity import FAMILY, Ledger
from odd_case import named, odd
from planted import element, private, sequence
from raw_files import Element, RawFile, having


@odd()
def private_elements_without_a_creator(file: RawFile, ledger: Ledger) -> RawFile:
    tags = (0x00091001, 0x00191008, 0x00211160, 0x00291010, 0x00291020, 0x00511008, 0x20051391, 0x00291001)
    file = having(file, *(element(tag, "LO", ledger.word(f"{tag:08x}")) for tag in tags))
    low = [Element(tag, "LO", ledger.word(f"{tag:08x}").encode()) for tag in (0x00090001, 0x0029000F, 0x00190000, 0x00110008)]
    return having(file, *low)


@odd()
def creators_claimed_twice(file: RawFile, ledger: Ledger) -> RawFile:
    """One block with two creators, two blocks with one, and a creator that comes after its elements."""

    def word(place: str) -> bytes:
        return ledger.word(place).encode()

    csa = "SIEMENS CSA HEADER"
    twice = (
        Element(0x00290010, "LO", csa.encode()),
        Element(0x00290010, "LO", b"ACME PATIENTS 1 "),
        Element(0x00290011, "LO", csa.encode()),
        Element(0x00290011, "LO", csa.encode()),
        Element(0x00291009, "LO", word("the block with two creators")),
        Element(0x00291108, "LO", word("a known creator a second time")),
        Element(0x0051100F, "LO", word("before its creator")),
        Element(0x00510010, "LO", b"ACME PATIENTS 1 "),
    )
    before = tuple(e for e in file.dataset if e.tag < 0x00290000)
    return replace(file, dataset=before + twice + tuple(e for e in file.dataset if e.tag > 0x00290000))


@odd()
def creators_of_odd_kinds(file: RawFile, ledger: Ledger) -> RawFile:
    """Creators of another representation, of two values, without text, with a name in them."""
    file = named(file, ledger)
    blocks: tuple[Element, ...] = (
        Element(0x00190010, "UN", b"SIEMENS MR HEADER "),
        Element(0x00190011, "LO", b"SIEMENS MR HEADER\\ACME "),
        Element(0x00190012, "LO", b""),
        Element(0x00190013, "LO", FAMILY.encode()),
        Element(0x00190014, "OB", bytes(range(8))),
        Element(0x00190015, "SQ", ((element(0x00100010, "PN", ledger.word("a creator that is a sequence")),),)),
    )
    blocks += tuple(
        Element(0x00191001 | n << 8, "LO", ledger.word(f"block {n:02x}").encode())
        for n in range(0x12, 0x17)
        for n in (n - 0x10,)
    )
    return having(file, *blocks)


@odd()
def a_creator_of_the_item_outside(file: RawFile, ledger: Ledger) -> RawFile:
    """A known creator in the data set, and elements in an item that has none."""
    outside = private("SIEMENS MR HEADER", 0x0051, (0x0E, "LO", "Tra"))
    inside = (
        Element(0x0051100E, "LO", ledger.word("in the item").encode()),
        Element(0x0051100F, "SH", ledger.word("two").encode()),
    )
    return having(file, *outside, sequence(0x00189042, inside))


@odd()
def known_creators_in_wrong_groups(file: RawFile, ledger: Ledger) -> RawFile:
    """Names of known creators over groups in which they have nothing."""
    creators = ("SIEMENS MR HEADER", "GEMS_ACQU_01", "GEMS_PARM_01", "Philips MR Imaging DD 001", "CANON_MEC_MR3")
    made_of: list[Element] = []
    for number, creator in enumerate(creators):
        lows = [(low, "LO", ledger.word(f"{creator} {low:02x}")) for low in (0x0A, 0x0B, 0x0C, 0x9C, 0x9E, 0xE0)]
        made_of += private(creator, 0x0061 + 2 * number, *lows)
    return having(file, *made_of)


@odd()
def text_behind_the_nul_of_a_known_creator(file: RawFile, ledger: Ledger) -> RawFile:
    bandwidth = struct.pack("<d", 23.5)
    made_of: list[Element] = []
    for block, text in ((0x10, f"\0{ledger.word('behind a NUL')}"), (0x11, f"   {ledger.word('behind spaces')}"), (0x12, "")):
        made_of.append(element(0x00190000 | block, "LO", f"SIEMENS MR HEADER{text}"))
        made_of.append(Element(0x00190028 | block << 8, "FD", bandwidth))
    return having(file, *made_of)


@odd()
def known_private_numbers_that_are_text(file: RawFile, ledger: Ledger) -> RawFile:
    """Elements of known creators that are kept for their numbers, with words in them, of all representations."""
    siemens, ge = (0x0B, 0x27, 0x28, 0x29), (0xBB, 0xBC, 0xBD, 0xD9, 0xDF, 0xE0)
    made_of: list[Element] = []
    for number, vr in enumerate(("DS", "LO", "UN", "OB", "UT", "IS")):
        values = [(low, vr, ledger.word(f"Siemens {low:02x} as {vr}")) for low in siemens]
        made_of += private("SIEMENS MR HEADER", 0x0019, *values, block=0x10 + number)
        values = [(low, vr, ledger.word(f"GE {low:02x} as {vr}")) for low in ge]
        made_of += private("GEMS_ACQU_01", 0x0019, *values, block=0x20 + number)
        made_of += private("GEMS_PARM_01", 0x0043, (0x83, vr, ledger.word(f"GE 83 as {vr}")), block=0x10 + number)
    return having(file, *made_of)


@odd()
def a_csa_header_with_fields_beyond_its_count(file: RawFile, ledger: Ledger) -> RawFile:
    """A CSA header that says it has one field and has three, whose names are of a person."""

    def field(name: str, vr: str, value: str) -> bytes:
        tag = name.encode().ljust(64, b"\0") + struct.pack("<i4sii", 1, vr.encode(), 1, 1) + struct.pack("<i", 77)
        coded = value.encode() + b"\0"
        return tag + struct.pack("<4i", len(coded), len(coded), 77, len(coded)) + coded + bytes(-len(coded) % 4)

    fields = field("MosaicRefAcqTimes", "FD", "0.0") + field("ImaCoilString", "LO", ledger.word("beyond the count"))
    fields += field(ledger.word("the name of a field"), "LO", "1")
    content = b"SV10\4\3\2\1" + struct.pack("<II", 1, 77) + fields
    series = b"SV10\4\3\2\1" + struct.pack("<II", 3, 77) + fields.replace(b"ImaCoilString", b"PatReinPattern"[:13])
    return having(file, *private("SIEMENS CSA HEADER", 0x0029, (0x10, "OB", content), (0x20, "OB", series)))


@odd()
def a_csa_header_that_is_none(file: RawFile, ledger: Ledger) -> RawFile:
    """Text, a header of the first kind, and one whose lengths lead beyond its end."""
    first = struct.pack("<II", 1, 77) + b"PatientName".ljust(64, b"\0") + ledger.word("of the first kind").encode()
    broken = b"SV10\4\3\2\1" + struct.pack("<II", 99, 77) + ledger.word("broken").encode() * 40
    return having(
        file,
        *private("SIEMENS CSA HEADER", 0x0029, (0x10, "OB", broken), (0x20, "OB", first)),
        *private("SIEMENS CSA NON-IMAGE", 0x0029, (0x10, "OB", ledger.word("text").encode() * 9), block=0x11),
        *private("GEMS_SERS_01", 0x0025, (0x1B, "OB", b"\x10\0\0\0\x1f\x8b\x08\0" + ledger.word("no gzip").encode())),
    )
