"""Images whose pixels may show who it is are refused, and what is kept of pixels is the image alone."""

from __future__ import annotations

import struct

import images
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from rtbids.deidentify.pixels import Refused
from rtbids.errors import BadData

CLASSES = {
    "1.2.840.10008.5.1.4.1.1.104.1": "Encapsulated PDF",
    "1.2.840.10008.5.1.4.1.1.88.11": "Basic Text SR",
    "1.2.840.10008.5.1.4.1.1.66": "Raw Data",
    "1.2.840.10008.5.1.4.1.1.11.1": "Presentation State",
    "1.2.840.10008.1.3.10": "Media Storage Directory",
    "1.3.12.2.1107.5.9.1": "a maker's own",
}


@pytest.mark.parametrize(
    ("elements", "why"),
    [
        ({"BurnedInAnnotation": "YES"}, "text in its pixels"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "secondary capture"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2"}, "secondary capture"),
        ({"Modality": "OT"}, "modality"),
        ({"Modality": "SC"}, "modality"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "copy of a screen"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREENSHOT"]}, "copy of a screen"),
        ({"ConversionType": "WSD"}, "copy of a screen"),
    ],
)
def test_text_in_pixels_is_refused_unless_asked(elements: dict[str, object], why: str) -> None:
    given = images.content(images.header(**elements))
    with pytest.raises(Refused, match=why) as error:
        images.clean(given)
    assert "--burned-in" in str(error.value.hint)
    assert images.after(given, burned_in=True).PixelData == images.PIXELS


@pytest.mark.parametrize(
    "elements",
    [
        {"BurnedInAnnotation": "NO"},
        {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]},
        {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]},
        {"ImageType": ["DERIVED", "SECONDARY", "MPR"]},
        {"RecognizableVisualFeatures": "NO"},
        {"ImageType": None, "Modality": None},
    ],
)
def test_images_of_the_scanner_are_taken(elements: dict[str, object]) -> None:
    assert images.after(images.header(**elements)).PixelData == images.PIXELS


def test_faces_are_refused_unless_asked() -> None:
    given = images.content(images.header(RecognizableVisualFeatures="YES"))
    with pytest.raises(Refused, match="face"):
        images.clean(given)
    assert images.after(given, faces=True).PixelData == images.PIXELS


@pytest.mark.parametrize("sop_class", CLASSES, ids=CLASSES.values())
def test_what_is_no_image_is_refused_always(sop_class: str) -> None:
    given = images.content(images.header(SOPClassUID=sop_class))
    with pytest.raises(Refused, match="no image"):
        images.clean(given, burned_in=True, faces=True)


@pytest.mark.parametrize("missing", ["PixelData", "SOPClassUID", "SOPInstanceUID"])
def test_an_image_without_what_makes_it_one_is_bad(missing: str) -> None:
    given = images.header()
    whole = images.content(given)
    tag = given[missing].tag
    start = whole.index(struct.pack("<HH", tag.group, tag.element) + given[missing].VR.encode(), 144)
    length = 12 + 512 if missing == "PixelData" else 8 + struct.unpack_from("<H", whole, start + 6)[0]
    with pytest.raises(BadData, match=r"pixel data|missing"):
        images.clean(whole[:start] + whole[start + length :])


def test_pixels_that_are_too_few_are_bad_and_what_lies_behind_them_goes() -> None:
    with pytest.raises(BadData, match="hold 510 of 512 bytes"):
        images.clean(images.header(PixelData=images.PIXELS[:-2]))
    assert images.after(images.header(PixelData=images.PIXELS + b"Jane Doe")).PixelData == images.PIXELS


@pytest.mark.parametrize(
    ("photometric", "samples", "size"),
    [("YBR_FULL_422", 3, 512), ("YBR_PARTIAL_420", 3, 384), ("RGB", 3, 768), ("MONOCHROME2", 1, 256)],
)
def test_colours_that_share_samples_take_fewer_bytes(photometric: str, samples: int, size: int) -> None:
    colour = {
        "PhotometricInterpretation": photometric,
        "SamplesPerPixel": samples,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
    }
    given = images.header(**colour, PixelData=bytes(size))
    assert images.after(given).PixelData == bytes(size)


def compressed(syntax: str, *fragments: bytes) -> bytes:
    given = images.header(PixelData=encapsulate(list(fragments), has_bot=False))
    given["PixelData"].VR = "OB"
    given["PixelData"].is_undefined_length = True
    return images.content(given, syntax)


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


