"""The generator: identifiers in every corner of a DICOM file, made by someone who has not seen the rules that remove them.

`plant` takes the bytes of a file and gives them back with all of it inside, with a ledger of what was planted where.
Two kinds are planted: what occurs once, in elements that the standard's table removes or changes, and the values of the
patient's own elements again, in text that is kept otherwise.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import csa_planting as csa
import identity
from identity import Ledger
from pydicom.datadict import DicomDictionary, dictionary_has_tag, dictionary_VR, keyword_for_tag
from raw_files import PIXELS, Element, Items, RawFile, merged, walk

TEXT = frozenset({"LO", "SH", "ST", "LT", "UT", "UC"})
ROWS = Path(__file__).with_name("rows_of_the_standard.txt")
ESSENTIAL = frozenset(
    {0x00080005, 0x00080008, 0x00080016, 0x00080018, 0x00080060, 0x00080064, 0x00080070, 0x00081090, 0x0020000D, 0x0020000E}
    | {0x00200052, 0x00200013, 0x00200032, 0x00200037, 0x00280004, 0x00280008, 0x00280301, 0x00280302, 0x00120062, 0x00120063}
    | {0x00120064, 0x00280303, 0x00180020, 0x00180080, 0x00180081, 0x00189073, 0x52009229, 0x52009230, PIXELS, 0x7FE00008}
    | {0x7FE00009, 0x00181020, 0x00020003, 0x00041510, 0x00041511, 0x00041512}
)
IMAGE_PIXEL = range(0x00280000, 0x00290000)


def padded(value: bytes, vr: str) -> bytes:
    return value + (b"\0" if vr in {"UI", "OB", "UN"} else b" ") * (len(value) % 2)


def element(tag: int, vr: str, value: str | bytes) -> Element:
    return Element(tag, vr, padded(value.encode("utf-8") if isinstance(value, str) else value, vr))


def sequence(tag: int, *items: tuple[Element, ...], vr: str = "SQ", undefined: bool = True) -> Element:
    return Element(tag, vr, tuple(tuple(sorted(item, key=lambda e: e.tag)) for item in items), undefined)


def private(
    creator: str, group: int, *elements: tuple[int, str, str | bytes | Items], block: int = 0x10
) -> tuple[Element, ...]:
    """Return a private block: its creator and elements, given by their low bytes."""
    made = [element(group << 16 | block, "LO", creator)] if creator else []
    for low, vr, value in elements:
        tag = group << 16 | block << 8 | low
        made.append(sequence(tag, *value) if isinstance(value, tuple) else element(tag, vr, value))
    return tuple(made)


def once(ledger: Ledger, place: str, vr: str) -> str | bytes | None:
    """Return a value of a representation that occurs once, or None where one cannot be told from others."""
    match vr:
        case "PN":
            return f"{ledger.word(place)}^{ledger.word(place)}=^{ledger.word(place)}"
        case "AE" | "CS":
            return ledger.word(place).upper()
        case "DA":
            return ledger.date(place)
        case "DT":
            return ledger.date(place) + "143007.250000+0100"
        case "DS":
            return ledger.decimal(place)
        case "IS":
            return ledger.digits(place)
        case "UI":
            return ledger.uid(place)
        case "UR":
            return f"https://{ledger.word(place)}.example/p?n={ledger.word(place)}"
        case "AS":
            ledger.note(place, b"097Y")
            return "097Y"
        case "OB" | "UN" | "OW":
            return b"\x01\x00" + ledger.word(place).encode("ascii") + b"\x00\x02"
        case "SL" | "UL":
            number = struct.pack("<i", int(ledger.digits(f"{place} (text)")))
            del ledger.sought[f"{place} (text)"]
            ledger.note(place, number)
            return number
        case "FD":
            number = struct.pack("<d", float(ledger.decimal(f"{place} (text)")))
            del ledger.sought[f"{place} (text)"]
            ledger.note(place, number)
            return number
    return ledger.word(place) if vr in TEXT else None


def rows() -> Iterator[tuple[int, str, str]]:
    """Yield tag, action and keyword of the standard's table."""
    for line in ROWS.read_text("ascii").splitlines()[1:]:
        tag, action, keyword = line.split()
        yield int(tag, 16), action, keyword


# Rows that options in force by default clean instead of removing: what stays of them must only not repeat what identifies.
CLEANED: frozenset[str] = frozenset()


