"""Single oddities, one a file: what a parser may refuse as broken, and must neither pass on nor trip over.

Each case is a file made from nothing with one thing wrong or unusual in it. Where a file may be refused as damaged the case
says so; elsewhere what comes out has to be a file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import identity
import numpy as np
from identity import FAMILY, GIVEN, Ledger
from planted import ESSENTIAL, Planted, element, of_an_item, of_the_person, private, rows, sequence
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.uid import DeflatedExplicitVRLittleEndian
from raw_files import PIXELS, Coding, Element, RawFile, encode, made, merged

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


CASES: list[Odd] = []


def odd(refusable: bool = False) -> Callable[[Change], Change]:
    def add(make: Change) -> Change:
        CASES.append(Odd(make.__name__.replace("_", " "), make, refusable))
        return make

    return add


def having(file: RawFile, *elements: Element) -> RawFile:
    return replace(file, dataset=merged(file.dataset, elements))


def named(file: RawFile, ledger: Ledger, name: str = identity.NAME) -> RawFile:
    """Return a file of the person, whose name is sought."""
    for place in ("family name", "given name"):
        ledger.note(place, *identity.PERSON[place])
    return having(file, element(0x00100010, "PN", name))


def with_text(file: RawFile, text: str) -> RawFile:
    return having(file, element(0x0008103E, "LO", text), element(0x00204000, "LT", text))


@odd()
def wrong_representations(file: RawFile, ledger: Ledger) -> RawFile:
    """Elements whose representation is not that of their tag."""
    kinds = {0x00100010: "LO", 0x00100020: "PN", 0x00101001: "UT", 0x00080090: "OB", 0x00081048: "UN", 0x00081070: "UI"}
    kinds |= {0x00100030: "SH", 0x00080021: "LO", 0x00080050: "DS", 0x00102160: "CS", 0x00104000: "SQ", 0x00081010: "IS"}
    wrong = []
    for tag, vr in kinds.items():
        word = ledger.word(f"{tag:08x} as {vr}")
        value = ((element(0x00100010, "PN", word),),) if vr == "SQ" else word.encode()
        wrong.append(Element(tag, vr, value))
    day = ledger.date("dates as text")
    wrong.append(element(0x00080022, "LO", f"{day[:4]}-{day[4:6]}-{day[6:]}"))
    wrong.append(
        element(0x0008103E, "PN", f"{ledger.word('a name in a description')}^{ledger.word('a name in a description')}")
    )
    return having(file, *wrong)


@odd()
def sequences_that_are_text(file: RawFile, ledger: Ledger) -> RawFile:
    tags = (0x00400275, 0x00081140, 0x00081111, 0x00321064, 0x00189042)
    return having(file, *(Element(tag, "LO", ledger.word(f"{tag:08x} as text").encode()) for tag in tags))


@odd()
def numbers_that_are_text(file: RawFile, ledger: Ledger) -> RawFile:
    file = named(file, ledger)
    tags = {0x00180087: "DS", 0x00180083: "DS", 0x00200012: "IS", 0x00181314: "DS", 0x00180091: "IS", 0x00201041: "DS"}
    return having(file, *(element(tag, vr, FAMILY if vr == "DS" else GIVEN) for tag, vr in tags.items()))


@odd()
def odd_lengths(file: RawFile, ledger: Ledger) -> RawFile:
    tags = {0x00100010: "PN", 0x00100020: "LO", 0x00080050: "SH", 0x00104000: "LT", 0x00187FF0: "UN", 0x00081010: "SH"}
    return having(file, *(Element(tag, vr, (ledger.word(f"{tag:08x}") + "x").encode()) for tag, vr in tags.items()))


@odd()
def lengths_of_groups(file: RawFile, ledger: Ledger) -> RawFile:
    lengths = [Element(group << 16, "UL", struct.pack("<I", 77)) for group in (0x0008, 0x0010, 0x0018, 0x0020, 0x0028, 0x7FE0)]
    texts = [element(group << 16, "LO", ledger.word(f"{group:04x},0000")) for group in (0x0032, 0x0040, 0x0009)]
    return having(file, *lengths, *texts)


@odd()
def dates_of_other_forms(file: RawFile, ledger: Ledger) -> RawFile:
    """Dates with dots, with hyphens, as ranges, twice, with a zone, and what is no date at all."""

    def day(form: str) -> str:
        made = ledger.date(form)
        return form.replace("Y", made[:4]).replace("M", made[4:6]).replace("D", made[6:])

    forms = {
        0x00080012: "Y.M.D",
        0x00080020: "Y-M-D",
        0x00080021: "YMD-",
        0x00080022: "YMD\\20010203",
        0x00080023: "YMD ",
        0x00080024: "D.M.Y",
    }
    dates = [element(tag, "DA", day(form)) for tag, form in forms.items()]
    times = {
        0x0008002A: "YMD101112.131415&ZZXX",
        0x00189074: "YMD",
        0x00189151: "YMD10\\YMD11",
        0x0040A13A: "Y-M-DT10:11:12+01:00",
    }
    return having(file, *dates, *(element(tag, "DT", day(form)) for tag, form in times.items()))


@odd()
def a_name_of_many_forms(file: RawFile, ledger: Ledger) -> RawFile:
    several = "\\".join(f"{ledger.word('several')}^{ledger.word('several')}" for _ in range(4))
    names = {
        0x00081048: several + "\\",
        0x00081050: "\\\\" + several,
        0x00081060: "^^^^=^^^^=^^^^",
        0x00081070: "",
        0x00101005: f"={ledger.word('ideographic only')}^{ledger.word('ideographic only')}",
        0x00101060: f"{ledger.word('five components')}^^^^^^{ledger.word('five components')}",
        0x00102297: ledger.word("lower case").lower(),
        0x0040A123: f"==={ledger.word('four groups')}",
        0x00380401 + 0x7000: f"{ledger.word('of no dictionary')}^A",
    }
    return having(file, *(element(tag, "PN", name) for tag, name in names.items()))


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
def pixels_with_more_behind_them(file: RawFile, ledger: Ledger) -> RawFile:
    return having(file, Element(PIXELS, "OW", bytes(512) + ledger.word("behind the pixels").encode() + bytes(50)))


@odd(refusable=True)
def a_comment_in_compressed_pixels(file: RawFile, ledger: Ledger) -> RawFile:
    """A JPEG with a comment (COM) and an application segment before the frame."""
    comment = f"Patient {ledger.word('a comment in a JPEG')}".encode()
    segments = b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment
    exif = f"Exif\0\0{ledger.word('Exif in a JPEG')}".encode()
    segments += b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    jpeg = b"\xff\xd8" + segments + b"\xff\xc3\0\x0b\x10\0\x10\0\x10\1\1\x11\0" + b"\xff\xd9"
    jpeg += bytes(len(jpeg) % 2)
    fragments = struct.pack("<HHI", 0xFFFE, 0xE000, 0) + struct.pack("<HHI", 0xFFFE, 0xE000, len(jpeg)) + jpeg
    return having(file, Element(PIXELS, "OB", fragments, True)).with_syntax("1.2.840.10008.1.2.4.70")


@odd(refusable=True)
def a_fragment_too_many(file: RawFile, ledger: Ledger) -> RawFile:
    """RLE of one frame, and a fragment of text behind it."""
    text = f"name {ledger.word('a fragment too many')} ".encode()
    fragments = b"".join(
        struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part for part in (b"", bytes(64), text + bytes(len(text) % 2))
    )
    return having(file, Element(PIXELS, "OB", fragments, True)).with_syntax("1.2.840.10008.1.2.5")


@odd()
def other_pixels(file: RawFile, ledger: Ledger) -> RawFile:
    """Pixel data where none are expected: in a private element, and of another kind beside the right ones."""
    word = ledger.word("in float pixels").encode()
    return having(
        file,
        Element(0x7FDE0010, "OB", ledger.word("variable pixel data, retired").encode()),
        Element(0x7FE10010, "OW", word),
        *private("PIXELS OF OURS", 0x7FE3, (0x10, "OB", ledger.word("private pixels"))),
    )


@odd()
def short_names(file: RawFile, ledger: Ledger) -> RawFile:
    """A name of two letters, as half the world has them, alone between other words."""
    ledger.note("a family name of two letters", b"_NG_", b" Ng ")
    ledger.note("a given name of two letters", b"_WU_", b" Wu ")
    file = having(file, element(0x00100010, "PN", "Ng^Wu"))
    return with_text(file, "ep2d_bold_NG_WU_run1 of Ng by Wu again")


@odd()
def names_of_several_words(file: RawFile, ledger: Ledger) -> RawFile:
    """Names with hyphens, apostrophes, particles: any part of them tells."""
    ledger.note("parts of a name", "Quillfeather", "Montagnard", "Brannaghty", "Zebulon", "Terentius")
    name = "van der Quillfeather-O'Brannaghty Montagnard^Zebulon-Terentius"
    file = having(file, element(0x00100010, "PN", name))
    return with_text(file, "bold Montagnard_1 Brannaghty QUILLFEATHER terentius x-zebulon.")


@odd()
def a_name_without_carets(file: RawFile, ledger: Ledger) -> RawFile:
    file = named(file, ledger, f"{FAMILY.upper()}, {GIVEN}")
    return with_text(file, f"loc {GIVEN} and {FAMILY}")


@odd()
def names_in_elements_of_technique(file: RawFile, ledger: Ledger) -> RawFile:
    """The name where only technique should be: in what would be kept, did it not repeat a removed value."""
    file = named(file, ledger)
    texts = {0x00080070: "LO", 0x00081090: "LO", 0x00180024: "SH", 0x00181250: "SH", 0x00180015: "CS", 0x00181020: "LO"}
    texts |= {0x00189005: "SH", 0x00180021: "CS", 0x00180022: "CS", 0x00280A02: "CS", 0x00200060: "CS", 0x00080005: "CS"}
    file = having(file, *(element(tag, vr, FAMILY.upper()[:16]) for tag, vr in texts.items()))
    return having(file, element(0x00080008, "CS", f"ORIGINAL\\PRIMARY\\M\\{FAMILY.upper()}"))


@odd()
def names_in_codes(file: RawFile, ledger: Ledger) -> RawFile:
    file = named(file, ledger)
    code = (
        element(0x00080100, "SH", FAMILY),
        element(0x00080102, "SH", "99X"),
        element(0x00080104, "LO", f"Brain of {GIVEN} {FAMILY}"),
    )
    return having(
        file, sequence(0x00082218, code), sequence(0x00540220, code), sequence(0x00089215, code), sequence(0x0040A170, code)
    )


@odd()
def uids_that_are_no_uids(file: RawFile, ledger: Ledger) -> RawFile:
    """Text where a UID should be, and UIDs in elements that hold classes."""
    tags = (0x00080014, 0x00081155, 0x00200052, 0x00200200, 0x00081150, 0x0008010C, 0x0008001A, 0x00041510)
    return having(file, *(element(tag, "UI", ledger.word(f"{tag:08x}")) for tag in tags))


@odd()
def text_of_two_bytes_a_character(file: RawFile, ledger: Ledger) -> RawFile:
    file = named(file, ledger)
    wide = "\ufeff" + f"{GIVEN} {FAMILY}"
    return having(
        file, Element(0x00204000, "LT", wide.encode("utf-16-le")), Element(0x00181030, "LO", wide.encode("utf-16-be"))
    )


@odd()
def names_broken_by_controls(file: RawFile, ledger: Ledger) -> RawFile:
    file = named(file, ledger)
    value = f"{FAMILY}\r\n\f{GIVEN}\t{FAMILY}\0{GIVEN}\x1b".encode()
    return having(file, Element(0x00204000, "LT", value + bytes(len(value) % 2)), Element(0x0008103E, "LO", value))


@odd()
def ids_in_words(file: RawFile, ledger: Ledger) -> RawFile:
    ledger.note("the id", "7739164")
    ledger.note("the accession number", "90917733")
    file = having(file, element(0x00100020, "LO", "7739164"), element(0x00080050, "SH", "90917733"))
    return with_text(file, "sub-7739164_task-x 007739164 A90917733B")


@odd()
def long_text(file: RawFile, ledger: Ledger) -> RawFile:
    file = named(file, ledger)
    text = f"{'x ' * 50_000}{FAMILY}{' y' * 50_000}"
    return having(file, Element(0x0040A160, "UT", text.encode()), Element(0x00181405 + 0x50, "UT", text.encode()))


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
def times_and_ages_that_are_text(file: RawFile, ledger: Ledger) -> RawFile:
    """Words and days where a time or an age should be."""
    kinds = {0x00080013: "TM", 0x00080030: "TM", 0x00080031: "TM", 0x00080032: "TM", 0x00080033: "TM", 0x00101010: "AS"}
    words = [element(tag, vr, ledger.word(f"{tag:08x}")) for tag, vr in kinds.items()]
    day = ledger.date("a day in a time")
    return having(
        file, *words, element(0x0008002A, "DT", ledger.word("a date and time")), element(0x00181201, "TM", f"{day}101112")
    )


@odd()
def times_of_other_representations(file: RawFile, ledger: Ledger) -> RawFile:
    """Elements of a time that say they are text, and are."""
    times = [tag for tag, *_ in rows() if dictionary_has_tag(tag) and dictionary_VR(tag) == "TM" and tag >> 16 > 7]
    kinds = ("LO", "SH", "UT", "LT", "OB", "UN", "AE", "PN")
    words = [(tag, kinds[n % len(kinds)], ledger.word(f"{tag:08x} as {kinds[n % len(kinds)]}")) for n, tag in enumerate(times)]
    return having(file, *(element(*word) for word in words))


@odd()
def retired_elements_of_repeating_groups(file: RawFile, ledger: Ledger) -> RawFile:
    """Tags that a dictionary has by a pattern only, with text in them."""
    tags = (
        0x10000010,
        0x10000015,
        0x1010AF0E,
        0x10101234,
        0x00203102,
        0x00280402,
        0x00280410,
        0x00280804,
        0x50123000,
        0x60124000,
    )
    tags += (0x7F020010, 0x7F020020)
    return having(file, *(element(tag, "LT", ledger.word(f"{tag:08x}")) for tag in tags))


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
def values_removed_deep_inside(file: RawFile, ledger: Ledger) -> RawFile:
    """A former name, in the original attributes, and a name in a private element: both written in the series' name."""
    ledger.note("a former name", "Kettlewhistle", "Philomenia")
    ledger.note("a name in a private element", "Abernathious")
    former = element(0x00100010, "PN", "Kettlewhistle^Philomenia")
    old = sequence(0x04000561, (sequence(0x04000550, (former,)),))
    vendor = private("Philips MR Imaging DD 004", 0x2005, (0x91, "PN", "Abernathious^B"))
    return with_text(having(file, old, *vendor), "Kettlewhistle bold philomenia_2 Abernathious")


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


