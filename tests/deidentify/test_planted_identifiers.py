"""Identifiers planted all over real and made files, and searched for in every byte that comes out.

The plants were made without sight of the rules (`planted.py`, `odd_files.py`); each test first finds them all in what goes in.
"""

from __future__ import annotations

import logging
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from functools import cache
from io import BytesIO
from pathlib import Path

import csa_planting
import numpy as np
import odd_files
import pytest
from identity import PATIENT_ID, PERSON, Ledger
from planted import Planted, element, once, originals, plant, private, sequence
from pydicom import dcmread
from pydicom._private_dict import private_dictionaries
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from random_files import Dice
from raw_files import PIXELS, Element, RawFile, encode, having, made, merged, read
from search import missing, survivors

from rtbids.deidentify.clean import Clean
from rtbids.deidentify.engine import Deidentifier
from rtbids.deidentify.mapping import Key, Mapping
from rtbids.deidentify.profile import Options, Profile
from rtbids.errors import BadData

ROOT = Path(os.environ.get("RTBIDS_TEST_DATA", Path(__file__).resolve().parent.parent.parent / "../shared/data"))
KEY, OTHER_KEY = Key(bytes(range(32))), Key(bytes(range(1, 33)))
SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
EVERY = {name: (content, refusable) for name, content, refusable in odd_files.every_case()}

# Oddities of which something still gets through, and what.
SURVIVES: dict[str, str] = {}

# What the standard keeps with these options, and what has to come through for a volume to be built and sent.
KEPT = (
    "SOPClassUID",
    "Modality",
    "Manufacturer",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "RepetitionTime",
    "EchoTime",
    "InstanceNumber",
    "NumberOfFrames",
    "RescaleSlope",
    "RescaleIntercept",
    "InPlanePhaseEncodingDirection",
    "AcquisitionTime",
)


def images() -> Iterator[Path]:
    """Yield the first image of every series, and one in each transfer syntax."""
    for folder in sorted(ROOT.glob("*/dicom")):
        found = sorted(path for path in folder.iterdir() if path.is_file())
        yield from found if folder.parent.name == "transfer_syntaxes" else found[:1]


def labels() -> list[object]:
    """Return the images to plant in: those of a transfer syntax that another series has too are slow."""
    quick = ("2.dcm", "3.dcm", "9.dcm")
    found = list(images())
    if not found:
        return [pytest.param(None, marks=pytest.mark.skip(reason="real series not found: set RTBIDS_TEST_DATA"))]
    slow = [path.parent.parent.name == "transfer_syntaxes" and path.name not in quick for path in found]
    names = [f"{path.parent.parent.name}-{path.name[:24]}" for path in found]
    marked = zip(found, names, slow, strict=True)
    return [pytest.param(path, id=name, marks=[pytest.mark.slow] if late else []) for path, name, late in marked]


def cleaned(content: bytes, options: Options | None = None, key: Key = KEY) -> Clean:
    return Deidentifier(Profile(options or Options()), Mapping(key)).clean(content)


def told(clean: Clean) -> bytes:
    """Return what is said of a file besides its bytes: names, identifiers, and what was done to which element."""
    said = (clean.name, clean.patient, clean.study, clean.series, clean.instance, *clean.done, *map(str, clean.done.values()))
    return "\n".join(said).encode("utf-8")


def left_over(planted: Planted, clean: Clean) -> dict[str, list[str | bytes]]:
    return survivors(planted.ledger.sought, clean.content, told(clean))


@cache
def planted_in(path: Path) -> Planted:
    return plant(read(path.read_bytes()))


@cache
def cleaned_from(path: Path) -> Clean:
    return cleaned(planted_in(path).content)


def dataset(content: bytes) -> Dataset:
    return dcmread(BytesIO(content))


@pytest.mark.parametrize("path", labels())
def test_nothing_planted_in_a_real_image_survives(path: Path) -> None:
    planted = planted_in(path)
    assert missing(planted.ledger.sought, planted.content) == []
    assert len(planted.ledger.sought) > 1500
    assert left_over(planted, cleaned_from(path)) == {}