def from_the_table(ledger: Ledger) -> Iterator[Element]:
    """Yield an element for every row of the standard's table, each with a value that occurs once."""
    for tag, action, keyword in rows():
        if tag in ESSENTIAL or tag >> 16 in {0, 2, 4} or keyword == "PatientSex":
            continue
        vr = dictionary_VR(tag)[:2] if dictionary_has_tag(tag) else "LO"
        place = f"row {tag:08x} {keyword} ({action})"
        if vr == "SQ":
            yield sequence(tag, tuple(of_an_item(ledger, place)))
        elif keyword in CLEANED:
            yield element(tag, vr, ledger.repeat())
        elif (value := once(ledger, place, vr)) is not None:
            yield element(tag, vr, value)


def of_an_item(ledger: Ledger, place: str) -> Iterator[Element]:
    """Yield what names a person in an item, in whatever sequence it is."""
    yield element(0x00080021, "DA", ledger.date(f"{place} > SeriesDate"))
    yield element(0x00080050, "SH", ledger.word(f"{place} > AccessionNumber"))
    yield element(0x00080080, "LO", ledger.word(f"{place} > InstitutionName"))
    yield element(0x0008103E, "LO", f"ep2d {ledger.repeat()} bold")
    for tag, keyword in (
        (0x00080018, "SOPInstanceUID"),
        (0x00081155, "ReferencedSOPInstanceUID"),
        (0x0020000D, "StudyInstanceUID"),
    ):
        yield element(tag, "UI", ledger.uid(f"{place} > {keyword}"))
    yield element(0x00100010, "PN", f"{ledger.word(f'{place} > PatientName')}^{ledger.word(f'{place} > PatientName')}")
    yield element(0x00100020, "LO", ledger.word(f"{place} > PatientID"))
    yield element(0x00189074, "DT", ledger.date(f"{place} > FrameAcquisitionDateTime") + "112233.5")
    yield element(0x00187FF2, "LO", ledger.word(f"{place} > an unknown public element"))
    yield from private("QUITE PRIVATE 1.0", 0x0033, (0x01, "LO", ledger.word(f"{place} > a private element")))
    yield element(0x00351001, "LO", ledger.word(f"{place} > a private element without creator"))


def of_the_dictionary(ledger: Ledger) -> Iterator[Element]:
    """Yield every other public element that can hold text: names and dates once, the rest with a value that is repeated."""
    listed = {tag for tag, *_ in rows()}
    for tag in sorted(DicomDictionary):
        vr, keyword = dictionary_VR(tag)[:2], keyword_for_tag(tag)
        if tag in listed | ESSENTIAL or tag in IMAGE_PIXEL or tag >> 16 in {0, 2, 4, 0xFFFE} or tag & 0xFFFF == 0:
            continue
        place = f"public {tag:08x} {keyword} {vr}"
        if vr in {"PN", "DA", "DT"} and (value := once(ledger, place, vr)) is not None:
            yield element(tag, vr, value)
        elif vr == "UI" and not any(word in keyword for word in ("Class", "Syntax", "Coding", "Context", "Mapping")):
            yield element(tag, vr, ledger.uid(place))
        elif vr in TEXT | {"AE", "CS"}:
            most = {"SH": 16, "AE": 16, "CS": 16}.get(vr, 64)
            yield element(tag, vr, (identity.FAMILY.upper() if vr == "CS" else ledger.repeat())[:most])


def unknown_public(ledger: Ledger) -> Iterator[Element]:
    """Yield elements with even groups that no dictionary has."""
    known = [0x00087FF0, 0x00100FF3, 0x00187FF1, 0x00207FF3, 0x00287FF4, 0x00327FF5, 0x00407FF6, 0x00547FF7, 0x00547FF9]
    for tag, vr in zip(known, ("PN", "LO", "UT", "DA", "SH", "UN", "ST", "UI", "OB"), strict=True):
        if (value := once(ledger, f"unknown public {tag:08x} {vr}", vr)) is not None:
            yield element(tag, vr, value)
    yield sequence(0x00187FE0, tuple(of_an_item(ledger, "in an unknown public sequence")))


