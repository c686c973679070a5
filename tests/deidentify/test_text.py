"""What stays of free text: known words of protocols' names, and nothing that repeats what went."""

from __future__ import annotations

import images
import pytest

from rtbids.deidentify import text, words
from rtbids.deidentify.charsets import decoded, encoded, known_sets
from rtbids.deidentify.notes import Element


def kept(name: str, *own: str) -> str:
    return words.words_kept(name.encode(), b"", frozenset(own)).decode()


@pytest.mark.parametrize(
    "name",
    [
        "func_task-faces_run-01",
        "task-fingertapping_bold",
        "task-fingerfootlips_run-1",
        "task-verbGeneration",
        "task-lineBisection",
        "task-oneback",
        "task-nback_run-2",
        "task-sternberg",
        "task-stopsignal",
        "task-naturalistic",
        "task-houses",
        "task-breathhold",
        "task-upregulation",
        "func_ses-01_task-faceMatching_run-1",
        "ep2d_bold_rest",
        "ep2d_bold_mb4_p2_s2_2mm",
        "BOLD MOSAIC 64 resting",
        "t1_mprage_sag_p2_iso",
        "cmrr_mbep2d_bold".replace("mbep2d", "mb_ep2d"),
        "DTI_AP",
        "gre_field_mapping".replace("mapping", "map"),
        "rsfMRI",
        "3D T1w 1.0x1.0x1.0 mm",
        "TR2000 TE30",
        "nf run 3",
    ],
)
def test_names_of_protocols_stay(name: str) -> None:
    assert kept(name) == name


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("ep2d_bold_JANE_DOE", "ep2d_bold"),
        ("Doe, Jane: rest", "rest"),
        ("rest 19330405", "rest"),
        ("rest 1933-04-05", "rest"),
        ("rest_23_07_54", "rest"),
        ("rest b23.07.54", "rest"),
        ("rest b1954", "rest"),
        ("dwi b1000 TR2000", "dwi b1000 TR2000"),
        ("task-rest_acq-23Jul54", "task-rest"),
        ("rest_P1234", "rest"),
        ("run 030 123 456", "run"),
        ("task-rest_acq-DrMueller", "task-rest"),
        ("rec-Patient4711_bold", "bold"),
        ("task-born23Jul54", ""),
        ("tfMRI_n-back_mbep2d", "tfMRI_n-back_mbep2d"),
        ("sub-4711_task-rest", "task-rest"),
        ("ses-20190203_task-rest", "task-rest"),
        ("task-rest19330405", ""),
        ("J D rest", "rest"),
        ("Klinikum Ostertal", ""),
        ("x" * 5000, ""),
        ("", ""),
    ],
)
def test_what_is_none_of_their_words_goes(name: str, left: str) -> None:
    assert kept(name) == left


def test_words_of_a_site_stay_where_they_are_allowed() -> None:
    assert kept("rest_zauberwald") == "rest"
    assert kept("rest_Zauberwald", "zauberwald") == "rest_Zauberwald"


def test_the_words_are_lower_case_and_no_number() -> None:
    assert all(word == word.casefold() and not word.isdigit() for word in words.vocabulary())


def element(vr: str, value: str, tag: int = 0x00080050, charset: bytes = b"") -> Element:
    return Element(tag, vr, encoded(value, charset), charset)


def left(kept: str, *gone: Element, charset: bytes = b"") -> str | None:
    """Return what is left of a text; None where nothing is cut."""
    given = encoded(kept, charset), charset
    new = text.cleaned({given}, gone).get(given)
    return None if new is None else decoded(new, charset)


@pytest.mark.parametrize(
    "repeated",
    ["Doe", "DOE", "doe_1", "x Jane", "JANE^DOE", "janeDoe"[:4] + " " + "Doe", "Jané".replace("é", "e"), "(Jane)"],
)
def test_parts_of_a_name_are_cut_in_any_case(repeated: str) -> None:
    new = left(f"seq {repeated} 2D", element("PN", "Doe^Jane"))
    assert new is not None
    assert "doe" not in new.lower()
    assert "jane" not in new.lower()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Li^Wu", "Li rest"),
        ("Li^Wu", "LiWu"),
        ("Doe^Jane", "DoeJane"),
        ("Doe^Jane", "ep_JDoe"),
        ("Kim^Bo", "kim1954"),
        ("Meyer^Al", "ep2dmeyer"),
        ("Meyer^Al", "meyer1954"),
        ("Quillbert Ann", "AnnQ"),
        ("Müller^A", "ep_Mueller"),
        ("Müller^A", "Mu\u0308ller"),
        ("Mueller^A", "Müller"),
        ("Weiß^A", "WEISS"),
        ("Ng^Bo=王小明", "小明"),
        ("Hong^Bo=홍^길동", "홍"),
    ],
)
def test_a_name_is_found_as_people_write_it(name: str, text: str) -> None:
    utf8 = b"ISO_IR 192"
    new = left(f"seq {text}", element("PN", name, 0x00100010, utf8), charset=utf8)
    assert new in ("seq", "seq  rest")


