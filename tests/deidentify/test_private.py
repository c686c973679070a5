"""What stays of private elements: what the file of rules lists, where it holds what the rule knows, and nothing else."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from rtbids.deidentify import private
from rtbids.deidentify.engine import Deidentifier
from rtbids.deidentify.mapping import Key, Mapping
from rtbids.deidentify.private_values import BINARY, Values
from rtbids.deidentify.profile import Action, Profile
from rtbids.replay.mosaic import mosaic_dicom

SECRET = "Ottokar^Weissmueller"
ELEMENTS = [(creator, place) for creator, elements in private.listing()["elements"].items() for place in elements]
KEPT = [(creator, place) for creator, place in ELEMENTS if "keep" in private.listing()["elements"][creator][place]]
MASKED = [(creator, place) for creator, place in ELEMENTS if "mask" in private.listing()["elements"][creator][place]]
VALUES = np.random.default_rng(1).integers(0, 4000, (8, 8, 4), dtype=np.int16)


SEEN = (b"Tra>Cor(-9.2)", b"T:HEA;HEP", b"HC1-6 ", b"p2", b"p3 s2 ", b"FEEPI ", b"A->P", b"F:2S", b"1000000800", b"2\\1 ")
SEEN += (b"DIRECTIONAL ", b"ORIGINAL\\M", b"EP", b"SK\\SS ", b"PFP\\FS", b"epiRT ", b"EPI ", b"M ", b"FFE ", b"P ")


def rule_of(creator: str, place: str) -> private.PrivateRule:
    return private.rule(creator, int(place[1:5], 16), int(place[8:10], 16))


def mask_of(creator: str, place: str) -> Callable[[bytes], bytes]:
    mask = rule_of(creator, place).mask
    assert mask is not None
    return mask


def header() -> Dataset:
    return dcmread(BytesIO(mosaic_dicom(VALUES, np.diag([3.0, 3, 3, 1]))))


def cleaned(dataset: Dataset, *, implicit: bool = False) -> tuple[Dataset, bytes]:
    """Return what the engine leaves of a data set, read and as bytes."""
    dataset.PatientID = "someone"
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    file = BytesIO()
    dataset.save_as(file, implicit_vr=implicit, little_endian=True)
    content = Deidentifier(Profile(), Mapping(Key(bytes(32)))).clean(file.getvalue()).content
    return dcmread(BytesIO(content)), content


@pytest.mark.parametrize(("creator", "place"), ELEMENTS)
def test_every_rule_says_what_the_element_holds_and_what_needs_it(creator: str, place: str) -> None:
    said = private.listing()["elements"][creator][place]
    assert len({"keep", "mask", "walk"} & set(said)) == 1
    assert all(said[word] for word in ("holds", "needed", "vr"))
    assert ("safe" in said) == ("mask" in said)
    assert rule_of(creator, place).action is (Action.WALK if "walk" in said else Action.MASK)


@pytest.mark.parametrize(("creator", "place"), [*KEPT, *MASKED])
@pytest.mark.parametrize("text", [SECRET, "Weissm", "19700131", "1.3.12.2.1107.5.2.43.67093", "Mueller\\Ottokar\\Zuerich"])
def test_no_rule_lets_a_name_a_date_or_a_uid_pass(creator: str, place: str, text: str) -> None:
    for content in (text.encode(), text.encode().ljust(64, b" "), (text * 8)[:64].encode(), text.encode("utf-16-le")):
        assert mask_of(creator, place)(content) == b""


@pytest.mark.parametrize(("creator", "place"), KEPT)
def test_what_is_as_the_rule_knows_it_stays_as_it_is(creator: str, place: str) -> None:
    said = private.listing()["elements"][creator][place]
    number = struct.pack(f"<{BINARY[said['vr']]}", 1) if said["vr"] in BINARY else b"1 "
    content = next(each for each in (number, *SEEN) if Values.of(said["keep"]).fit(each, said["vr"]))
    assert mask_of(creator, place)(content) == content
    assert mask_of(creator, place)(b"") == b""


def test_numbers_beyond_what_was_seen_and_more_of_them_go() -> None:
    mask = mask_of("SIEMENS MR HEADER", "(0019,xx0A)")
    assert mask(struct.pack("<H", 40)) == struct.pack("<H", 40)
    assert mask(struct.pack("<H", 4000)) == mask(struct.pack("<2H", 40, 40)) == mask(b"\x28") == b""
    times = mask_of("SIEMENS MR SDI 02", "(0021,xx04)")
    assert times(b"0.2475") == b"0.2475"
    assert times(b"1\\2 ") == times(b"1e9 ") == times(b"nan ") == times(b"inf ") == times(b"1_0 ") == b""


def test_a_private_text_that_is_the_patients_name_goes_like_any_other() -> None:
    dataset = header()
    dataset.PatientName = "Kjq^Ottokar"
    block = dataset.private_block(0x0051, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0F, "LO", "T:KJQ")  # as the coil elements are called
    block.add_new(0x11, "LO", "p2")
    after, content = cleaned(dataset)
    assert b"KJQ" not in content
    assert after.private_block(0x0051, "SIEMENS MR HEADER")[0x11].value == "p2"


def test_creators_and_elements_that_nobody_has_read_go() -> None:
    dataset = header()
    dataset.private_block(0x0029, "SIEMENS MEDCOM HEADER2", create=True).add_new(0x60, "LO", SECRET)
    dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x77, "LO", SECRET)
    dataset.private_block(0x0011, "SOMEBODY", create=True).add_new(0x01, "US", 7)
    after, content = cleaned(dataset)
    assert not any(text in content for text in (SECRET.encode(), b"MEDCOM", b"SOMEBODY"))
    assert {f"{tag:08x}" for tag in after.keys() if tag.is_private} == {"00290010", "00291010"}  # noqa: SIM118


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("block", [0x10, 0x11, 0x42, 0xFF])
def test_a_block_is_found_by_its_creator_wherever_it_stands(block: int, implicit: bool) -> None:
    dataset = header()
    item = Dataset()
    item.add_new(0x00210000 | block, "LO", "SIEMENS MR SDI 02 ")
    item.add_new(0x00210004 | block << 8, "DS", "0.2475")
    item.add_new(0x00210071 | block << 8, "UT", SECRET)
    dataset.add_new(0x00210000 | block, "LO", "SIEMENS MR SDI 02")
    dataset.add_new(0x002100FE | block << 8, "SQ", Sequence([item]))
    after, content = cleaned(dataset, implicit=implicit)
    if not implicit:  # otherwise pydicom, which does not know the element, reads bytes
        (inside,) = after[0x002100FE | block << 8].value
        assert float(inside.private_block(0x0021, "SIEMENS MR SDI 02")[0x04].value) == 0.2475
    assert b"0.2475" in content
    assert SECRET.encode() not in content


@pytest.mark.parametrize("name", ["SIEMENS MR HEADER", "SIEMENS MR HEADER   ", " SIEMENS MR HEADER\0"])
@pytest.mark.parametrize("representation", ["LO", "UN"])
def test_a_creator_may_be_padded_or_have_lost_its_representation(name: str, representation: str) -> None:
    dataset = header()
    value = name if representation == "LO" else name.encode().ljust(20)
    dataset[0x00190010] = DataElement(0x00190010, representation, value)
    dataset.add_new(0x00191028, "UN", struct.pack("<d", 28.5))
    dataset.add_new(0x0019100F, "UN", SECRET.encode())
    after, content = cleaned(dataset)
    kept = after[0x00191028].value
    assert kept in (28.5, struct.pack("<d", 28.5))
    assert SECRET.encode() not in content


def test_two_blocks_of_one_creator_are_both_looked_at() -> None:
    dataset = header()
    for block, times in ((0x10, "1.5"), (0x11, SECRET)):
        dataset.add_new(0x00210000 | block, "LO", "SIEMENS MR SDI 02")
        dataset.add_new(0x00210004 | block << 8, "DS" if block == 0x10 else "LO", times)
        dataset.add_new(0x00210077 | block << 8, "LO", SECRET)
    after, content = cleaned(dataset)
    assert float(after[0x00211004].value) == 1.5
    assert SECRET.encode() not in content


def test_names_dates_and_uids_inside_a_known_sequence_are_treated_as_anywhere() -> None:
    dataset = header()
    item = Dataset()
    item.PatientName, item.AcquisitionDate, item.ImagePositionPatient = SECRET, "20240131", [1, 2, 3]
    item.add_new(0x00650010, "LO", "Image Private Header")
    item.add_new(0x0065100F, "PN", SECRET)
    item.add_new(0x00651005, "UI", "1.2.3.4.5.6.789")
    item.add_new(0x0065100D, "DA", "20240131")
    block = dataset.private_block(0x0065, "Image Private Header", create=True)
    block.add_new(0x51, "SQ", Sequence([item]))
    after, content = cleaned(dataset)
    (inside,) = after.private_block(0x0065, "Image Private Header")[0x51].value
    assert list(inside.ImagePositionPatient) == [1, 2, 3]
    assert all(text not in content for text in (SECRET.encode(), b"20240131", b"1.2.3.4.5.6.789"))


def creators_and_elements(dataset: Dataset) -> Iterator[tuple[str, int, int]]:
    """Yield creator, group and low byte of the private elements at any depth that are not empty."""
    for element in dataset:
        if element.VR == "SQ":
            yield from (found for item in element.value for found in creators_and_elements(item))
        creator = dataset.get((element.tag.group, element.tag.element >> 8))
        if element.tag.is_private and creator is not None and str(element.value).strip():
            yield str(creator.value).strip(), element.tag.group, element.tag.element & 0xFF


def test_every_element_that_stays_was_read_in_a_real_series_or_is_marked(real_data: Path) -> None:
    firsts = [sorted(folder.iterdir())[0] for folder in sorted(real_data.glob("*/dicom"))]
    seen = {found for path in firsts for found in creators_and_elements(dcmread(path))}
    rules = private.listing()["elements"]
    unseen = {(creator, place) for creator, place in ELEMENTS if not rules[creator][place].get("seen", True)}
    known = {(creator, place) for creator, place in ELEMENTS if (creator, int(place[1:5], 16), int(place[8:10], 16)) in seen}
    assert set(ELEMENTS) - known == unseen


@pytest.mark.parametrize(
    ("value", "stays"),
    [
        ("T:HEA;HEP", True),
        ("C:HE1-4;NE1,2", True),
        ("AC", True),
        ("DOE;JAN", False),
        ("MAX;LI23-07-54", False),
        ("HE23-07-54", False),
    ],
)
def test_names_of_coil_elements_stay_and_surnames_go(value: str, stays: bool) -> None:
    mask = private.rule("SIEMENS MR HEADER", 0x0051, 0x0F).mask
    assert mask is not None
    assert mask(value.encode()) == (value.encode() if stays else b"")