def of_the_person() -> Iterator[Element]:
    """Yield the elements whose values are repeated in others."""
    yield element(0x00080020, "DA", identity.STUDY_DATE)
    yield element(0x00080050, "SH", identity.ACCESSION)
    yield element(0x00080080, "LO", identity.INSTITUTION)
    yield element(0x00080081, "ST", identity.ADDRESS)
    yield element(0x00080090, "PN", identity.REFERRING)
    yield element(0x00081010, "SH", identity.STATION)
    yield element(0x00081070, "PN", f"{identity.OPERATOR}\\")
    yield element(0x00100010, "PN", identity.NAME)
    yield element(0x00100020, "LO", identity.PATIENT_ID)
    yield element(0x00100030, "DA", identity.BIRTH_DATE)
    yield element(0x00101000, "LO", f"{identity.OTHER_ID}\\XB-5500127")
    yield element(0x00101010, "AS", "097Y")
    yield element(0x00101030, "DS", identity.WEIGHT)
    yield element(0x00101040, "LO", identity.ADDRESS)
    yield element(0x00102154, "SH", identity.PHONE)
    yield element(0x00102155, "LT", f"mailto:{identity.MAIL}")
    yield element(0x00181000, "LO", identity.SERIAL)
    yield element(0x00200010, "SH", identity.STUDY_ID)


def free_text(ledger: Ledger) -> Iterator[Element]:
    """Yield text that is kept when it is clean, with all that identifies written into it."""
    one, two = ledger.date("free text: a date of its own, ISO"), ledger.date("free text: a date of its own, German")
    third, fourth = ledger.date("free text: a date of its own, US"), ledger.date("free text: a date of its own, in words")
    iso, german = f"{one[:4]}-{one[4:6]}-{one[6:]}", f"{two[6:]}.{two[4:6]}.{two[:4]}"
    birth = identity.sought_as(identity.BIRTH_DATE)
    yield element(0x0008103E, "LO", f"ep2d_bold_{identity.GIVEN}_{identity.FAMILY}_run1")
    yield element(0x00081030, "LO", f"Gehirn {identity.FAMILY.upper()}, {identity.GIVEN} *{birth[4]}")
    yield element(0x00181030, "LO", f"task-{identity.FAMILY.lower()}_{identity.ACCESSION}")
    yield element(0x00204000, "LT", "\r\n".join((f"Pat. {identity.NAME}", *identity.SPELLINGS_OF_THE_NAME, *birth, iso)))
    phone = f"Tel. {identity.PHONE}, {identity.MAIL}; {identity.ADDRESS}"
    yield element(0x00104000, "LT", f"{phone} ID {identity.PATIENT_ID} / {identity.SERIAL} am {german}")
    yield element(0x00321060, "LO", f"Dr {identity.REFERRING.split('^')[0]} {third[4:6]}/{third[6:]}/{third[:4]}")
    yield element(0x00400254, "LO", f"{identity.INSTITUTION} {identity.STATION} {identity.sought_as(fourth)[-6]}")
    yield element(0x00082111, "ST", f"from {identity.PATIENT_ID.lower()} {identity.STUDY_ID} {identity.STUDY_DATE}")
    yield element(0x00180010, "LO", f"{identity.FAMILY}'s contrast")
    yield element(0x00180024, "SH", f"*{identity.FAMILY}")
    yield element(0x00181251, "SH", f"{identity.GIVEN} coil")
    yield element(0x00185100, "CS", identity.FAMILY.upper())
    yield element(0x00181020, "LO", f"syngo MR E11\\{identity.FAMILY}")
    yield element(0x00080068, "CS", "FOR PRESENTATION")
    yield element(0x00181312, "CS", "COL")


