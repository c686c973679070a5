"""The tar stream: whole and cut, ours and GNU tar's, well meant and not."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import tarfile
import threading
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbids.errors import CannotWrite, StreamBroken
from rtbids.stream import wire

LONG = "sub-01/func/" + "é" * 100 + "a" * 38 + "_bold.nii"  # 159 characters, 259 bytes
MOMENT = 1_700_000_000.123457
Content = tuple[str, bytes, float]


def stream_of(*contents: Content, end: bool = True) -> bytes:
    file = io.BytesIO()
    writer = wire.Writer(file)
    for name, content, modified in contents:
        writer.write(name, content, modified=modified)
    if end:
        writer.close()
    return file.getvalue()


def read(content: bytes) -> list[Content]:
    return [(m.name, bytes(m.content), m.modified) for m in wire.members(io.BytesIO(content), "x.tar")]


def read_until_broken(content: bytes) -> tuple[list[str], str]:
    """Return the names of the members before the stream broke, and what was said of it."""
    whole: list[str] = []
    members = (whole.append(member.name) for member in wire.members(io.BytesIO(content), "x.tar"))
    with pytest.raises(StreamBroken, match=r"^x\.tar") as caught:
        list(members)
    return whole, str(caught.value)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1).filter(lambda name: name != ".."),
            st.binary(max_size=2000),
            st.floats(0, 1e10).map(lambda moment: float(f"{moment:.9f}")),
        )
    )
)
def test_what_is_written_is_read(contents: list[Content]) -> None:
    assert read(stream_of(*contents)) == contents


def test_a_member_is_its_parts_one_after_another() -> None:
    file = io.BytesIO()
    wire.Writer(file).write("a", b"one", bytearray(b"two"), memoryview(struct.pack("<2h", 1, 2)).cast("B").cast("h"))
    assert file.getvalue()[512:523] == b"onetwo" + struct.pack("<2h", 1, 2) + b"\0"


def test_nothing_of_a_member_is_held_back() -> None:
    with_end, without = stream_of(("a", b"x" * 700, 0.0)), stream_of(("a", b"x" * 700, 0.0), end=False)
    assert with_end == without + wire.END
    assert len(without) == 512 + 1024


def test_a_member_is_handed_out_at_its_last_byte() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as source, open(writing, "wb", buffering=0) as sink:
        writer = wire.Writer(sink)
        members = wire.members(source)
        for place in range(3):  # a reader that wanted one byte more would wait here for ever
            writer.write(f"{place}", bytes(1024), modified=MOMENT)
            assert next(members).name == f"{place}"


# The records of these members stand in a pax header: 512 header, 512 records, 512 ustar header, then data and padding.
FIRST, SECOND = ("a.nii", b"a" * 1000, MOMENT), ("b.nii", b"b" * 1000, MOMENT)
ONE = 3 * 512 + 1024


@pytest.mark.parametrize(
    ("cut", "whole", "place"),
    [
        pytest.param(ONE, ["a.nii"], "before its end mark", id="between two members"),
        pytest.param(ONE + 100, ["a.nii"], "before its end mark", id="inside the pax header block"),
        pytest.param(ONE + 512, ["a.nii"], "inside a member", id="after the pax header block, before its records"),
        pytest.param(ONE + 1024, ["a.nii"], "before its end mark", id="pax records complete, then end"),
        pytest.param(ONE + 1536 + 500, ["a.nii"], "inside a member", id="inside the data"),
        pytest.param(2 * ONE - 10, ["a.nii"], "inside a member's padding", id="inside the final padding"),
        pytest.param(2 * ONE, ["a.nii", "b.nii"], "before its end mark", id="all members, no end marker"),
        pytest.param(2 * ONE + 512, ["a.nii", "b.nii"], "within its end mark", id="one zero block only"),
    ],
)
def test_every_cut_is_noticed_and_what_was_whole_before_it_is_kept(cut: int, whole: list[str], place: str) -> None:
    content = stream_of(FIRST, SECOND)
    assert len(content) == 2 * ONE + 1024
    assert read_until_broken(content[:cut]) == (whole, f"x.tar ended {place} (byte {cut})")


def test_a_cut_at_any_byte_is_noticed() -> None:
    content = stream_of(("a", b"a" * 600, MOMENT), ("b", b"", 0.0))
    for cut in range(len(content)):
        assert read_until_broken(content[:cut])[0] == ["a", "b"][: (cut >= ONE) + (cut >= ONE + 512)]


def test_a_stream_of_nothing_at_all_is_broken() -> None:
    assert read_until_broken(b"") == ([], "x.tar ended before its end mark (byte 0)")


def test_an_end_mark_alone_is_an_orderly_end() -> None:
    assert read(wire.END) == []


def test_a_zero_block_before_the_next_member_is_no_end_mark() -> None:
    content = stream_of(FIRST, end=False) + bytes(512) + stream_of(SECOND)
    assert read_until_broken(content) == (["a.nii"], f"x.tar: expected the second block of the end mark at byte {ONE + 512}")


def test_what_follows_the_end_mark_is_read_and_passed_over() -> None:
    file = io.BytesIO(stream_of(FIRST) + stream_of(SECOND))
    assert [member.name for member in wire.members(file)] == ["a.nii"]
    assert file.read() == b""  # else a writer that pads to its blocking factor is stopped by SIGPIPE


def test_a_bit_error_in_a_header_is_noticed() -> None:
    content = bytearray(stream_of(("a", b"a", 0.0)))
    content[130] ^= 1  # in the size
    assert read_until_broken(bytes(content))[1].startswith("x.tar: a damaged tar header at byte 0 (")


def test_a_reader_that_starts_in_the_middle_of_a_record_refuses_it() -> None:
    content = stream_of(FIRST, SECOND)
    assert read_until_broken(content[ONE - 1024 :]) == ([], "x.tar: a block that is no tar header is refused (byte 512)")


@given(st.binary(min_size=512, max_size=4096).filter(any))
def test_garbage_is_refused(content: bytes) -> None:
    assert read_until_broken(content)[0] == []


@given(st.data())
def test_a_stream_with_some_bytes_changed_gives_members_or_breaks_and_does_nothing_else(data: st.DataObject) -> None:
    content = bytearray(stream_of(("a", b"a" * 600, MOMENT), (LONG, b"b", 5.0)))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
        content[place] = data.draw(st.integers(0, 255))
    with suppress(StreamBroken):
        assert len(read(bytes(content))) <= 2


def gnu_tar(*arguments: str, cwd: Path, stdin: bytes = b"") -> bytes:
    return subprocess.run(["tar", *arguments], cwd=cwd, input=stdin, stdout=subprocess.PIPE, check=True).stdout


def test_gnu_tar_unpacks_what_we_write_names_times_and_all(tmp_path: Path) -> None:
    contents = [(LONG, b"x" * 5000, MOMENT), ("sub-01/func/empty.json", b"", 1e9), ("dataset_description.json", b"{}", 1.5)]
    gnu_tar("-xf", "-", cwd=tmp_path, stdin=stream_of(*contents))
    for name, content, modified in contents:
        assert (tmp_path / name).read_bytes() == content
        assert (tmp_path / name).stat().st_mtime_ns == int(Decimal(f"{modified:.9f}") * 10**9)


def test_gnu_tar_lists_what_we_write_without_a_complaint(tmp_path: Path) -> None:
    listing = subprocess.run(
        ["tar", "--utc", "--full-time", "-tvf", "-"], cwd=tmp_path, input=stream_of(FIRST), capture_output=True, check=True
    )
    assert listing.stderr == b""
    assert b" 1000 2023-11-14 22:13:20.12345" in listing.stdout


@pytest.mark.parametrize("form", ["posix", "gnu", "ustar"])
def test_what_gnu_tar_writes_is_read_folders_passed_over(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "sub-01" / ("d" * 90)  # longer than 100 with the name: the prefix of ustar, @LongLink of gnu
    folder.mkdir(parents=True)
    files = {folder / ("f" * 60): b"1" * 3000, folder / "short": b"", tmp_path / "sub-01" / "top": b"2"}
    for file, content in files.items():
        file.write_bytes(content)
        os.utime(file, (1_600_000_000, 1_600_000_000))
    packed = gnu_tar(f"--format={form}", "-cf", "-", "sub-01", cwd=tmp_path)
    assert len(packed) % 10240 == 0  # padded to its blocking factor behind the end mark
    expected = sorted((str(file.relative_to(tmp_path)), content, 1.6e9) for file, content in files.items())
    assert sorted(read(packed)) == expected


@pytest.mark.parametrize("form", ["posix", "gnu"])
def test_names_of_250_letters_from_gnu_tar_are_read_whole(tmp_path: Path, form: str) -> None:
    name = "é" * 5 + "n" * 235
    (tmp_path / name).write_bytes(b"x")
    assert [found for found, _, _ in read(gnu_tar(f"--format={form}", "-cf", "-", name, cwd=tmp_path))] == [name]


def test_times_from_gnu_tar_have_their_fractions(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    os.utime(tmp_path / "a", ns=(0, 1_700_000_000_123_456_789))
    ((_, _, modified),) = read(gnu_tar("--format=posix", "-cf", "-", "a", cwd=tmp_path))
    assert modified == 1_700_000_000.123456789  # to the precision of a double, 0.24 microseconds


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_what_tarfile_writes_is_read(form: int) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w|", format=form) as archive:
        info = tarfile.TarInfo("sub-01/a.nii")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    assert read(file.getvalue()) == [("sub-01/a.nii", b"abc", 0.0)]


def test_global_headers_are_passed_over() -> None:
    file = io.BytesIO()
    with tarfile.open(
        fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "all", "mtime": "7"}
    ) as archive:
        archive.addfile(tarfile.TarInfo("a"))
    assert read(file.getvalue()) == [("a", b"", 0.0)]


def header(name: str = "a", kind: bytes = b"0", size: int = 0, pax: dict[str, str] | None = None, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    info.pax_headers = pax or {}
    return info.tobuf(tarfile.PAX_FORMAT)


@pytest.mark.parametrize(
    ("kind", "what"),
    [(b"1", "hard link"), (b"2", "link"), (b"3", "device"), (b"4", "device"), (b"6", "pipe"), (b"S", "sparse")],
)
def test_what_is_no_file_is_refused(kind: bytes, what: str) -> None:
    said = read_until_broken(header("evil", kind, link="/etc/passwd") + wire.END)[1]
    assert said == f"x.tar: member 'evil' of type {kind!r}, which is no file is refused (byte 512)"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "..", "a/..", "n" * 4097])
def test_a_name_that_leaves_its_folder_is_refused(name: str) -> None:
    names, said = read_until_broken(header(name) + wire.END)
    assert names == []
    assert "x.tar: member name " in said
    assert len(said) < 200


@pytest.mark.parametrize("size", [wire.LARGEST_MEMBER + 1, 1 << 40, 1 << 62])
def test_a_size_beyond_reason_is_refused_before_it_is_allocated(size: int) -> None:
    assert f"member 'a' of {size} bytes is refused" in read_until_broken(header(size=size))[1]


def test_a_negative_size_is_refused() -> None:
    block = bytearray(header())
    for kind in (b"0", b"x", b"L"):
        block[124:136] = b"\xff" * 12  # base-256 for -1
        block[156:157] = kind
        block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:512]))
        assert "-1 bytes is refused" in read_until_broken(bytes(block) + bytes(2048))[1]


def test_a_pax_header_beyond_reason_is_refused() -> None:
    block = bytearray(header(size=wire.LARGEST_HEADER + 1))
    block[156:157] = b"x"
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:512]))
    assert f"a header of {wire.LARGEST_HEADER + 1} bytes is refused" in read_until_broken(bytes(block))[1]


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (b"nonsense", "a damaged pax record"),
        (b"9" * 5000 + b" path=a\n", "a damaged pax record"),
        (b"99 path=a\n", "a damaged pax record"),
        (b"3 a\n", "a damaged pax record"),
        (b"2 \n", "a damaged pax record"),
        (b"9 patha\n\n", "a damaged pax record"),
        ("11 size=²\n".encode(), "a pax size of '²'"),
        (b"11 size=-1\n", "a pax size of '-1'"),
        (b"5011 size=" + b"9" * 5000 + b"\n", "a pax size of"),
        (b"13 mtime=nan\n", "a pax mtime of 'nan'"),
        (b"14 mtime=soon\n", "a pax mtime of 'soon'"),
    ],
)
def test_a_damaged_pax_record_is_refused(records: bytes, said: str) -> None:
    block = bytearray(header(size=len(records)))
    block[156:157] = b"x"
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:512]))
    content = bytes(block) + records + bytes(-len(records) % 512) + header() + wire.END
    assert said in read_until_broken(content)[1]


def test_the_size_in_a_pax_record_goes_before_the_headers() -> None:
    content = header(pax={"size": "3"}, size=0) + b"abc" + bytes(509) + wire.END
    assert read(content) == [("a", b"abc", 0.0)]


def test_a_reader_that_has_gone_is_a_broken_stream() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb", buffering=0) as sink:
        writer = wire.Writer(sink, "the pipe b")
        with pytest.raises(StreamBroken, match="the reader of the pipe b has gone"):
            writer.write("a", b"x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_said_to_be_full() -> None:
    with open("/dev/full", "wb", buffering=0) as sink:
        writer = wire.Writer(sink, "run.tar")
        with pytest.raises(CannotWrite, match=r"no space left for run\.tar"):
            writer.write("a", b"x")


def test_a_member_larger_than_the_pipe_is_written_whole() -> None:
    content = os.urandom(3 << 20)
    reading, writing = os.pipe()
    found: list[bytes] = []
    with open(reading, "rb", buffering=0) as source:
        reader = threading.Thread(target=lambda: found.extend(bytes(m.content) for m in wire.members(source)))
        reader.start()
        with open(writing, "wb", buffering=0) as sink:
            writer = wire.Writer(sink)
            writer.write("big", content[:1000], content[1000:])
            writer.close()
        reader.join(30)
    assert found == [content]


def test_members_in_memory_are_those_of_a_file_and_no_copy():
    content = b"".join(bytes(part) for name in ("a", "b") for part in wire.framed(name, [memoryview(name.encode() * 700)]))
    found = list(wire.members_in(memoryview(content), "the test"))
    assert [(member.name, bytes(member.content)) for member in found] == [("a", b"a" * 700), ("b", b"b" * 700)]
    assert found[0].content.obj is content


@pytest.mark.parametrize("size", [1, 511, 513, 1000, 1800])
def test_members_in_memory_that_are_cut_are_told_of(size):
    content = b"".join(bytes(part) for part in wire.framed("a", [memoryview(bytes(700))]))
    with pytest.raises(StreamBroken):
        list(wire.members_in(memoryview(content)[: min(size, len(content) - 1)], "the test"))