SCAN = segment(0xC3, bytes(9)) + segment(0xDA, bytes(6)) + b"\x12\xff\x00\x34\xff\xd0\x56"
JPEG = b"\xff\xd8" + segment(0xE0, b"JFIF\0") + segment(0xEE, b"Adobe") + SCAN + b"\xff\xd9"


@pytest.mark.parametrize(
    ("frame", "left"),
    [
        (JPEG, JPEG),
        (JPEG[:2] + segment(0xFE, b"Jane Doe") + JPEG[2:], JPEG[:2] + segment(0xFE, bytes(8)) + JPEG[2:]),
        (JPEG[:2] + segment(0xE1, b"Exif\0\0Doe") + JPEG[2:], JPEG[:2] + segment(0xE1, bytes(9)) + JPEG[2:]),
        (JPEG[:-2] + segment(0xFE, b"Jane Doe") + SCAN + b"\xff\xd9", JPEG[:-2] + segment(0xFE, bytes(8)) + SCAN + b"\xff\xd9"),
        (JPEG + b"Jane Doe", JPEG + bytes(8)),
        (JPEG[:2] + segment(0xFE, b"Created by GDCM/OpenJPEG version 2.4.0") + JPEG[2:],) * 2,
    ],
    ids=["nothing beside", "a comment", "Exif", "a comment between scans", "behind the end", "the software's own comment"],
)
def test_of_a_jpeg_the_image_stays_alone(frame: bytes, left: bytes) -> None:
    out = images.after(compressed(JPEGLosslessSV1, frame)).PixelData
    assert left in out
    assert b"Doe" not in out


def test_a_jpeg_in_two_fragments_is_one_image() -> None:
    frame = JPEG[:2] + segment(0xFE, b"Jane Doe, Jane Doe") + JPEG[2:]
    out = images.after(compressed(JPEGLosslessSV1, frame[:12], frame[12:])).PixelData
    assert b"Doe" not in out
    assert b"\x12\xff\x00\x34" in out


def codestream(comment: bytes) -> bytes:
    tile = b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 12 + 2 + 8, 0, 1) + b"\xff\x93" + b"\xff\x64\0\x09imag"
    return b"\xff\x4f" + segment(0x51, bytes(41)) + segment(0x64, b"\0\1" + comment) + tile + b"\xff\xd9"


def test_of_a_jpeg_2000_the_image_stays_alone() -> None:
    out = images.after(compressed(JPEG2000Lossless, codestream(b"Jane Doe"))).PixelData
    assert codestream(bytes(8)) in out


def test_fragments_of_which_no_frame_is_made_become_zero() -> None:
    image, more = struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\0" * 2, b"Jane Doe"
    out = images.after(compressed(RLELossless, image, more)).PixelData
    assert image in out
    assert b"Doe" not in out


def test_tables_of_offsets_and_heads_hold_offsets_alone() -> None:
    head = struct.pack("<2L", 1, 64)
    whole = compressed(RLELossless, head + b"Jane Doe" * 7 + b"\x81\0" * 2)
    out = images.after(whole).PixelData
    assert head + bytes(56) + b"\x81\0" * 2 in out
    table = struct.pack("<HHL", 0xFFFE, 0xE000, 8) + b"Jane Doe"
    out = images.after(whole.replace(struct.pack("<HHL", 0xFFFE, 0xE000, 0), table, 1)).PixelData
    assert out.startswith(struct.pack("<HHL", 0xFFFE, 0xE000, 0) + struct.pack("<HH", 0xFFFE, 0xE000))


@pytest.mark.parametrize("gap", ["between", "behind"])
def test_behind_a_run_length_segment_nothing_stays(gap: str) -> None:
    segment, text = b"\x81\0" * 2, b"Jane Doe"
    between, behind = (text, b"") if gap == "between" else (b"", text)
    head = struct.pack("<16L", 2, 64, 64 + len(segment + between), *[0] * 13)
    out = images.after(compressed(RLELossless, head + segment + between + segment + behind)).PixelData
    assert head + segment + bytes(len(between)) + segment + bytes(len(behind)) in out


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated"])
@pytest.mark.parametrize("value", [None, 0])
def test_an_image_without_a_size_is_bad(keyword: str, value: int | None) -> None:
    with pytest.raises(BadData, match="no image"):
        images.clean(images.header(**{keyword: value}))