def chains() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield sequences in sequences, by tag: those that the table lists and others, known and not, public and private."""
    yield "request attributes", (0x00400275,)
    yield "referenced image > purpose", (0x00081140, 0x0040A170)
    yield "referenced series > referenced SOP", (0x00081115, 0x00081199)
    yield "derivation image > source image", (0x00089124, 0x00082112)
    yield "contributing equipment", (0x0018A001, 0x00081041)
    yield "original attributes > modified attributes", (0x04000561, 0x04000550)
    yield "digital signatures", (0xFFFAFFFA, 0x04000305)
    yield "content > content > content > content", (0x0040A730,) * 4
    yield "icon image", (0x00880200,)
    yield "other patient ids", (0x00101002,)
    yield "receive coil > multi-coil definition", (0x00189042, 0x00189045)
    yield "view code > view modifier code", (0x00540220, 0x00540222)
    yield "modality LUT", (0x00283000,)
    yield "unknown > unknown > unknown", (0x00187FE4, 0x00207FE5, 0x00407FE6)
    yield "shared groups > MR timing", (0x52009229, 0x00189112)
    yield "shared groups > unknown", (0x52009229, 0x00187FE8)
    yield "per-frame groups > frame content", (0x52009230, 0x00209111)
    yield "per-frame groups > real world value mapping > code", (0x52009230, 0x00409096, 0x004008EA)


def nested(ledger: Ledger, chain: tuple[int, ...], place: str, first: int = 1, vr: str = "SQ") -> Element:
    """Return sequences within each other, with what identifies at every depth from `first` on."""
    inside: tuple[Element, ...] = ()
    for depth in range(len(chain), 0, -1):
        if depth >= first:
            inside += tuple(of_an_item(ledger, f"{place}, depth {depth}"))
        inside = (sequence(chain[depth - 1], merged(inside, ()), vr=vr),)
    return inside[0]


def nests(ledger: Ledger, dataset: tuple[Element, ...]) -> Iterator[Element]:
    """Yield the chains, put into the items that the file has where it has the outer sequence."""
    here = {e.tag: e for e in dataset if e.items}
    for outer, chained in groupby(chains(), key=lambda chain: chain[1][0]):
        made = here.get(outer)
        for number, (place, chain) in enumerate(chained):
            new = nested(ledger, chain, place, first=1 + min(number, 1))
            made = new if made is None else with_items(made, new.items[0])
        if made is not None:
            yield made


def with_items(old: Element, new: tuple[Element, ...]) -> Element:
    """Return a sequence with elements put into its first and its last item."""
    ends = {0, len(old.items) - 1}
    return replace(old, value=tuple(merged(item, new) if n in ends else item for n, item in enumerate(old.items)))


def private_nests(ledger: Ledger) -> Iterator[Element]:
    """Yield private in public, and public in private."""
    inner = tuple(of_an_item(ledger, "public in private in private"))
    deep = merged(inner, private("DEEPER 2", 0x0031, (0x05, "SQ", (inner,))))
    yield from private("OUTER 1", 0x0031, (0x01, "SQ", (deep,)), (0x02, "LO", ledger.word("private beside a sequence")))


def coded_as_unknown(ledger: Ledger) -> Iterator[Element]:
    """Yield sequences that only say that they are unknown, and hold implicit VR little endian."""
    place = "UN of undefined length"
    yield from private("UNKNOWN CODED", 0x0037)
    yield sequence(0x00371001, tuple(of_an_item(ledger, place)), vr="UN")
    yield sequence(0x00187FEA, tuple(of_an_item(ledger, f"public {place}")), vr="UN")
    yield nested(ledger, (0x0018A001, 0x00081041), "contributing equipment as UN", vr="UN")


def packed(ledger: Ledger) -> Iterator[Element]:
    """Yield documents in private and in public elements: XML, JSON, HL7, archives, a whole DICOM file."""
    words = {
        kind: ledger.word(f"packed: {kind}")
        for kind in ("XML", "JSON", "HL7", "gzip", "zlib", "zip", "base64", "UTF-16", "file")
    }
    xml = f'<?xml version="1.0"?><Patient name="{identity.NAME}"><w>{words["XML"]}</w><dob>1954-07-23</dob></Patient>'
    hl7 = f"MSH|^~\\&|\rPID|1||{identity.PATIENT_ID}||{identity.FAMILY}^{identity.GIVEN}||{identity.BIRTH_DATE}|{words['HL7']}"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("patient.txt"), words["zip"] * 3)
    within = bytes(128) + b"DICM" + words["file"].encode() + b"\x10\0\x10\0PN\x0c\0Quillfeather"
    blocks: list[tuple[int, str, str | bytes | Items]] = [
        (0x01, "LT", xml),
        (0x02, "UN", json.dumps({"PatientName": identity.NAME, "w": words["JSON"]})),
        (0x03, "UT", hl7),
        (0x04, "OB", b"\x10\0\0\0" + gzip.compress(f"NAME {words['gzip']} {identity.NAME}".encode() * 3, mtime=0)),
        (0x05, "OB", zlib.compress(words["zlib"].encode() * 3)),
        (0x06, "OB", archive.getvalue()),
        (0x07, "LT", base64.b64encode(f"name={words['base64']}".encode()).decode()),
        (0x08, "OB", words["UTF-16"].encode("utf-16-le")),
        (0x09, "OB", within),
    ]
    yield from private("DOCUMENTS 1.0", 0x0039, *blocks)


def graphics(ledger: Ledger, words: str) -> Iterator[Element]:
    """Yield overlays, curves, audio, and padding; `words` is how their bytes are declared."""
    for group in (0x6000, 0x6002, 0x601E):
        name = ledger.word(f"overlay {group:04x} data").encode("ascii")
        yield Element(group << 16 | 0x10, "US", struct.pack("<H", 16))
        yield Element(group << 16 | 0x11, "US", struct.pack("<H", 16))
        yield element(group << 16 | 0x22, "LO", ledger.word(f"overlay {group:04x} description"))
        yield element(group << 16 | 0x40, "CS", "G")
        yield element(group << 16 | 0x1500, "LO", ledger.word(f"overlay {group:04x} label"))
        yield Element(group << 16 | 0x3000, words, name + bytes(32 - len(name)))
        yield element(group << 16 | 0x4000, "LT", ledger.word(f"overlay {group:04x} comments"))
    for group in (0x5000, 0x501E):
        yield element(group << 16 | 0x0022, "LO", ledger.word(f"curve {group:04x} description"))
        yield element(group << 16 | 0x2500, "LO", ledger.word(f"curve {group:04x} label"))
        yield element(group << 16 | 0x200E, "LT", ledger.word(f"curve {group:04x} audio comments"))
        yield element(group << 16 | 0x3000, words, ledger.word(f"curve {group:04x} data"))
    yield element(0x60011010, "LO", ledger.word("private group among the overlays"))
    yield element(0xFFFCFFFC, "OB", ledger.word("data set trailing padding"))


UNSEEN_CREATORS = (
    ("SIEMENS MEDCOM HEADER", 0x0029, "LO"),
    ("SIEMENS CSA REPORT", 0x0029, "LO"),
    ("SIEMENS CM VA0 CMS", 0x0009, "LO"),
    ("SPI RELEASE 1", 0x0009, "LO"),
    ("GEIIS", 0x0905, "LO"),
    ("GEMS_PETD_01", 0x0009, "LO"),
    ("GEMS_PATI_01", 0x0011, "PN"),
    ("CTP", 0x0013, "LO"),
    ("MITRA OBJECT DOCUMENT 1.0", 0x0029, "LO"),
    ("ELSCINT1", 0x0003 + 0x0004, "LO"),
    ("PAPYRUS 3.0", 0x0041, "LO"),
    ("Philips Imaging DD 129", 0x2001, "LO"),
    ("PHILIPS-MR-1", 0x0019, "LO"),
    ("TOSHIBA_MEC_MR3", 0x700D, "LO"),
    ("BRUKER_MEDSPEC", 0x0065, "LO"),
    ("dcm4che/archive", 0x0043, "LO"),
    ("siemens csa header", 0x0029, "OB"),
    ("SIEMENS MR HEADER Quillfeather", 0x0051, "LO"),
    ("Quillfeather^Zebulon", 0x0053, "LO"),
)


def private_blocks(ledger: Ledger, dataset: tuple[Element, ...]) -> Iterator[Element]:
    """Yield private blocks of creators not in the development data, wrong claims to known creators, and none at all."""
    taken = {e.tag for e in dataset if e.tag >> 16 & 1 and 0x10 <= e.tag & 0xFFFF <= 0xFF}
    for number, (creator, group, vr) in enumerate(UNSEEN_CREATORS):
        block = next(b for b in range(0x90 + number, 0x100) if group << 16 | b not in taken)
        values = [(low, vr, once(ledger, f"private {creator} xx{low:02x}", vr) or "") for low in (0x00, 0x08, 0x10, 0x20, 0xFF)]
        yield from private(creator, group, *values, block=block)
    yield element(0x0029EF10, "OB", once(ledger, "private block 0029,EF without creator", "OB") or "")
    yield element(0x00511F0E, "LO", ledger.word("private block 0051,1F without creator"))
    yield element(0x00450005, "LO", ledger.word("private element below the creators"))


def meta(ledger: Ledger, file: RawFile) -> tuple[Element, ...]:
    """Return file meta information with all that senders write there."""
    added = (
        element(0x00020013, "SH", ledger.word("meta: implementation version")),
        element(0x00020016, "AE", ledger.word("meta: source AE")),
        element(0x00020017, "AE", ledger.word("meta: sending AE")),
        element(0x00020018, "AE", ledger.word("meta: receiving AE")),
        element(0x00020026, "UR", f"dicom://{ledger.word('meta: source address')}.example:104"),
        element(0x00020100, "UI", ledger.uid("meta: private creator")),
        element(0x00020102, "OB", ledger.word("meta: private information")),
        element(0x00020777, "LO", ledger.word("meta: unknown element")),
    )
    return merged(file.meta, added)


def preamble(ledger: Ledger) -> bytes:
    """Return a preamble that is the start of a TIFF, with text after it."""
    text = b"II*\0\x10\0\0\0" + bytes(8) + ledger.word("preamble").encode("ascii") + b" " + identity.NAME.encode("ascii")
    return text.ljust(128, b"\0")


PRIVATE_TEXT = frozenset({"LO", "SH", "ST", "LT", "UT", "PN", "UC", "AE", "CS", "DA", "DT", "UI", "UR", "OB"})

# Elements of the creators in the development data that tell of a person, a place or a day: creator, low byte.
TELLING = {
    ("GEMS_IDEN_01", 0x02), ("GEMS_IDEN_01", 0x27), ("GEMS_IDEN_01", 0x30), ("GEMS_IDEN_01", 0x31), ("GEMS_IDEN_01", 0xE3),
    ("GEMS_IDEN_01", 0xE9), ("GEMS_ACQU_01", 0x9D), ("GEMS_PARM_01", 0x61), ("GEMS_PARM_01", 0x62), ("GEMS_PARM_01", 0x70),
    ("GEMS_PARM_01", 0x71), ("GEMS_PARM_01", 0x80), ("GEMS_PARM_01", 0x88), ("GEMS_PARM_01", 0x98), ("GEMS_SERS_01", 0x1A),
    ("1.2.840.113819.3", 0x13), ("1.2.840.113819.3", 0x14), ("1.2.840.113819.3", 0x15), ("1.2.840.113819.3", 0x72),
    ("1.2.840.113819.3", 0x73), ("1.2.840.113819.3", 0xC4), ("SIEMENS CSA HEADER", 0x09), ("SIEMENS CSA HEADER", 0x19),
    ("SIEMENS MEDCOM HEADER2", 0x60), ("SIEMENS SYNGO INDEX SERVICE", 0x8C), ("SIEMENS MR SDS 01", 0x01),
    ("SIEMENS MR SDS 01", 0x19), ("SIEMENS MR SDS 01", 0x2B), ("SIEMENS MR SDS 01", 0x43), ("SIEMENS MR SDS 01", 0x60),
    ("Philips Imaging DD 001", 0xC8), ("Philips Imaging DD 001", 0xCC), ("Philips MR Imaging DD 004", 0x91),
    ("Philips MR Imaging DD 004", 0x95), ("Philips MR Imaging DD 002", 0x34), ("Philips Imaging DD 002", 0x6B),
    ("Philips MR Imaging DD 005", 0x11), ("Philips MR Imaging DD 005", 0x3A), ("Image Private Header", 0x40),
    ("Image Private Header", 0x41), ("Image Private Header", 0x36), ("Image Private Header", 0x17),
}  # fmt: skip
CSA_BLOCKS = {("SIEMENS CSA HEADER", 0x10), ("SIEMENS CSA HEADER", 0x20)}
PROTOCOL_OF_GE = ("GEMS_SERS_01", 0x1B)


@dataclass(frozen=True)
class Vendor:
    """Plants into the private elements that a file has, at whatever depth, in place."""

    ledger: Ledger

    def dataset(self, elements: tuple[Element, ...], where: str = "") -> tuple[Element, ...]:
        creators = {
            e.tag: e.bytes.decode("latin-1").strip(" \0") for e in elements if e.tag >> 16 & 1 and e.tag & 0xFFFF < 0x100
        }
        return tuple(self.element(e, creators, where) for e in elements)

    def element(self, old: Element, creators: dict[int, str], where: str) -> Element:
        if old.items:
            here = f"{where}{old.tag:08x} > "
            last = len(old.items) - 1
            items = tuple(self.dataset(item, here) if n in {0, last} else item for n, item in enumerate(old.items))
            return replace(old, value=items)
        group, low = old.tag >> 16, old.tag & 0xFF
        if not group & 1 or old.tag & 0xFFFF < 0x1000:
            return old
        creator = creators.get(group << 16 | (old.tag >> 8 & 0xFF), "")
        return self.value(old, creator, low, f"{where}{creator} {group:04x},xx{low:02x} {old.vr}")

    def value(self, old: Element, creator: str, low: int, place: str) -> Element:
        if (creator, low) in CSA_BLOCKS and old.bytes.startswith(b"SV10"):
            return replace(old, value=csa.planted(old.bytes, self.ledger, place))
        if (creator, low) == PROTOCOL_OF_GE:
            return replace(old, value=protocol_of_ge(old.bytes, self.ledger, place))
        if b"<XProtocol>" in old.bytes:
            return replace(old, value=padded(csa.protocol(old.bytes, self.ledger, place), old.vr))
        vr = "LO" if old.vr == "UN" else old.vr
        if (creator, low) not in TELLING and vr not in PRIVATE_TEXT:
            return old
        value = once(self.ledger, place, vr)
        return old if value is None else element(old.tag, old.vr, value)


def protocol_of_ge(value: bytes, ledger: Ledger, place: str) -> bytes:
    """Return GE's protocol block, its length and a gzip stream, with more lines in it."""
    lines = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(value[4:]).decode("latin-1")
    lines += f'\nPATNAME "{identity.NAME}"\nSEDESC "{identity.FAMILY} {ledger.word(place)}"\nEXAMDATE "{ledger.date(place)}"\n'
    block = gzip.compress(lines.encode("latin-1"), mtime=0)
    return padded(struct.pack("<I", len(block)) + block, "OB")


