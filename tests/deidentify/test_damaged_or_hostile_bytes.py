"""Whatever the bytes are: a file that pydicom reads, or BadData. Never another error, and never half of something."""

from __future__ import annotations

import random
from functools import cache
from io import BytesIO
from pathlib import Path

import images
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from rtbids.errors import BadData

SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
NAME = b"Quillfeather"


@cache
def whole(syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return an image with sequences in it, of a patient whose name occurs in it once a sequence."""
    inner = images.header(PixelData=b"")
    for keyword in ("PixelData", "SOPInstanceUID"):
        delattr(inner, keyword)
    inner.PatientName = f"{NAME.decode()}^A"
    given = images.header(PatientName=f"{NAME.decode()}^B", SharedFunctionalGroupsSequence=[inner, inner])
    return images.content(given, syntax)


def cleaned(content: bytes) -> bytes | None:
    """Return what the engine gives, None where it refuses."""
    refused: BadData | None = None
    try:
        return images.clean(content).content
    except BadData as error:
        refused = error
    assert NAME.decode() not in f"{refused} {refused.hint}"
    assert refused.__cause__ is None
    return None


def check(content: bytes) -> None:
    out = cleaned(content)
    if out is not None:
        assert NAME not in out
        assert dcmread(BytesIO(out)).SOPInstanceUID


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_cut_anywhere_is_refused(syntax: str) -> None:
    content = whole(syntax)
    taken = [length for length in range(len(content)) if cleaned(content[:length]) is not None]
    assert taken == []


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_with_one_wrong_byte_is_cleaned_or_refused(syntax: str) -> None:
    content, chance = whole(syntax), random.Random(4)
    for place in range(128, len(content) - 512 if syntax != DeflatedExplicitVRLittleEndian else len(content)):
        damaged = bytearray(content)
        damaged[place] = chance.randrange(256)
        out = cleaned(bytes(damaged))
        if out is not None and NAME in bytes(damaged):
            assert NAME not in out, place


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SYNTAXES), st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=12)), max_size=4))
def test_bytes_put_anywhere_break_nothing(syntax: str, put: list[tuple[int, bytes]]) -> None:
    content = bytearray(whole(syntax))
    for place, new in put:
        place %= len(content)
        content[place : place + len(new)] = new
    cleaned(bytes(content))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=600))
def test_random_bytes_are_refused(content: bytes) -> None:
    assert cleaned(content) is None
    assert cleaned(bytes(128) + b"DICM" + content) is None
    assert cleaned(b"\x08\0\x05\0CS" + content) is None


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_in_a_private_or_unknown_sequence_break_nothing(value: bytes) -> None:
    given = images.header(PatientName=f"{NAME.decode()}^B")
    given.private_block(0x0021, "SIEMENS MR SDI 02", create=True).add_new(0xFE, "UN", value)
    given.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", value)
    check(images.content(given))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no DICOM file"),
        (b"\0" * 10_000, "no DICOM file"),
        (b"Dear Dr Smith, ..." * 50, "no DICOM file"),
        (b"%PDF-1.4" + bytes(500), "no DICOM file"),
        (bytes(128) + b"DICM", "missing"),
    ],
)
def test_what_is_no_dicom_file_is_said_to_be_none(content: bytes, why: str) -> None:
    with pytest.raises(BadData, match=why):
        images.clean(content)


def test_sequences_without_end_in_each_other_are_refused() -> None:
    depth = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 5000
    with pytest.raises(BadData, match="deep"):
        images.clean(whole() + depth)


def test_a_deflated_file_that_grows_beyond_measure_is_refused() -> None:
    import zlib

    bomb = zlib.compressobj(9, wbits=-15)
    body = bomb.compress(bytes(200 << 20)) + bomb.flush()
    content = whole(DeflatedExplicitVRLittleEndian)
    meta = 144 + int.from_bytes(content[140:144], "little")
    with pytest.raises(BadData, match="grow to more"):
        images.clean(content[:meta] + body)


def test_the_syntax_of_a_maker_is_refused() -> None:
    content = whole()
    with pytest.raises(BadData, match="of a maker"):
        images.clean(content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.113619.5.2\0\0"))


@pytest.mark.slow
def test_real_files_cut_or_damaged_anywhere_break_nothing(real_data: Path) -> None:
    chance = random.Random(7)
    for folder in sorted(real_data.glob("*/dicom")):
        content = next(path for path in sorted(folder.rglob("*")) if path.is_file()).read_bytes()
        end = content.rfind(b"\xe0\x7f\x10\x00")
        for _ in range(20):
            assert cleaned(content[: chance.randrange(len(content) - 8)]) is None, folder
            damaged = bytearray(content)
            for _ in range(3):
                damaged[chance.randrange(132, end if end > 200 else len(content))] = chance.randrange(256)
            out = cleaned(bytes(damaged))
            assert out is None or len(dcmread(BytesIO(out))) > 5


def test_a_truncated_file_of_the_scanner_is_refused_and_its_whole_twin_taken(real_data: Path) -> None:
    folder = real_data / "broken_files"
    assert cleaned((folder / "trunc_001_000013_000005.dcm").read_bytes()) is None
    assert cleaned((folder / "001_000013_000005.dcm").read_bytes()) is not None