@pytest.mark.parametrize("path", labels())
def test_what_an_image_is_made_of_is_kept(path: Path) -> None:
    before, after = dataset(planted_in(path).content), dataset(cleaned_from(path).content)
    lost = [keyword for keyword in KEPT if before.get(keyword) not in (None, "") and after.get(keyword) != before.get(keyword)]
    assert lost == []
    assert after.PixelData == before.PixelData
    assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID != before.SOPInstanceUID
    assert {after.StudyInstanceUID, after.SeriesInstanceUID}.isdisjoint({before.StudyInstanceUID, before.SeriesInstanceUID})
    assert after.PatientIdentityRemoved == "YES"
    assert after.DeidentificationMethod
    assert "113100" in {code.CodeValue for code in after.DeidentificationMethodCodeSequence}
    assert after.LongitudinalTemporalInformationModified == "MODIFIED"


@pytest.mark.parametrize("path", labels())
def test_positions_of_frames_and_the_geometry_in_csa_headers_are_kept(path: Path) -> None:
    before, after = dataset(planted_in(path).content), dataset(cleaned_from(path).content)
    assert frame_positions(after) == frame_positions(before)
    assert csa_geometry(after) == csa_geometry(before)


@pytest.mark.parametrize("path", labels())
def test_what_identifies_a_real_image_as_it_is_does_not_survive(path: Path) -> None:
    image = dataset(path.read_bytes())
    sought = originals(read(path.read_bytes()))
    for keyword in ("PatientID", "PatientBirthDate", "AccessionNumber", "DeviceSerialNumber", "StudyDate", "InstitutionName"):
        value = str(image.get(keyword) or "")
        if len(value) > 5:
            sought[keyword] = (value,)
    assert missing(sought, path.read_bytes()) == []
    assert survivors(sought, cleaned(path.read_bytes()).content) == {}


