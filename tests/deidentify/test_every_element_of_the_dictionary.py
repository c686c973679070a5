"""A word of its own in every public element that can hold one, listed by the standard's table or not: what stays is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from identity import Ledger
from planted import ESSENTIAL, element, once, sequence
from pydicom.datadict import DicomDictionary, dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from raw_files import Element, having, made
from search import missing, survivors

from rtbids.deidentify import kept
from rtbids.deidentify.engine import Deidentifier
from rtbids.deidentify.mapping import Key, Mapping
from rtbids.deidentify.profile import Profile

SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
OPAQUE = frozenset({"AE", "CS", "LO", "SH", "ST", "LT", "UT", "UC", "UR", "PN", "OB", "OW", "OF", "OD", "OL", "OV", "UN"})
# Texts that MR needs and that have no form, so that a word may stand in them; and the colours of a palette.
STAY = {
    "ManufacturerModelName", "SoftwareVersions", "SequenceName", "PulseSequenceName", "ReceiveCoilName",
    "TransmitCoilName", "MultiCoilElementName", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
}  # fmt: skip
OF_THE_IMAGE = {"PixelData", "FloatPixelData", "DoubleFloatPixelData", "SOPClassUID", "SpecificCharacterSet"}
DECIDES = ESSENTIAL | {0x00080064}  # what an image is, and whether it is taken: not planted at the top
NESTED = 0x00089215  # DerivationCodeSequence, which is walked into
ENGINE = Deidentifier(Profile(), Mapping(Key(bytes(range(32)))))


def texts() -> Iterator[tuple[int, str]]:
    """Yield tag and VR of every element that can hold a text or bytes of any kind."""
    for tag in sorted(DicomDictionary):
        vr = dictionary_VR(tag).split(" or ")[-1]
        if tag >> 16 > 7 and tag >> 16 < 0xFFFA and vr in OPAQUE and keyword_for_tag(tag) not in OF_THE_IMAGE:
            yield tag, vr


def of_everything(ledger: Ledger, left_out: frozenset[int], blob: str = "") -> Iterator[Element]:
    """Yield the elements; `blob` is the VR in which bytes are written, if not in their own."""
    for tag, vr in texts():
        place = f"{tag:08x} {keyword_for_tag(tag)}"
        if tag not in left_out:
            value = ledger.word(place) if vr in ("AE", "CS") else once(ledger, place, vr if vr[0] != "O" else "OB")
            assert value is not None
            yield element(
                tag,
                blob or vr if vr[0] == "O" else vr,
                value + b"\0" * (-len(value) % 8) if isinstance(value, bytes) else value,
            )


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("nested", [False, True], ids=["at the top", "in a sequence"])
def test_what_any_element_says_goes_but_for_the_few_that_stay(syntax: str, nested: bool) -> None:
    ledger = Ledger()
    blob = "OB" if syntax == ExplicitVRBigEndian else ""  # which swaps the bytes of others
    elements = tuple(of_everything(ledger, frozenset() if nested else DECIDES, blob))
    content = having(made(syntax=syntax), *([sequence(NESTED, elements)] if nested else elements)).content()
    assert len(ledger.sought) > 1500
    assert missing(ledger.sought, content) == []
    left = survivors(ledger.sought, ENGINE.clean(content).content)
    assert {place.split()[1] for place in left} == (STAY if nested else STAY - {"ManufacturerModelName", "SoftwareVersions"})


def test_what_stays_is_listed_with_its_reason() -> None:
    free = {tag for tag, how in kept.listing().items() if how.how in (kept.TEXT, kept.NUMBERS)}
    assert free == {tag_for_keyword(keyword) for keyword in STAY}
    assert all(how.why for how in kept.listing().values())


@pytest.mark.parametrize(
    ("keyword", "value", "left"),
    [
        ("CodeValue", "T-A0100", "T-A0100"),
        ("CodeValue", "Quillbert", ""),
        ("CodeMeaning", "Praxis Dr. Quillbert brain", "brain"),
        ("CodingSchemeDesignator", "UCUM", "UCUM"),
        ("CodingSchemeDesignator", "QUILLBERT", ""),
        ("RescaleType", "US", "US"),
        ("RescaleType", "Quillbert", ""),
        ("StackID", "1", "1"),
        ("StackID", "QUILLBERT", ""),
        ("ImagedNucleus", "1H", "1H"),
        ("ImagedNucleus", "Quillbert", ""),
        ("BodyPartExamined", "BRAIN", "BRAIN"),
        ("BodyPartExamined", "Quillbert", ""),
        ("BodyPartExamined", "QUILLBERT OF THE HILLS", ""),
        ("ScanOptions", "FS\\Quillbert\\PFP", "FS\\PFP"),
    ],
)
def test_texts_of_a_form_stay_where_they_have_it(keyword: str, value: str, left: str) -> None:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    wanted = element(tag, dictionary_VR(tag), value)
    out = ENGINE.clean(having(made(), sequence(NESTED, (wanted,))).content()).content
    assert element(tag, dictionary_VR(tag), left).value in out
    assert b"uillbert" not in out.replace(b"UILLBERT", b"uillbert")