@odd()
def known_creators_in_wrong_groups(file: RawFile, ledger: Ledger) -> RawFile:
    """Names of known creators over groups in which they have nothing."""
    creators = ("SIEMENS MR HEADER", "GEMS_ACQU_01", "GEMS_PARM_01", "Philips MR Imaging DD 001", "CANON_MEC_MR3")
    made_of: list[Element] = []
    for number, creator in enumerate(creators):
        lows = [(low, "LO", ledger.word(f"{creator} {low:02x}")) for low in (0x0A, 0x0B, 0x0C, 0x9C, 0x9E, 0xE0)]
        made_of += private(creator, 0x0061 + 2 * number, *lows)
    return having(file, *made_of)


@odd(refusable=True)
def an_image_that_says_it_is_a_directory(file: RawFile, ledger: Ledger) -> RawFile:
    record = (element(0x00041430, "CS", "PATIENT"), element(0x00041500, "CS", ledger.word("a file id").upper()))
    names = (
        element(0x00100010, "PN", ledger.word("a name in a record")),
        element(0x00041130, "CS", ledger.word("a set").upper()),
    )
    return having(file, sequence(0x00041220, merged(record, names[:1])), names[1])


KEPT_TEXT = {0x0040A160: "UT", 0x00181250: "SH", 0x00189005: "SH", 0x00180024: "SH", 0x00281055: "LO"}