@pytest.mark.parametrize(("name", "text"), [("Bold^Ep", "ep2d bold rest"), ("Prisma^Fit", "Prisma fit"), ("Head^Rest", "rest")])
def test_a_name_that_is_a_word_of_the_trade_takes_no_text_away(name: str, text: str) -> None:
    assert left(text, element("PN", name)) is None


@pytest.mark.parametrize(
    ("vr", "tag", "value", "text"),
    [
        ("LO", 0x00100020, "0001234567", "1234567"),
        ("LO", 0x00100020, "KH1234567", "1234567"),
        ("LO", 0x00100020, "PAT-2019-0042", "2019-0042"),
        ("SH", 0x00102154, "+49 170 1234567", "01701234567"),
        ("LO", 0x00101040, "Hauptstr. 5, Quillberg", "Quillberg"),
        ("LO", 0x00080080, "Klinikum Quillberg", "quillberg"),
        ("DA", 0x00100030, "19540723", "23.07.54"),
        ("DA", 0x00100030, "19540723", "23. Jul. 54"),
        ("DA", 0x00100030, "19540723", "1954Jul23"),
    ],
)
def test_identifiers_places_and_dates_are_found_as_people_write_them(vr: str, tag: int, value: str, text: str) -> None:
    new = left(f"seq {text}", element(vr, value, tag))
    assert new is not None
    assert not any(part in new for part in (text.split(maxsplit=1)[0], "54", "uillberg"))


@pytest.mark.parametrize(
    ("number", "stays"),
    [
        (b"19540723\0", False),
        (b"1\\19540723", False),
        (b"19540723.0", False),
        (b"+19540723", False),
        (b"1954-07-23", False),
        (b"4711234", False),
        (b"04711234 ", False),
        (b"2000", True),
        (b"-1.5e-3\\+2", True),
        (b"123.456", True),
    ],
)
def test_a_number_that_is_a_date_or_an_identifier_goes(number: bytes, stays: bool) -> None:
    gone = element("DA", "19540723", 0x00100030), element("LO", "4711234", 0x00100020)
    assert text.cleaned({(number, b"#")}, gone) == ({} if stays else {(number, b"#"): b""})


@pytest.mark.parametrize("word", ["doesnt", "Janeway1"[1:], "overdoes"])
def test_short_parts_of_a_name_are_not_cut_out_of_longer_words(word: str) -> None:
    assert left(f"seq {word}", element("PN", "Doe^J")) is None


@pytest.mark.parametrize(
    "spelling",
    [
        "19330405",
        "1933-04-05",
        "1933.04.05",
        "05.04.1933",
        "5.4.1933",
        "04/05/1933",
        "4/5/1933",
        "5 Apr 1933",
        "Apr 5, 1933",
        "330405",
    ],
)
def test_dates_are_cut_in_the_spellings_of_people(spelling: str) -> None:
    assert left(f"seq {spelling}", element("DA", "19330405", 0x00100030)) == "seq"


def test_uids_in_a_text_are_cut_but_for_those_of_the_standard() -> None:
    assert left("of 1.3.12.2.1107.5.2.32.35131 2D") == "of  2D"
    assert left("of 1.2.840.10008.5.1.4.1.1.4") is None


@pytest.mark.parametrize(
    "day", ["20190203", "2019-02-03", "3.2.2019", "02/03/2019", "3 Feb 2019", "Feb 3, 2019", "03-Feb-2019"]
)
def test_a_date_that_stands_nowhere_else_is_cut_too(day: str) -> None:
    assert left(f"seq {day}") == "seq"


@pytest.mark.parametrize("number", ["20191303", "120190203", "64.64.36", "2.0.1"])
def test_numbers_that_are_no_dates_stay(number: str) -> None:
    assert left(f"seq {number}") is None


@pytest.mark.parametrize("repeated", ["HX7739164Q", "hx_7739164_q", "HX.7739164.Q", "HX 7739164 Q"])
def test_an_identifier_is_found_with_other_separators_or_none(repeated: str) -> None:
    assert left(f"seq {repeated}", element("LO", "HX-7739164-Q", 0x00100020)) == "seq"


