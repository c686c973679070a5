"""The blocks in which makers keep many things together are written anew: Siemens' CSA headers and protocol, GE's two."""

from __future__ import annotations

import random
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from rtbids import csa
from rtbids.convert import ge as converted_ge
from rtbids.deidentify import private
from rtbids.deidentify.engine import Deidentifier
from rtbids.deidentify.mapping import Key, Mapping
from rtbids.deidentify.profile import Profile
from rtbids.replay.mosaic import csa_header

SECRET = "Ottokar^Weissmueller"
ELEMENTS = private.listing()["elements"]
KEPT = [(creator, place) for creator, places in ELEMENTS.items() for place, said in places.items() if "keep" in said]
MASKED = [(creator, place) for creator, places in ELEMENTS.items() for place, said in places.items() if "mask" in said]
IDENTIFYING = ("DeviceSerialNumber", "ProtocolName", "StudyDate", "SeriesInstanceUID")


def mask_of(creator: str, place: str) -> Callable[[bytes], bytes]:
    mask = private.rule(creator, int(place[1:5], 16), int(place[8:10], 16)).mask
    assert mask is not None
    return mask


def known_csa() -> list[tuple[str, str, int, list[str]]]:
    return [
        ("NumberOfImagesInMosaic", "US", 10, ["4"]),
        ("SliceNormalVector", "FD", 4, ["0.0", "0.1", "0.99"]),
        ("MosaicRefAcqTimes", "FD", 4, ["0.0", "500.0", "1000.0", "1500.0"]),
        ("ImaCoilString", "LO", 19, ["T:HEA;HEP"]),
    ]


PROTOCOL = """<XProtocol>
{
  <ParamString."PatientName"> { "Ottokar^Weissmueller" }
}
### ASCCONV BEGIN object=MrProtDataImpl@MrProtocolData version=51130001 Ottokar^Weissmueller ###
tSequenceFileName	 = 	""%SiemensSeq%\\ep2d_bold""
tProtocolName	 = 	""Ottokar^Weissmueller""
tReferenceImage0	 = 	""1.3.12.2.1107.5.2.19.45031.2019021911365430566340064""
sPatient.tName	 = 	""Ottokar^Weissmueller""
Ottokar^Weissmueller	 = 	1
sPat.lAccelFactPE	 = 	2
lRepetitions	 = 	195	# Ottokar^Weissmueller
lContrasts	 = 	""Ottokar^Weissmueller""
sKSpace.ucPhasePartialFourier	 = 	0x10
### ASCCONV END ###
Ottokar^Weissmueller
"""


def series_header() -> bytes:
    fields = [
        ("UsedPatientWeight", "IS", 6, ["81"]),
        ("PatReinPattern", "ST", 1, ["1;HFS;81.65;30.00;2;0;2;1316283662"]),
        ("MrPhoenixProtocol", "UN", 0, [PROTOCOL]),
        ("RelTablePosition", "IS", 6, ["0", "0", "-5"]),
    ]
    return csa_header(fields)


@pytest.mark.parametrize("low_byte", [0x10, 0x20])
def test_no_field_of_a_csa_header_can_hold_a_name(low_byte: int) -> None:
    mask = mask_of("SIEMENS CSA HEADER", f"(0029,xx{low_byte:02X})")
    known = [
        *private.fields("csa image header"),
        *private.fields("csa series header"),
        "MrPhoenixProtocol",
        "ImaComment",
        SECRET,
    ]
    for word in known:
        content = csa_header([*known_csa(), (word, "LO", 19, [SECRET, "Ottokar"]), ("RelTablePosition", "IS", 6, ["1"])])
        masked = mask(content)
        assert (b"Ottokar" in content, b"Ottokar" in masked) == (True, False)
        assert len(masked) == len(content)
        assert csa.parse(masked)


def test_what_a_scanner_left_in_its_memory_goes() -> None:
    content = bytearray(csa_header(known_csa()))
    secret = SECRET.encode()
    for place in (16 + 40, 16 + 84 + 16 + 2):  # behind a name, and behind a value of two bytes
        content[place : place + (20 if place < 100 else 2)] = secret[: 20 if place < 100 else 2]
    content += secret
    masked = mask_of("SIEMENS CSA HEADER", "(0029,xx10)")(bytes(content))
    assert secret[:2] not in masked
    assert len(masked) == len(content)
    assert csa.parse(masked) == csa.parse(csa_header(known_csa()))