@odd()
def dates_of_all_spellings_in_text(file: RawFile, ledger: Ledger) -> RawFile:
    """Days that no element has, written as people write them, in text that is kept and in text that is cleaned."""
    count = len(identity.sought_as("20010203"))
    spelt = [identity.sought_as(ledger.date(f"spelling {number}"))[number] for number in range(count)]
    short = [identity.sought_as(ledger.date(f"in {tag:08x}"))[0] for tag in KEPT_TEXT]
    kept = [element(tag, vr, f"ep2d{day}"[:16]) for (tag, vr), day in zip(KEPT_TEXT.items(), short, strict=True) if vr != "UT"]
    iso = ledger.date("ISO with a time")
    text = f"on {' and '.join(spelt)}; {iso[:4]}-{iso[4:6]}-{iso[6:]}T10:11:12Z {short[0]}"
    return having(
        file, *kept, element(0x0040A160, "UT", text), element(0x00204000, "LT", text), element(0x0008103E, "LO", spelt[0])
    )


@odd()
def ways_to_reach_a_person_in_text(file: RawFile, ledger: Ledger) -> RawFile:
    """Numbers, mails and addresses that no element has: known by their form alone."""
    mail, site, login = ledger.word("a mail"), ledger.word("an address of the web"), ledger.word("a login")
    ledger.note("a telephone number", "555-0143")
    ledger.note("a German telephone number", "4589931")
    ledger.note("a social security number", "078-05-1120")
    text = f"call +1 (617) 555-0143 or 0351/4589931, {mail}@mail.example.org, https://{site}.example/x"
    text += f" SSN 078-05-1120 {login}@host"
    return having(file, element(0x0040A160, "UT", text), element(0x00204000, "LT", text), element(0x0008103E, "LO", text[:40]))