def test_what_lies_behind_a_nul_goes() -> None:
    assert text.cleaned({(b"SIEMENS\0Jane Doe", b"!")}, ()) == {(b"SIEMENS\0Jane Doe", b"!"): b"SIEMENS"}
    assert text.cleaned({(b"30\0Jane", b"#")}, ()) == {(b"30\0Jane", b"#"): b""}
    assert text.cleaned({(b"MR\0", b"!"), (b"30\0", b"#")}, ()) == {}


def test_a_long_text_that_repeats_something_is_emptied() -> None:
    assert (
        left("she came with her mother and said that her name was Doe, of all the names there are", element("PN", "Doe^Jane"))
        == ""
    )


def test_short_numbers_are_nobodys() -> None:
    assert left("2D 12 slices", element("SH", "12", 0x00200010)) is None


@pytest.mark.parametrize(
    ("charset", "name", "repeated"),
    [
        ("ISO_IR 100", "Müller^Jürgen", "bold MÜLLER"),
        ("ISO_IR 192", "王^小东", "bold 小东"),
        ("GB18030", "王欧^小东", "bold 王欧"),
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎", "bold 山田"),
        ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞", "bold 吉洞"),
        ("ISO_IR 144", "Иванов^Пётр", "bold иванов"),
        ("ISO_IR 166", "สมชาย^ใจดี", "bold สมชาย"),
    ],
)
def test_names_are_found_in_every_script(charset: str, name: str, repeated: str) -> None:
    given = images.header(SpecificCharacterSet=charset.split("\\"), PatientName=name, SequenceName=repeated)
    whole = images.content(given)
    after = images.after(whole)
    assert after.SequenceName == "bold"
    assert after.SpecificCharacterSet == given.SpecificCharacterSet


def test_a_name_in_a_term_of_technique_goes_and_the_term_beside_it_stays() -> None:
    given = images.header(ImageType=["ORIGINAL", "PRIMARY", "M", "QUILLON"], PatientName="Quillon^Jane")
    assert list(images.after(given).ImageType) == ["ORIGINAL", "PRIMARY", "M"]


@pytest.mark.parametrize("name", ["Phantom^Mosaic", "Test^Original", "Brain"])
def test_a_name_that_is_a_word_of_the_trade_takes_no_term_away(name: str) -> None:
    after = images.after(images.header(PatientName=name, BodyPartExamined="BRAIN", ImageType=["ORIGINAL", "PRIMARY", "MOSAIC"]))
    assert after.BodyPartExamined == "BRAIN"
    assert list(after.ImageType) == ["ORIGINAL", "PRIMARY", "MOSAIC"]


@pytest.mark.parametrize("vr", ["DS", "IS"])
def test_numbers_that_are_names_go_and_numbers_stay(vr: str) -> None:
    tag, keyword = (0x00180087, "MagneticFieldStrength") if vr == "DS" else (0x00180091, "EchoTrainLength")
    whole = images.content(images.header(**{keyword: "27"}))
    assert images.after(whole)[tag].value == 27
    element = tag.to_bytes(4, "big")
    head = bytes([element[1], element[0], element[3], element[2]]) + vr.encode() + b"\x02\0"
    assert (head + b"27") in whole
    assert images.after(whole.replace(head + b"27", head + b"JD"))[tag].value in (None, "")


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b"ISO_IR 100", b"ISO_IR 100"),
        (b"\\ISO 2022 IR 87", b"\\ISO 2022 IR 87"),
        (b"", b""),
        (b"DOE", b""),
        (b"ISO_IR 100\\DOE", b"ISO_IR 100"),
    ],
)
def test_a_character_set_that_the_standard_does_not_know_goes(value: bytes, left: bytes) -> None:
    assert known_sets(value) == left


_TECHNICAL = {"Manufacturer": "SIEMENS", "ManufacturerModelName": "TrioTim", "SoftwareVersions": "syngo MR B17"}
_CODED = {"ScanOptions": "PFP", "BodyPartExamined": "HEAD", "SpectrallySelectedSuppression": "FAT"}