def later_images() -> list[object]:
    """Return a middle image and the last one of every series."""
    found = []
    for folder in sorted(ROOT.glob("*/dicom")):
        files = sorted(path for path in folder.iterdir() if path.is_file())
        places = {len(files) // 2, len(files) - 1} - {0} if folder.parent.name != "transfer_syntaxes" else set()
        found += [(f"{folder.parent.name}-{place}", files[place]) for place in sorted(places)]
    return [pytest.param(path, id=name, marks=pytest.mark.slow) for name, path in found]


@pytest.mark.parametrize("path", later_images() or labels())
def test_nothing_planted_in_later_images_of_a_series_survives(path: Path) -> None:
    planted = plant(read(path.read_bytes()))
    assert left_over(planted, cleaned(planted.content)) == {}


# Where a comment may stand in a compressed frame: behind its start (JPEG, JPEG-LS), or behind its size (JPEG 2000).
COMMENTS = {"5.dcm": b"\xff\xfe", "7.dcm": b"\xff\xfe", "9.dcm": b"\xff\x64"}


@pytest.mark.parametrize("name", COMMENTS)
@pytest.mark.parametrize("place", ["within", "behind"])
def test_a_comment_in_a_compressed_frame_does_not_survive_and_the_image_does(name: str, place: str, real_data: Path) -> None:
    path = real_data / "transfer_syntaxes" / "dicom" / name
    ledger = Ledger()
    file = read(path.read_bytes())
    pixels = next(e for e in file.dataset if e.tag == PIXELS)
    fragments = commented(pixels.bytes, COMMENTS[name], ledger.word("a comment").encode(), place)
    content = having(file, Element(PIXELS, pixels.vr, fragments, True)).content()
    assert missing(ledger.sought, content) == []
    result = attempted(content)
    if not isinstance(result, BadData):
        assert survivors(ledger.sought, result.content) == {}
        assert np.array_equal(dataset(result.content).pixel_array, dataset(path.read_bytes()).pixel_array)


def commented(fragments: bytes, marker: bytes, word: bytes, place: str) -> bytes:
    """Return the fragments of one frame with a comment in the first one, or with text behind the end of the last."""
    table = 8 + int.from_bytes(fragments[4:8], "little")
    frame = fragments[table + 8 :]
    if place == "behind":
        frame += word
    else:
        start = 2 if marker == b"\xff\xfe" else 4 + int.from_bytes(frame[4:6], "big")
        code = b"\0\1" if marker == b"\xff\x64" else b""
        frame = frame[:start] + marker + struct.pack(">H", len(code + word) + 2) + code + word + frame[start:]
    frame += bytes(len(frame) % 2)
    return fragments[:table] + struct.pack("<HHI", 0xFFFE, 0xE000, len(frame)) + frame


def frame_positions(image: Dataset) -> list[tuple[object, ...]]:
    frames = image.get("PerFrameFunctionalGroupsSequence", [])
    return [
        (
            frame.PlanePositionSequence[0].ImagePositionPatient,
            frame.FrameContentSequence[0].get("InStackPositionNumber"),
            frame.FrameContentSequence[0].get("TemporalPositionIndex"),
        )
        for frame in frames[1:-1]
        if "PlanePositionSequence" in frame
    ]


def csa_geometry(image: Dataset) -> dict[str, list[bytes]]:
    """Return the values of the CSA image header that make volumes of mosaics, to their first NUL."""
    for block in range(0x10, 0x100):
        if image.get((0x0029, block)) is not None and str(image[0x0029, block].value) == "SIEMENS CSA HEADER":
            content = image.get((0x0029, block << 8 | 0x10))
            if content is not None and bytes(content.value).startswith(b"SV10"):
                fields = (tag for tag in csa_planting.tags(bytes(content.value)) if tag.word in csa_planting.GEOMETRY)
                return {tag.word: [value.split(b"\0")[0] for _, value in tag.items if value.strip(b"\0")] for tag in fields}
    return {}


def test_a_log_of_everything_tells_nothing_of_the_person(caplog: pytest.LogCaptureFixture) -> None:
    planted = plant(made())
    with caplog.at_level(logging.DEBUG):
        cleaned(planted.content)
    assert survivors(planted.ledger.sought, caplog.text.encode("utf-8")) == {}


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_nothing_planted_in_a_file_made_from_nothing_survives(syntax: str) -> None:
    planted = plant(made(syntax=syntax))
    assert missing(planted.ledger.sought, planted.content) == []
    assert left_over(planted, cleaned(planted.content)) == {}


STRICTER = {
    "dates removed": Options(dates="removed"),
    "descriptors removed": Options(descriptors="removed"),
    "private removed": Options(private=False),
    "all removed": Options(dates="removed", descriptors="removed", private=False),
}


@pytest.mark.parametrize("options", STRICTER.values(), ids=STRICTER)
def test_nothing_planted_survives_where_less_is_kept(options: Options) -> None:
    planted = plant(made())
    assert left_over(planted, cleaned(planted.content, options)) == {}


NAMES = ("family name", "given name", "middle name", "referring physician", "operator", "patient id", "other id", "birth date")
LOOSER = {
    "device kept": (Options(device=True), ()),
    "patient characteristics kept": (Options(patient=True), ()),
    "institution kept": (Options(institution=True), ()),
    "UIDs kept": (Options(uids=True), ()),
    "dates kept": (Options(dates="kept"), ("birth date",)),
}


@pytest.mark.parametrize(("options", "kept"), LOOSER.values(), ids=LOOSER)
def test_who_it_is_does_not_survive_where_more_is_kept(options: Options, kept: tuple[str, ...]) -> None:
    planted = plant(made())
    sought = {name: PERSON[name] for name in NAMES if name not in kept}
    sought |= {
        place: needles for place, needles in planted.ledger.sought.items() if "PatientName" in place or "PatientID" in place
    }
    clean = cleaned(planted.content, options)
    assert survivors(sought, clean.content, told(clean)) == {}


@pytest.mark.parametrize("options", [Options(), Options(patient=True)], ids=["removed", "kept"])
def test_an_age_above_89_is_not_told(options: Options) -> None:
    file = having(made(), element(0x00101010, "AS", "097Y"))
    assert dataset(cleaned(file.content(), options).content).get("PatientAge", "") in {"", "089Y", "090Y"}


def attempted(content: bytes) -> Clean | BadData:
    """Return the file cleaned, or the reason why it is refused."""
    try:
        return cleaned(content)
    except BadData as why:
        return why


def cases() -> list[object]:
    return [pytest.param(case, marks=pytest.mark.xfail(reason=SURVIVES[case])) if case in SURVIVES else case for case in EVERY]


@pytest.mark.parametrize("case", cases())
def test_nothing_survives_in_a_file_with_an_oddity(case: str) -> None:
    planted, refusable = EVERY[case]
    assert missing(planted.ledger.sought, planted.content) == []
    result = attempted(planted.content)
    if isinstance(result, BadData):
        assert refusable, result
        assert survivors(planted.ledger.sought, str(result).encode("utf-8")) == {}
    else:
        assert left_over(planted, result) == {}
        assert dataset(result.content).SOPClassUID == dataset(made().content()).SOPClassUID


OTHERS = {
    "Enhanced MR Color": "1.2.840.10008.5.1.4.1.1.4.3",
    "MR Spectroscopy": "1.2.840.10008.5.1.4.1.1.4.2",
    "Raw Data": "1.2.840.10008.5.1.4.1.1.66",
    "Segmentation": "1.2.840.10008.5.1.4.1.1.66.4",
    "Basic Text SR": "1.2.840.10008.5.1.4.1.1.88.11",
    "Presentation State": "1.2.840.10008.5.1.4.1.1.11.1",
    "General ECG": "1.2.840.10008.5.1.4.1.1.9.1.2",
    "Key Objects": "1.2.840.10008.5.1.4.1.1.88.59",
    "CSA Non-Image": "1.3.12.2.1107.5.9.1",
    "unknown": "1.2.3.4.5.6",
}


@pytest.mark.parametrize("lead", [b"", b"DICM", bytes(128)], ids=["bare", "mark alone", "preamble alone"])
@pytest.mark.parametrize("syntax", SYNTAXES[:3], ids=lambda syntax: syntax.name)
def test_a_data_set_without_meta_information_is_refused_or_clean(syntax: str, lead: bytes) -> None:
    planted = plant(made(syntax=syntax))
    file = read(planted.content)
    sought = {place: needles for place, needles in planted.ledger.sought.items() if not place.startswith(("meta", "preamble"))}
    content = lead + b"".join(encode(e, file.coding) for e in file.dataset)
    assert missing(sought, content) == []
    result = attempted(content)
    if isinstance(result, BadData):
        assert survivors(sought, str(result).encode("utf-8")) == {}
    else:
        assert survivors(sought, result.content, told(result)) == {}


@pytest.mark.parametrize("sop_class", OTHERS.values(), ids=OTHERS)
def test_nothing_planted_in_another_kind_of_object_survives(sop_class: str) -> None:
    """What is no MR image is cleaned as well, or refused."""
    planted = plant(made(sop_class))
    result = attempted(planted.content)
    if isinstance(result, BadData):
        assert survivors(planted.ledger.sought, str(result).encode("utf-8")) == {}
    else:
        assert left_over(planted, result) == {}


# Numbers in private elements that building volumes and diffusion tables needs: kept by their creator, whatever they are.
PHYSICS = {
    "GEMS_ACQU_01": (0xBB, 0xBC, 0xBD, 0xD9, 0xDF, 0xE0),  # gradient directions, written in several places over the releases
    "GEMS_PARM_01": (0x83,),  # the factors of parallel imaging
    "SIEMENS MR HEADER": (0x0B, 0x27, 0x28, 0x29),  # slice timing, b matrix, bandwidth a pixel along phase encoding
}


@pytest.mark.parametrize(
    "kinds", [("LO", "SH", "ST", "LT", "UT", "PN", "CS"), ("DA", "DT", "UI", "OB", "UN"), ("DS", "IS", "SL", "UL", "FD")]
)
def test_private_elements_that_pydicom_knows_pass_on_nothing_but_physics(kinds: tuple[str, ...]) -> None:
    """All creators of pydicom's private dictionary, some 450, each element with a value of its own."""
    ledger = Ledger()
    blocks: dict[tuple[str, int], list[tuple[int, str, str | bytes]]] = {}
    for creator, entries in private_dictionaries.items():
        for pattern, (vr, _, name, *_) in entries.items():
            group, low = int(pattern[:4].replace("x", "0"), 16), pattern[-2:]
            if vr[:2] not in kinds or "x" in low or group % 2 == 0 or group < 9 or int(low, 16) in PHYSICS.get(creator, ()):
                continue
            value = once(ledger, f"{creator} {pattern} {name}", vr[:2])
            if value is not None:
                blocks.setdefault((creator, group), []).append((int(low, 16), vr[:2], value))
    items = [tuple(private(creator, group, *values)) for (creator, group), values in blocks.items()]
    file = having(made(), sequence(0x00189042, *items))
    assert len(ledger.sought) > 900
    assert missing(ledger.sought, file.content()) == []
    assert survivors(ledger.sought, cleaned(file.content()).content) == {}


@pytest.mark.parametrize("seed", [*range(1, 9), *(pytest.param(n, marks=pytest.mark.slow) for n in range(9, 120))])
def test_nothing_survives_in_a_file_of_random_elements(seed: int) -> None:
    planted = Dice(seed).planted()
    assert missing(planted.ledger.sought, planted.content) == []
    assert left_over(planted, cleaned(planted.content)) == {}


REFUSED = {
    "burned in": having(made(), element(0x00280301, "CS", "YES")),
    "secondary capture": made("1.2.840.10008.5.1.4.1.1.7"),
    "multi-frame secondary capture": made("1.2.840.10008.5.1.4.1.1.7.4"),
    "encapsulated PDF": made("1.2.840.10008.5.1.4.1.1.104.1"),
    "a screen saved": having(made(), element(0x00080008, "CS", "DERIVED\\SECONDARY\\SCREEN SAVE")),
}


@pytest.mark.parametrize("file", REFUSED.values(), ids=REFUSED)
def test_a_refusal_does_not_tell_what_the_file_holds(file: RawFile) -> None:
    planted = plant(file)
    with pytest.raises(BadData) as refused:
        cleaned(planted.content)
    told_of = f"{refused.value} {refused.value!r} {refused.value.__cause__!r} {refused.value.__context__!r}"
    assert survivors(planted.ledger.sought, told_of.encode("utf-8")) == {}


@pytest.mark.parametrize("part", [0.02, 0.1, 0.4, 0.7, 0.95])
def test_a_file_cut_short_is_refused_without_telling_what_it_holds(part: float) -> None:
    planted = plant(made())
    with pytest.raises(BadData) as refused:
        cleaned(planted.content[: int(len(planted.content) * part)])
    told_of = f"{refused.value} {refused.value!r} {refused.value.__cause__!r} {refused.value.__context__!r}"
    assert survivors(planted.ledger.sought, told_of.encode("utf-8")) == {}


def numbered(number: int, patient: str = PATIENT_ID, day: str = "20171129", references: int | None = None) -> bytes:
    """Return one image of a series of the patient; it may refer to another one, in the open and in a group of its frame."""
    elements = [
        element(0x00080018, "UI", f"1.3.12.2.1107.5.2.43.{number}"),
        element(0x00080020, "DA", day),
        element(0x00080022, "DA", day),
        element(0x00100020, "LO", patient),
        element(0x00200013, "IS", str(number)),
    ]
    if references is not None:
        uid = element(0x00081155, "UI", f"1.3.12.2.1107.5.2.43.{references}")
        elements += [sequence(0x00081140, (uid,)), sequence(0x00089124, (sequence(0x00082112, (uid,)),))]
    file = having(made(), *elements)
    uid_of_meta = element(0x00020003, "UI", f"1.3.12.2.1107.5.2.43.{number}")
    return RawFile(merged(file.meta, (uid_of_meta,)), file.dataset).content()


def test_images_of_a_series_stay_one_series_and_refer_to_each_other() -> None:
    first, second = cleaned(numbered(1)), cleaned(numbered(2, references=1))
    assert (first.patient, first.study, first.series) == (second.patient, second.study, second.series)
    assert first.instance != second.instance
    assert first.name != second.name
    image = dataset(second.content)
    assert image.ReferencedImageSequence[0].ReferencedSOPInstanceUID == first.instance
    source = image.get("DerivationImageSequence")
    assert source is None or source[0].SourceImageSequence[0].ReferencedSOPInstanceUID == first.instance


def test_days_between_sessions_of_a_patient_are_kept_and_the_days_themselves_are_not() -> None:
    first, second = dataset(cleaned(numbered(1)).content), dataset(cleaned(numbered(2, day="20180304")).content)
    apart = date.fromisoformat(dashed(second.StudyDate)) - date.fromisoformat(dashed(first.StudyDate))
    assert apart == date(2018, 3, 4) - date(2017, 11, 29)
    assert max(first.StudyDate, second.StudyDate) < "19260101"


def dashed(day: str) -> str:
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"


def test_patients_are_told_apart_and_shifted_by_their_own_days() -> None:
    shifted = [dataset(cleaned(numbered(1, patient=f"P-{number}")).content) for number in range(4)]
    assert len({image.PatientID for image in shifted}) == 4
    assert len({image.StudyDate for image in shifted}) > 1


def test_another_key_gives_other_identifiers() -> None:
    one, other = cleaned(numbered(1, references=2)), cleaned(numbered(1, references=2), key=OTHER_KEY)
    pairs = zip(
        (one.patient, one.study, one.series, one.instance),
        (other.patient, other.study, other.series, other.instance),
        strict=True,
    )
    assert all(mine != theirs for mine, theirs in pairs)
    mine, theirs = dataset(one.content), dataset(other.content)
    assert mine.StudyDate != theirs.StudyDate
    mine_refers, theirs_refer = mine.ReferencedImageSequence[0], theirs.ReferencedImageSequence[0]
    assert mine_refers.ReferencedSOPInstanceUID != theirs_refer.ReferencedSOPInstanceUID


PROCESS = """
import sys
from rtbids.deidentify.engine import Deidentifier
from rtbids.deidentify.mapping import Key, Mapping
from rtbids.deidentify.profile import Options, Profile
clean = Deidentifier(Profile(Options()), Mapping(Key(bytes(range(32))))).clean(sys.stdin.buffer.read())
sys.stdout.buffer.write(clean.content)
"""


def test_two_processes_with_one_key_write_the_same_bytes() -> None:
    planted = plant(made())
    seeds = ({"PYTHONHASHSEED": seed, "PATH": os.environ["PATH"]} for seed in ("1", "2"))
    runs = [
        subprocess.run([sys.executable, "-c", PROCESS], input=planted.content, capture_output=True, check=True, env=env)
        for env in seeds
    ]
    assert runs[0].stdout == runs[1].stdout == cleaned(planted.content).content


def test_cleaning_twice_leaves_a_file_of_the_same_elements() -> None:
    """A file that was cleaned is clean: another pass, with another key, removes nothing more of what is kept."""
    planted = plant(made())
    once = cleaned(planted.content).content
    twice = cleaned(once, key=OTHER_KEY).content
    assert [e.tag for e in dataset(once)] == [e.tag for e in dataset(twice)]


def test_the_search_finds_what_is_hidden_in_a_file() -> None:
    """The search itself can fail: every way in which a word is hidden in the plants is found by it."""
    planted = plant(made(syntax=DeflatedExplicitVRLittleEndian))
    found = survivors(planted.ledger.sought, planted.content)
    assert found.keys() == planted.ledger.sought.keys()
    assert survivors(planted.ledger.sought, made().content()).keys() == originals(made()).keys()


def test_every_sequence_of_a_made_file_is_read_as_it_was_planted() -> None:
    """pydicom, which did not write it, reads every element of a planted file."""
    planted = plant(made())
    assert sum(1 for _ in dataset(planted.content).iterall()) > 2000


def test_private_elements_of_a_creator_go_by_their_creator_and_not_by_their_number() -> None:
    """A known creator in another block is known there; an unknown one in its usual block is not."""
    ledger = Ledger()
    unknown = private("ACME", 0x0029, (0x10, "OB", ledger.word("an unknown creator in a usual block")))
    group = Element(0x00280106, "US", struct.pack("<H", 0))
    clean = cleaned(having(made(), group, *unknown).content())
    assert survivors(ledger.sought, clean.content) == {}