@odd()
def every_removed_value_again_in_text(file: RawFile, ledger: Ledger) -> RawFile:
    """What each row of the table had, written once more into one long text that is kept."""
    made_of: list[Element] = []
    for tag, _, keyword in rows():
        vr = dictionary_VR(tag)[:2] if dictionary_has_tag(tag) else "LO"
        if tag in ESSENTIAL or tag >> 16 < 8 or vr not in {"PN", "LO", "SH", "ST", "LT", "UT", "UC", "AE"}:
            continue
        word = ledger.word(f"{tag:08x} {keyword}")
        made_of.append(element(tag, vr, f"{word}^Q" if vr == "PN" else word))
    words = [needle for needles in ledger.sought.values() for needle in needles if isinstance(needle, str)]
    return having(file, *made_of, element(0x0040A160, "UT", " ".join(words).lower()))


@odd()
def uids_in_text(file: RawFile, ledger: Ledger) -> RawFile:
    study = next(e.bytes for e in file.dataset if e.tag == 0x0020000D).rstrip(b"\0").decode()
    ledger.note("its own study", study)
    other = ledger.uid("another one")
    text = f"from {study} and {other}."
    return having(file, element(0x0040A160, "UT", text), element(0x00204000, "LT", text))


@odd()
def text_behind_a_nul(file: RawFile, ledger: Ledger) -> RawFile:
    """Kept values that end at a NUL for most readers, and have more behind it."""
    kept = {0x00080060: ("CS", "MR"), 0x00080070: ("LO", "SIEMENS"), 0x00081090: ("LO", "Prisma"), 0x00180081: ("DS", "30")}
    kept |= {0x00180023: ("CS", "2D"), 0x00200011: ("IS", "3"), 0x00185100: ("CS", "HFS"), 0x00180050: ("DS", "3.0")}
    hidden = [element(tag, vr, f"{value}\0{ledger.word(f'{tag:08x}')}") for tag, (vr, value) in kept.items()]
    uid = ledger.word("behind a class").encode()
    return having(file, *hidden, Element(0x00081150, "UI", b"1.2.840.10008.5.1.4.1.1.4\0" + uid))