@pytest.mark.parametrize(
    ("keyword", "value", "repeated"),
    [
        ("InstitutionName", "Quillberg", "Quillberg"),
        ("InstitutionAddress", "Quillberg", "Quillberg"),
        ("InstitutionalDepartmentName", "Quillberg", "Quillberg"),
        ("StationName", "QXSTN42", "QXSTN42"),
        ("PerformedStationName", "QXSTN42", "QXSTN42"),
        ("PerformedLocation", "Quillberg", "Quillberg"),
        ("DeviceSerialNumber", "QX77123", "77123"),
        ("StudyID", "QX77123", "QX77123"),
        ("AdmissionID", "QX77123", "77123"),
        ("IssuerOfPatientID", "Quillberg", "Quillberg"),
        ("RequestingService", "Quillberg", "Quillberg"),
        ("MilitaryRank", "Quillmajor", "Quillmajor"),
        ("EthnicGroup", "Quillian", "Quillian"),
        ("CountryOfResidence", "Quilland", "Quilland"),
        ("RegionOfResidence", "Quillregion", "Quillregion"),
        ("PatientAddress", "Hauptstr. 5, Quillberg", "Quillberg"),
        *(
            ("PatientBirthDate", "19410317", day)
            for day in ("19410317", "1941-03-17", "17.03.1941", "17MAR1941", "410317", "1941_03_17", "17Mar41")
        ),
        ("StudyDate", "20140310", "2014_03_10"),
        ("StudyDate", "20140310", "10Mar14"),
        ("PatientID", "QX-0048151623", "48151623"),
        ("PatientID", "QXA0099887", "99887"),
        ("PatientName", "Xi^Li", "XI"),
        *(
            (description, "bold Quillwort", "QUILLWORT")
            for description in (
                "StudyDescription",
                "StudyComments",
                "PatientComments",
                "Occupation",
                "RequestedProcedureDescription",
                "ProtocolName",
            )
        ),
    ],
)
def test_what_went_is_cut_out_of_models_versions_and_codes_too(keyword: str, value: str, repeated: str) -> None:
    code = "".join(one if one.isalnum() else "_" for one in repeated.upper())
    beside = {word: f"{term} {repeated}" for word, term in _TECHNICAL.items()}
    beside |= {word: [term, code] for word, term in _CODED.items()} | {"ReceiveCoilName": f"BC {repeated}"}
    after = images.after(images.header(**{keyword: value}, **beside))
    left = {word: after[word].value for word in beside}
    assert left == {**_TECHNICAL, **_CODED, "ReceiveCoilName": "BC"}


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StationName", "Galan 3T"),
        ("StationName", "TRIOTIM"),
        ("InstitutionName", "Siemens Healthineers"),
        ("PatientBirthDate", "19310318"),
        ("PatientName", "Dv^Lx"),
        ("PatientName", "Xa^Li"),
        ("StudyDescription", "HEAD FREQUENCY TRACEW syngo"),
    ],
)
def test_what_makers_call_a_scanner_or_a_code_stays_though_something_else_is_called_so(keyword: str, value: str) -> None:
    stays = {
        "Manufacturer": "Siemens Healthineers",
        "ManufacturerModelName": "Galan 3T" if "3T" in value else "TrioTim",
        "SoftwareVersions": ["syngo MR XA30", "MR Software release:DV26.0_R03_1831.b", "V6.0SP2000*"],
        "ImageType": ["ORIGINAL", "PRIMARY", "TRACEW", "FREQUENCY"],
        "BodyPartExamined": "HEAD",
    }
    after = images.after(images.header(**{keyword: value}, **stays))
    assert {word: after[word].value for word in stays} == stays


@pytest.mark.parametrize(
    "maker", ["SIEMENS", "GE MEDICAL SYSTEMS", "Philips Medical Systems", "CANON_MEC", "TOSHIBA_MEC", "UIH"]
)
def test_of_a_manufacturer_known_words_stay(maker: str) -> None:
    assert images.after(images.header(Manufacturer=f"{maker} Weyland")).Manufacturer == maker


def test_a_person_called_like_a_maker_is_cut_out_all_the_same() -> None:
    after = images.after(
        images.header(PatientName="Bruker^Jane", ManufacturerModelName="Vida Bruker", ImageType=["M", "BRUKER"])
    )
    assert not after.ManufacturerModelName
    assert after.ImageType == "M"


@pytest.mark.parametrize(
    ("keyword", "identifier", "number", "stays"),
    [
        ("AcquisitionNumber", "QXA0099887", 99887, False),
        ("EchoTime", "99887", 99887, False),
        ("EchoTime", "99887", 99.887, True),
        ("InstanceNumber", "99887", 99887, True),  # there are series of more images
        ("InstanceNumber", "199887", 199887, False),
        ("AcquisitionNumber", "9988", 9988, True),
    ],
)
def test_the_digits_of_an_identifier_are_no_number(keyword: str, identifier: str, number: float, stays: bool) -> None:
    after = images.after(images.header(PatientID=identifier, **{keyword: number}))
    assert after[keyword].value == (number if stays else None)