def test_of_the_protocol_only_known_settings_of_a_known_form_stay() -> None:
    content = series_header()
    masked = mask_of("SIEMENS CSA HEADER", "(0029,xx20)")(content)
    assert len(masked) == len(content)
    fields = csa.parse(masked)
    assert fields == {"RelTablePosition": ["0", "0", "-5"], "MrPhoenixProtocol": fields["MrPhoenixProtocol"]}
    lines = fields["MrPhoenixProtocol"][0].splitlines()
    assert sorted(lines[2:-1]) == [
        "lRepetitions = 195",
        "sKSpace.ucPhasePartialFourier = 0x10",
        "sPat.lAccelFactPE = 2",
        'tSequenceFileName = ""%SiemensSeq%\\ep2d_bold""',
    ]
    element = mask_of("SIEMENS MR SDS 01", "(0021,xx19)")(PROTOCOL.encode())
    assert element.rstrip(b"\0").decode().splitlines() == lines
    assert len(element) == len(PROTOCOL)


@pytest.mark.parametrize("name", ["HeadMatrix", "Head_32", "HeadNeck_64", "8Tx32Rx_Head_C", "Body"])
def test_coils_of_the_protocol_keep_the_form_of_their_names(name: str) -> None:
    assert name in coil_left(name)


@pytest.mark.parametrize("name", ["19410317", "32", "7788912345", "_4711_", "Head19410317", "32Ch_Weissmueller", "4711Head"])
def test_what_is_no_name_of_a_coil_leaves_the_protocol(name: str) -> None:
    assert name not in coil_left(name)


def coil_left(name: str) -> str:
    line = f'asCoilSelectMeas[0].asList[0].sCoilElementID.tCoilID\t = \t""{name}""\n### ASCCONV END'
    return mask_of("SIEMENS MR SDS 01", "(0021,xx19)")(PROTOCOL.replace("### ASCCONV END", line).encode()).decode()


def test_a_header_of_the_first_form_becomes_one_of_the_second() -> None:
    name = b"NumberOfImagesInMosaic".ljust(64, b"\0")
    items = b"".join(
        struct.pack("<4i", 3 + 6, 3, 77, 3) + b"36\0\0" if not number else struct.pack("<4i", 6, 0, 77, 0)
        for number in range(6)
    )
    secret = struct.pack("<64si4siii", SECRET.encode(), 1, b"LO", 19, 6, 77) + struct.pack("<4i", 6, 0, 77, 0) * 6
    content = struct.pack("<2I", 2, 77) + name + struct.pack("<i4siii", 1, b"US", 10, 6, 77) + items + secret
    assert csa.parse(content)["NumberOfImagesInMosaic"] == ["36"]
    masked = mask_of("SIEMENS CSA HEADER", "(0029,xx10)")(content)
    assert masked[:4] == b"SV10"
    assert csa.parse(masked) == {"NumberOfImagesInMosaic": ["36"]}
    assert len(masked) == len(content)


def headers(real_data: Path) -> Iterator[tuple[str, bytes, bytes]]:
    for folder in sorted(real_data.glob("siemens_mosaic_*")):
        dataset = dcmread(next(iter(sorted((folder / "dicom").iterdir()))))
        block = dataset.private_block(0x0029, "SIEMENS CSA HEADER")
        yield folder.name, block[0x10].value, block[0x20].value or b"" if 0x20 in block else b""