@odd()
def numbers_with_more_behind_them(file: RawFile, ledger: Ledger) -> RawFile:
    """Binary numbers of more bytes than the element may have."""
    kinds = {
        0x00280106: ("SS", b"\1\0"),
        0x00189087: ("FD", bytes(8)),
        0x00209057: ("UL", b"\1\0\0\0"),
        0x00280120: ("SS", b"\1\0"),
    }
    made_of = [Element(tag, vr, value + (ledger.word(f"{tag:08x}") * 4).encode()) for tag, (vr, value) in kinds.items()]
    return having(file, *made_of)


@odd(refusable=True)
def an_overlay_in_the_bits_above_the_pixels(file: RawFile, ledger: Ledger) -> RawFile:
    """Sixteen bits a pixel of which twelve are stored: what is drawn in the others is an overlay of old."""
    name = ledger.word("bits above the pixels").encode()
    nibbles = [half for letter in name for half in (letter >> 4, letter & 15)]
    pixels = np.arange(256, dtype="<u2")
    pixels[: len(nibbles)] |= np.array(nibbles, "<u2") << 12
    ledger.sought["bits above the pixels"] = (pixels[: len(nibbles)].tobytes(),)
    overlay = [
        Element(0x60000000 | low, "US", struct.pack("<H", number))
        for low, number in ((0x10, 16), (0x11, 16), (0x100, 16), (0x102, 12))
    ]
    return having(file, *overlay, element(0x60000040, "CS", "G"), Element(PIXELS, "OW", pixels.tobytes()))