@dataclass(frozen=True)
class Planted:
    """A file with everything in it, and what to look for afterwards."""

    content: bytes
    ledger: Ledger


def plant(file: RawFile) -> Planted:
    """Return a file with identifiers planted all over it."""
    ledger = Ledger()
    dataset = Vendor(ledger).dataset(file.dataset)
    needed = {e.tag for e in dataset if e.tag in ESSENTIAL or e.tag in IMAGE_PIXEL or (e.tag >> 16 == 0x0018 and not e.items)}
    tags = {tag for tag, *_ in rows()} | {e.tag for e in free_text(Ledger())}
    needed -= tags
    layers = (
        nests(ledger, dataset),
        of_the_person(),
        free_text(ledger),
        from_the_table(ledger),
        unknown_public(ledger),
        private_nests(ledger),
        coded_as_unknown(ledger) if file.coding.little else (),
        packed(ledger),
        graphics(ledger, "OW" if file.coding.little else "OB"),
        private_blocks(ledger, dataset),
        of_the_dictionary(ledger),
    )
    new: dict[int, Element] = {}
    for layer in layers:
        for made in accepted(ledger, layer, new.keys() | needed):
            new[made.tag] = made
    whole = replace(file, dataset=merged(dataset, tuple(new.values())), meta=meta(ledger, file), preamble=preamble(ledger))
    return Planted(whole.content(), Ledger(ledger.sought | identity.PERSON | originals(file), ledger.count))


def accepted(ledger: Ledger, layer: Iterable[Element], taken: Set[int]) -> Iterator[Element]:
    """Yield the elements whose places are free, and strike out of the ledger what the others would have brought."""
    before = len(ledger.sought)
    for made in layer:
        if made.tag not in taken:
            yield made
        else:
            while len(ledger.sought) > before:
                ledger.sought.popitem()
        before = len(ledger.sought)


def originals(file: RawFile) -> dict[str, tuple[str | bytes, ...]]:
    """Return what identifies in the file as it was: its UIDs and names, unless other elements took their places."""
    found: dict[str, tuple[str | bytes, ...]] = {}
    for _, e in walk(file.dataset):
        value = e.bytes.rstrip(b"\0 ")
        if e.tag in {0x00080018, 0x0020000D, 0x0020000E, 0x00200052} and value:
            found[f"original {e.tag:08x}"] = (value.decode("ascii"),)
    return found
