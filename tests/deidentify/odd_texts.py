"""Oddities of text: what was removed elsewhere, or what tells by its form alone, written in what is kept."""

from __future__ import annotations

import identity
from identity import Ledger
from odd_case import odd, with_text
from planted import ESSENTIAL, element, of_the_person, private, rows, sequence
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from raw_files import Element, RawFile, having


@odd()
def ids_in_words(file: RawFile, ledger: Ledger) -> RawFile:
    ledger.note("the id", "7739164")
    ledger.note("the accession number", "90917733")
    file = having(file, element(0x00100020, "LO", "7739164"), element(0x00080050, "SH", "90917733"))
    return with_text(file, "sub-7739164_task-x 007739164 A90917733B")


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
def values_removed_deep_inside(file: RawFile, ledger: Ledger) -> RawFile:
    """A former name, in the original attributes, and a name in a private element: both written in the series' name."""
    ledger.note("a former name", "Kettlewhistle", "Philomenia")
    ledger.note("a name in a private element", "Abernathious")
    former = element(0x00100010, "PN", "Kettlewhistle^Philomenia")
    old = sequence(0x04000561, (sequence(0x04000550, (former,)),))
    vendor = private("Philips MR Imaging DD 004", 0x2005, (0x91, "PN", "Abernathious^B"))
    return with_text(having(file, old, *vendor), "Kettlewhistle bold philomenia_2 Abernathious")


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