@odd(refusable=True)
def representations_that_no_one_knows(file: RawFile, ledger: Ledger) -> RawFile:
    word = ledger.word("of an unknown representation").encode()
    return having(file, Element(0x00189999, "ZZ", word), Element(0x0019000F, "??", word))


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


@odd(refusable=True)
def text_in_tables_of_offsets(file: RawFile, ledger: Ledger) -> RawFile:
    """Text in the basic and the extended table of offsets, and in what is unused of the head of a run-length frame."""
    table = (ledger.word("basic offset table") * 2).encode()
    head = struct.pack("<II", 1, 64) + (ledger.word("unused offsets") * 5).encode()[:56]
    frame = head + b"\x81\0" * 4
    fragments = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part for part in (table, frame))
    extended = Element(0x7FE00001, "OV", (ledger.word("extended offset table") * 4).encode())
    return having(file, extended, Element(PIXELS, "OB", fragments, True)).with_syntax("1.2.840.10008.1.2.5")


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
def a_name_decomposed_and_without_its_accents(file: RawFile, ledger: Ledger) -> RawFile:
    """A name with its accents as characters of their own, as some computers write it, and without them, as consoles do."""
    ledger.note("decomposed", "Gru\u0308nfeldsa\u030a")
    ledger.note("without accents", "Grunfeldsa")
    ledger.note("written out", "Gruenfeldsaa")
    text = "ep2d Gru\u0308nfeldsa\u030a bold Grunfeldsa GRUENFELDSAA"
    name = Element(0x00100010, "PN", padded_utf8("Grünfeldså^Zoë"))
    texts = [Element(tag, vr, padded_utf8(text)) for tag, vr in ((0x0008103E, "LO"), (0x00204000, "LT"), (0x0040A160, "UT"))]
    return having(file, element(0x00080005, "CS", "ISO_IR 192"), name, *texts)


@odd()
def a_name_of_the_web(file: RawFile, ledger: Ledger) -> RawFile:
    """The name as addresses, pages and tables write it."""
    file = named(file, ledger)
    text = f"file:///data/{FAMILY}%5E{GIVEN}/x &lt;{GIVEN}&gt; {GIVEN}+{FAMILY} {{'name': '{FAMILY}'}} C:\\{FAMILY}\\{GIVEN}"
    return having(file, element(0x0040A160, "UT", text), element(0x00204000, "LT", text))


@odd()
def identifiers_in_parts(file: RawFile, ledger: Ledger) -> RawFile:
    """An id with separators, repeated without them and with others, and a long one repeated in part."""
    ledger.note("without separators", "HX7739164Q")
    ledger.note("with other separators", "HX_7739164_Q", "HX.7739164.Q")
    file = having(file, element(0x00100020, "LO", "HX-7739164-Q"))
    return having(
        file, element(0x0040A160, "UT", "HX7739164Q HX_7739164_Q hx.7739164.q"), element(0x0008103E, "LO", "HX7739164Q bold")
    )


@odd()
def sequences_of_undefined_and_of_defined_length(file: RawFile, ledger: Ledger) -> RawFile:
    defined = tuple(of_an_item(ledger, "defined length"))
    undefined = tuple(of_an_item(ledger, "undefined length"))
    return having(file, sequence(0x00189042, defined, undefined=False), sequence(0x00189049, undefined), sequence(0x00189006))


@odd()
def the_person_alone(file: RawFile, ledger: Ledger) -> RawFile:
    """Nothing but the elements of the person, each repeated in the name of the series."""
    ledger.sought.update(identity.PERSON)
    file = having(file, *of_the_person())
    texts = [identity.INSTITUTION, identity.STATION, identity.SERIAL, identity.MAIL, identity.PHONE, identity.ADDRESS]
    texts += [
        identity.REFERRING,
        identity.OPERATOR,
        identity.OTHER_ID,
        identity.BIRTH_DATE,
        identity.WEIGHT,
        identity.STUDY_DATE,
    ]
    text = " / ".join([*texts, identity.PATIENT_ID, identity.ACCESSION, identity.STUDY_ID, identity.NAME])
    return having(
        file, element(0x00204000, "LT", text), element(0x0040A160, "UT", text), element(0x00104000, "LT", text.lower())
    )


