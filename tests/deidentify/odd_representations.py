"""Oddities of values: not of the kind that their tag or their representation announces, or with more behind them."""

from __future__ import annotations

import struct

from identity import FAMILY, GIVEN, Ledger
from odd_case import named, odd
from planted import element, rows
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from raw_files import Element, RawFile, having


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
def uids_that_are_no_uids(file: RawFile, ledger: Ledger) -> RawFile:
    """Text where a UID should be, and UIDs in elements that hold classes."""
    tags = (0x00080014, 0x00081155, 0x00200052, 0x00200200, 0x00081150, 0x0008010C, 0x0008001A, 0x00041510)
    return having(file, *(element(tag, "UI", ledger.word(f"{tag:08x}")) for tag in tags))


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
def representations_that_no_one_knows(file: RawFile, ledger: Ledger) -> RawFile:
    word = ledger.word("of an unknown representation").encode()
    return having(file, Element(0x00189999, "ZZ", word), Element(0x0019000F, "??", word))