BITS = {"BitsStored": 12, "HighBit": 11}


@pytest.mark.parametrize(
    ("elements", "pixel", "taken"),
    [
        (BITS, 0x0FFF, True),
        (BITS, 0x4A41, False),
        (BITS | {"PixelRepresentation": 1}, 0xF801, True),
        (BITS | {"PixelRepresentation": 1}, 0x4A41, False),
        ({"BitsStored": 12, "HighBit": 15}, 0x4A41, False),
        ({}, 0x4A41, True),
    ],
)
def test_bits_that_hold_no_image_are_empty_or_the_sign_or_the_file_is_refused(
    elements: dict[str, int], pixel: int, taken: bool
) -> None:
    given = images.header(**elements, PixelData=struct.pack("<H", pixel) * 256)
    given["PixelData"].VR = "OW"
    if not taken:
        with pytest.raises(Refused, match="unused bits"):
            images.clean(given)
    assert images.after(given, burned_in=not taken).PixelData == given.PixelData


def test_extended_tables_go_where_nothing_is_compressed() -> None:
    given = images.header()
    given.add_new(0x7FE00001, "OV", b"Jane Doe")
    inner = images.header()
    del inner.PixelData
    inner.add_new(0x7FE00002, "OV", b"Jane Doe")
    given.SharedFunctionalGroupsSequence = [inner]
    assert b"Jane Doe" not in images.clean(given).content


def test_right_tables_of_offsets_stay() -> None:
    given = images.header(NumberOfFrames=2, PixelData=encapsulate([JPEG, JPEG], has_bot=True))
    given["PixelData"].VR, given["PixelData"].is_undefined_length = "OB", True
    assert images.after(images.content(given, JPEGLosslessSV1)).PixelData == given.PixelData


def test_numbers_have_no_more_bytes_than_their_element_may_hold() -> None:
    given = images.content(images.header(SmallestImagePixelValue=1))
    at = given.index(b"\x28\0\x06\x01US\x02\0")
    out = images.clean(given[: at + 6] + b"\x0a\0\x01\0Jane Doe" + given[at + 10 :]).content
    assert b"\x28\0\x06\x01US\x02\0\x01\0" in out
    assert b"Jane" not in out


def test_what_is_compressed_in_a_way_that_is_not_looked_into_is_refused() -> None:
    with pytest.raises(Refused, match="compressed in a way"):
        images.clean(compressed(MPEG2MPML, b"\0\0\1\xb3"))


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless])
def test_pixels_that_are_not_compressed_as_they_are_said_to_be_are_bad(syntax: str) -> None:
    native = images.content(images.header())
    head, more = native[:132], native[144 + int.from_bytes(native[140:144], "little") :]
    said = b"\x02\0\x10\0UI" + struct.pack("<H", len(syntax) + len(syntax) % 2) + syntax.encode() + b"\0" * (len(syntax) % 2)
    with pytest.raises(BadData, match="not compressed"):
        images.clean(head + said + more)


def test_pixels_twice_are_refused() -> None:
    given = images.header()
    given.add_new(0x7FE00008, "OF", bytes(1024))
    with pytest.raises(BadData, match="more than once"):
        images.clean(given)


def test_an_overlay_in_the_unused_bits_of_the_pixels_is_refused_unless_asked() -> None:
    given = images.header(BitsStored=12, HighBit=11)
    for number, value in ((0x10, 16), (0x11, 16), (0x100, 16), (0x102, 15)):
        given.add_new(0x60000000 | number, "US", value)
    whole = images.content(given)
    with pytest.raises(Refused, match="unused bits") as error:
        images.clean(whole)
    assert "--burned-in" in str(error.value.hint)
    assert images.after(whole, burned_in=True).PixelData == images.PIXELS


def test_an_overlay_with_bits_of_its_own_goes() -> None:
    given = images.header()
    given.add_new(0x60000010, "US", 16)
    given.add_new(0x60000011, "US", 16)
    given.add_new(0x60003000, "OW", b"Jane Doe" * 4)
    assert not [element for element in images.after(given) if element.tag.group == 0x6000]


def test_pixels_in_a_sequence_go() -> None:
    inner = images.header(PixelData=b"Jane Doe")
    inner["PixelData"].VR = "OW"
    out = images.clean(images.header(SharedFunctionalGroupsSequence=[inner])).content
    assert b"Jane Doe" not in out