@dataclass(frozen=True)
class Script:
    """A name in a character set: how it is declared, how it is written, and the parts of it that tell."""

    label: str
    declared: str
    codec: str
    name: str
    parts: tuple[str, ...]


SCRIPTS = (
    Script("Latin 1", "ISO_IR 100", "latin-1", "Grünfeldsø^Zoëlina", ("Grünfeldsø", "Zoëlina")),
    Script("UTF-8", "ISO_IR 192", "utf-8", "Grünfeldsø^Zoëlina=青葉薫^小夜子", ("Grünfeldsø", "Zoëlina", "青葉薫", "小夜子")),
    Script("Cyrillic", "ISO_IR 144", "iso8859_5", "Куропаткин^Зебулон", ("Куропаткин", "Зебулон")),
    Script("Greek", "ISO_IR 126", "iso8859_7", "Διονυσόπουλος^Ζήνων", ("Διονυσόπουλος", "Ζήνων")),
    Script("GB18030", "GB18030", "gb18030", "Wangouyang^Xiaodong=王欧阳^小东", ("Wangouyang", "Xiaodong", "王欧阳", "小东")),
    Script(
        "Japanese",
        "\\ISO 2022 IR 87",
        "iso2022_jp",
        "Yamashirota^Tarouemon=山城田^太郎右",
        ("Yamashirota", "Tarouemon", "山城田", "太郎右"),
    ),
    Script("Shift JIS", "ISO_IR 13", "shift_jis", "ﾔﾏｼﾛﾀ^ﾀﾛｳｴﾓﾝ", ("ﾔﾏｼﾛﾀ", "ﾀﾛｳｴﾓﾝ")),
    Script("Korean", "\\ISO 2022 IR 149", "euc_kr", "Hongsang^Gildongi=홍상^길동이", ("Hongsang", "Gildongi", "길동이")),
    Script("undeclared Latin 1", "", "latin-1", "Grünfeldsø^Zoëlina", ("Grünfeldsø", "Zoëlina")),
    Script("undeclared UTF-8", "", "utf-8", "Grünfeldsø^Zoëlina", ("Grünfeldsø", "Zoëlina")),
    Script("Latin 1 declared as UTF-8", "ISO_IR 192", "latin-1", "Grünfeldsø^Zoëlina", ("Grünfeldsø", "Zoëlina")),
)


def written_in(script: Script) -> Planted:
    """Return a file whose name and texts are of a character set, in the data set and in an item with a set of its own."""

    def coded(text: str) -> bytes:
        value = b"\x1b$)C".join([b"", text.encode("euc_kr")]) if script.codec == "euc_kr" else text.encode(script.codec)
        return value + b" " * (len(value) % 2)

    ledger = Ledger()
    ledger.note(script.label, *script.parts)
    text = " ".join(["ep2d", *script.parts, "bold"])
    charset = [element(0x00080005, "CS", script.declared)] if script.declared else []
    item = (
        element(0x00080005, "CS", "ISO_IR 192"),
        Element(0x00100010, "PN", padded_utf8(script.name)),
        Element(0x0008103E, "LO", padded_utf8(text)),
    )
    texts = [Element(tag, "LT", coded(text)) for tag in (0x00204000, 0x00104000)]
    file = having(
        made(),
        *charset,
        *texts,
        Element(0x00100010, "PN", coded(script.name)),
        Element(0x0008103E, "LO", coded(text)),
        sequence(0x00189042, item),
        *private("SIEMENS MR HEADER", 0x0051, (0x0F, "LO", coded(script.parts[-1]))),
    )
    return Planted(file.content(), ledger)


def padded_utf8(text: str) -> bytes:
    value = text.encode("utf-8")
    return value + b" " * (len(value) % 2)


def every_case() -> Iterator[tuple[str, Planted, bool]]:
    """Yield every oddity: its name, the file, and whether refusing it is right."""
    for case in CASES:
        yield case.name, case.planted(), case.refusable
    for script in SCRIPTS:
        yield f"a name in {script.label}", written_in(script), False