def test_masked_headers_of_real_series_parse_and_say_the_same(real_data: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the module calls itself experimental, once
        from nibabel.nicom import csareader
    for name, *contents in headers(real_data):
        for low_byte, content in zip((0x10, 0x20), contents, strict=True):
            if not content:
                continue
            masked = mask_of("SIEMENS CSA HEADER", f"(0029,xx{low_byte:02X})")(content)
            assert len(masked) == len(content), name
            before, after = csareader.read(content)["tags"], csareader.read(masked)["tags"]
            assert set() < set(after) <= set(before), name
            for word in set(after) - {"MrPhoenixProtocol"}:
                assert list(filter(None, after[word]["items"])) == list(filter(None, before[word]["items"])), (name, word)


def test_serial_numbers_dates_and_the_patients_weight_leave_real_headers(real_data: Path) -> None:
    for folder in sorted([*real_data.glob("siemens_mosaic_*"), *real_data.glob("siemens_xa*")]):
        content = next(iter(sorted((folder / "dicom").iterdir()))).read_bytes()
        dataset = dcmread(BytesIO(content))
        seen = [str(dataset.get(word) or "") for word in IDENTIFYING]
        clean = Deidentifier(Profile(), Mapping(Key(bytes(32)))).clean(content).content
        blocks = b"".join(re.findall(rb"SV10.{200000}|### ASCCONV.{100000}", clean.ljust(len(clean) + 200000), re.DOTALL))
        assert blocks, folder.name
        for text in filter(None, seen):
            assert (text.encode() in content, text.encode() in blocks) == (True, False), (folder.name, text)


@pytest.mark.parametrize("seed", range(8))
def test_damaged_blocks_neither_raise_nor_pass(seed: int) -> None:
    chance = random.Random(seed)
    whole = [
        (mask_of("SIEMENS CSA HEADER", "(0029,xx10)"), csa_header([*known_csa(), ("ImaComment", "LO", 19, [SECRET])])),
        (mask_of("SIEMENS CSA HEADER", "(0029,xx20)"), series_header()),
        (mask_of("SIEMENS MR SDS 01", "(0021,xx19)"), PROTOCOL.encode()),
        (mask_of("GEMS_SERS_01", "(0025,xx1B)"), ge_protocol()),
        (mask_of("GEMS_PARM_01", "(0043,xx2A)"), ge_header()),
    ]
    for mask, content in whole:
        for _ in range(150):
            damaged = bytearray(content)
            for _ in range(chance.choice((0, 1, 1, 2, 30))):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            damaged = damaged[: chance.choice((len(damaged), chance.randrange(len(damaged))))]
            made = mask(bytes(damaged))
            assert not any(text in made for text in (b"Weissmueller", b"Ottokar", b"09/18/118"))
            assert made == b"" or len(made) >= len(damaged)


@pytest.mark.parametrize("content", [b"", b"SV10", bytes(100), b"\xff" * 5000, b"SV10\4\3\2\1" + b"\xff" * 5000])
def test_what_is_no_block_at_all_goes_whole(content: bytes) -> None:
    for creator, place in MASKED:
        assert mask_of(creator, place)(content) == b""


@pytest.mark.timeout(20)
def test_endless_spaces_and_digits_are_done_with_at_once() -> None:
    spaces = b"### ASCCONV BEGIN ###\nlRepetitions = " + b" " * 3_000_000
    assert mask_of("SIEMENS MR SDS 01", "(0021,xx19)")(spaces) == b""
    for creator, place in KEPT:
        assert mask_of(creator, place)(b"1" * 60_000) == mask_of(creator, place)(b"FEFEFE" * 10_000) == b""


def ge_protocol() -> bytes:
    text = (
        f'SEDESC "{SECRET}"\nIOPT "EPI, FMRI"\nSLICEORDER "1"\nNOSLC "15"\nDELACQ "0.033"\n{SECRET} "1"\nMBACCEL "{SECRET}"\n'
    )
    packer = zlib.compressobj(wbits=-15)
    block = b"\x1f\x8b\x08\x08\x3f\x1e\xa1\x5b\0\3" + SECRET.encode() + b"\0" + packer.compress(text.encode()) + packer.flush()
    block += struct.pack("<2I", zlib.crc32(text.encode()), len(text))
    return struct.pack("<I", len(block)) + block


def ge_header(flags: int = 0) -> bytes:
    made = bytearray(b"09/18/118 11:48 Weissmueller ".ljust(2000, b"x"))
    struct.pack_into("<h", made, 24, 400)
    struct.pack_into("<f", made, 400, 26.0)
    struct.pack_into("<h", made, 400 + 0x4C + 0x3A, 0x800)
    struct.pack_into("<h", made, 400 + 0x4C + 0x30, flags)
    struct.pack_into("<h", made, 400 + 0x4C + 0x308, 2)
    return bytes(made)


def test_of_ges_protocol_only_known_settings_stay_and_the_file_name_in_gzip_goes() -> None:
    content = ge_protocol()
    masked = mask_of("GEMS_SERS_01", "(0025,xx1B)")(content)
    assert len(masked) == len(content)
    assert SECRET.encode() not in masked
    assert masked[4:14] == b"\x1f\x8b\x08\0\0\0\0\0\2\3"
    text = zlib.decompressobj(wbits=31).decompress(masked[4:])
    assert text.decode().splitlines() == ['IOPT "EPI, FMRI"', 'SLICEORDER "1"', 'NOSLC "15"', 'DELACQ "0.033"']


@pytest.mark.parametrize("flags", [0, 4])
def test_of_ges_image_header_the_polarity_stays_and_date_and_time_go(flags: int) -> None:
    content = ge_header(flags)
    masked = mask_of("GEMS_PARM_01", "(0043,xx2A)")(content)
    assert len(masked) == len(content)
    assert sum(map(bool, masked)) < 16
    assert converted_ge._header_sign(masked) == converted_ge._header_sign(content) is not None


def test_the_number_of_the_raw_data_leaves_the_ice_dimensions() -> None:
    mask = mask_of("SIEMENS MR SDI 02", "(0021,xx8E)")
    assert (
        mask(b"X_1_1_1_1_1_1_18_1_1_2_1_626_1_1_1_1_20_2_1_33_1_1 ") == b"X_1_1_1_1_1_1_18_1_1_2_1_000_1_1_1_1_20_2_1_33_1_1 "
    )
    assert mask(b"X_1_20240131 ") == mask(b"X_1_Otto ") == b""
