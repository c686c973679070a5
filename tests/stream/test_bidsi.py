"""BIDS-I on the wire: what is read is bit for bit what was written."""

from __future__ import annotations

import io
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from rtbids import nifti
from rtbids.errors import BadData, StreamBroken
from rtbids.stream import bidsi, wire
from rtbids.volume import Item, RunEnd, Volume, volume_of

FIRST = {"subject": "01", "task": "nf", "run": "01"}
SECOND = {"subject": "01", "session": "a", "task": "rest", "run": "1", "echo": "2"}
SIDECAR = {"RepetitionTime": 1.97, "SliceTiming": [0.0, 0.985], "Manufacturer": "Siemens", "Nested": {"a": [1, None]}}
RANDOM = np.random.default_rng(20)
STEM = "sub-01/func/sub-01_task-nf_run-01"


def volume(index: int = 0, dtype: str = "<i2", **fields: Any) -> Volume:
    voxels: NDArray[Any] = RANDOM.integers(0, 256, (4, 5, 6, np.dtype(dtype).itemsize), dtype=np.uint8)
    given: dict[str, Any] = {
        "data": voxels.view(dtype)[..., 0],
        "affine": RANDOM.normal(size=(4, 4)) * 50,
        "entities": FIRST,
        "metadata": SIDECAR,
        "index": index,
        "times": {"acquired": 1_700_000_000.123456, "received": 1_700_000_002.5 + index, "converted": 1_700_000_002.503},
    }
    given["affine"][3] = 0, 0, 0, 1
    return volume_of(**{**given, **fields})


def written(*items: Item) -> bytes:
    file = io.BytesIO()
    bidsi.write(items, file)
    return file.getvalue()


def read(content: bytes) -> list[Item]:
    return list(bidsi.read(io.BytesIO(content), "x.tar"))


def names(content: bytes) -> list[str]:
    return [member.name for member in wire.members(io.BytesIO(content))]


def assert_same(found: Item, expected: Item) -> None:
    assert isinstance(found, Volume)
    assert isinstance(expected, Volume)
    assert found.data.dtype == expected.data.dtype
    assert found.data.tobytes("F") == expected.data.tobytes("F")
    assert found.affine.tobytes() == expected.affine.tobytes()
    for field in ("entities", "metadata", "index", "times", "slope", "inter", "events", "shape"):
        assert getattr(found, field) == getattr(expected, field), field


@pytest.mark.parametrize("dtype", ["<" + name for name in nifti.TYPE_CODES.values()])
def test_a_volume_is_read_bit_for_bit(dtype: str) -> None:
    made = volume(3, dtype)
    (found,) = read(written(made))
    assert_same(found, made)


@pytest.mark.parametrize(("slope", "inter"), [(1.0, 0.0), (0.1, -3.3), (2.5e-4, 1000.0), (-1.0, 0.0)])
def test_the_scale_is_read_bit_for_bit(slope: float, inter: float) -> None:
    made = volume(slope=slope, inter=inter)
    (found,) = read(written(made))
    assert_same(found, made)


def test_reading_and_writing_again_gives_the_same_bytes() -> None:
    content = written(volume(0), volume(1), RunEnd(FIRST, 2), volume(0, entities=SECOND), RunEnd(SECOND, 1))
    assert written(*read(content)) == content


def test_the_members_stand_in_the_documented_order_under_bids_names() -> None:
    events = "onset\tduration\n0\t1\n"
    assert names(written(volume(0, events=events), volume(1, events=events), RunEnd(FIRST, 2))) == [
        "dataset_description.json",
        f"{STEM}_bold.json",
        f"{STEM}_events.tsv",
        f"{STEM}_vol-00000_bold.json",
        f"{STEM}_vol-00000_bold.nii",
        f"{STEM}_vol-00001_bold.json",
        f"{STEM}_vol-00001_bold.nii",
        f"{STEM}_end.json",
    ]


def test_a_session_is_a_folder_of_its_own() -> None:
    assert names(written(volume(0, entities=SECOND)))[1] == "sub-01/ses-a/func/sub-01_ses-a_task-rest_run-1_echo-2_bold.json"


def test_interleaved_runs_are_kept_apart() -> None:
    other = {"RepetitionTime": 0.5}
    items: list[Item] = [
        volume(0),
        volume(0, "<u2", entities=SECOND, metadata=other),
        volume(1),
        RunEnd(FIRST, 2),
        volume(1, "<u2", entities=SECOND, metadata=other),
        RunEnd(SECOND, 2),
    ]
    found = read(written(*items))
    for place in (0, 1, 2, 4):
        assert_same(found[place], items[place])
    assert (found[3], found[5]) == (items[3], items[5])


def test_a_field_that_becomes_known_in_the_middle_of_a_run_is_known_from_there_on() -> None:
    later = {**SIDECAR, "EchoTime": 0.03, "RepetitionTime": 2.0, "MultibandAccelerationFactor": None}
    items = [volume(0), volume(1, metadata=later), volume(2, metadata=later), volume(3, metadata=SIDECAR | {"EchoTime": 0.03})]
    for found, expected in zip(read(written(*items)), items, strict=True):
        assert_same(found, expected)


def test_a_field_that_no_longer_holds_is_gone_from_there_on() -> None:
    fewer = {key: value for key, value in SIDECAR.items() if key != "SliceTiming"}
    items = [volume(0), volume(1, metadata=fewer), volume(2, metadata=fewer), volume(3, metadata=SIDECAR)]
    for found, expected in zip(read(written(*items)), items, strict=True):
        assert_same(found, expected)


def test_events_that_become_known_later_are_known_from_there_on() -> None:
    table = "onset\tduration\ttrial_type\n0\t10\trégulé\n"
    items = [volume(0), volume(1, events=table), volume(2, events=table)]
    content = written(*items)
    assert [item.events for item in read(content) if isinstance(item, Volume)] == [None, table, table]
    assert sum(name.endswith("events.tsv") for name in names(content)) == 1


def test_gaps_are_told_at_the_end_and_by_the_indices() -> None:
    found = read(written(volume(0), volume(3), RunEnd(FIRST, 2, (1, 2))))
    assert [item.index for item in found if isinstance(item, Volume)] == [0, 3]
    assert found[-1] == RunEnd(FIRST, 2, (1, 2))


def test_a_run_of_the_same_name_may_begin_again_after_its_end() -> None:
    again = {"RepetitionTime": 3.0}
    found = read(written(volume(0), RunEnd(FIRST, 1), volume(0, metadata=again), RunEnd(FIRST, 1)))
    assert isinstance(found[2], Volume)
    assert found[2].metadata == again


def test_a_volume_is_there_at_its_last_byte() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as source, open(writing, "wb", buffering=0) as sink:
        made = [volume(0), volume(1)]
        found = bidsi.read(source)

        def each() -> Any:
            for item in made:
                yield item
                assert_same(next(found), item)  # would wait for ever if it wanted a byte of the next

        bidsi.write(each(), sink)


def test_nothing_is_written_after_a_source_that_broke_so_that_the_reader_knows() -> None:
    def source() -> Any:
        yield volume(0)
        raise BadData("the series changed")

    file = io.BytesIO()
    with pytest.raises(BadData, match="the series changed"):
        bidsi.write(source(), file)
    found = bidsi.read(io.BytesIO(file.getvalue()), "x.tar")
    assert isinstance(next(found), Volume)
    with pytest.raises(StreamBroken, match=r"x\.tar ended before its end mark"):
        next(found)


def test_a_read_volume_is_a_view_of_what_came_and_read_only() -> None:
    (found,) = read(written(volume()))
    assert isinstance(found, Volume)
    assert not found.data.flags.writeable
    assert not found.data.flags.owndata


def test_unpacked_by_tar_the_volumes_are_nifti_files(tmp_path: Path) -> None:
    made = volume(0, "<u2", slope=0.5, inter=2.0)
    subprocess.run(["tar", "-xf", "-"], cwd=tmp_path, input=written(made), check=True)
    image = nibabel.load(tmp_path / f"{STEM}_vol-00000_bold.nii")
    np.testing.assert_array_equal(image.dataobj.get_unscaled(), made.data)
    np.testing.assert_array_equal(image.affine, made.affine)
    assert (image.dataobj.slope, image.dataobj.inter) == (0.5, 2.0)
    assert json.loads((tmp_path / f"{STEM}_bold.json").read_text()) == SIDECAR


def test_members_that_are_not_bids_i_are_passed_over() -> None:
    file = io.BytesIO()
    writer = wire.Writer(file)
    for name, content in [
        ("README", b"hello"),
        ("participants.tsv", b"participant_id\n"),
        ("sub-01/anat/sub-01_T1w.json", b"{"),
    ]:
        writer.write(name, content)
    writer.close()
    assert read(file.getvalue()) == []


def tampered(suffix: str, content: bytes) -> bytes:
    """Return a stream of one run in which the member that ends in `suffix` has other content."""
    file = io.BytesIO()
    writer = wire.Writer(file)
    for member in wire.members(io.BytesIO(written(volume(0, events="onset\tduration\n"), RunEnd(FIRST, 1)))):
        writer.write(member.name, content if member.name.endswith(suffix) else member.content)
    writer.close()
    return file.getvalue()


@pytest.mark.parametrize(
    ("suffix", "content", "said"),
    [
        ("run-01_bold.json", b"{", r"run-01_bold.json is not JSON"),
        ("run-01_bold.json", b"[]", r"run-01_bold.json is not a JSON object"),
        ("00000_bold.json", b"{}", r"expected a whole number 'index', found None"),
        ("00000_bold.json", b'{"index": -1}', r"expected a whole number 'index', found -1"),
        ("00000_bold.json", b'{"index": 0, "times": [1]}', r"expected an object 'times'"),
        ("00000_bold.json", b'{"index": 0, "times": {"received": "noon"}}', r"expected times in POSIX seconds"),
        ("00000_bold.json", b'{"index": 0, "gone": "all"}', r"expected a list of fields 'gone', found 'all'"),
        ("00000_bold.json", b'{"index": 0, "metadata": 3}', r"expected an object 'metadata', found 3"),
        ("end.json", b'{"count": "all"}', r"expected a whole number 'count', found 'all'"),
        ("end.json", b'{"count": 1, "missing": 3}', r"expected a list of indices 'missing', found 3"),
        ("end.json", b'{"count": 1, "missing": ["a"]}', r"expected a list of indices 'missing'"),
        ("events.tsv", b"\xff\xfe", r"_events.tsv is not UTF-8 text"),
    ],
)
def test_what_is_not_understood_breaks_the_stream(suffix: str, content: bytes, said: str) -> None:
    with pytest.raises(StreamBroken, match=r"^x\.tar: sub-01/func/.*" + said):
        read(tampered(suffix, content))


def test_a_volume_whose_size_and_header_disagree_is_bad_data() -> None:
    made = volume()
    with pytest.raises(BadData, match=r"00000_bold.nii has 357 bytes, expected 592 \(one volume\)"):
        read(tampered("00000_bold.nii", nifti.pack(made.header()) + b"short"))


def test_a_volume_without_its_json_before_it_breaks_the_stream() -> None:
    file = io.BytesIO()
    writer = wire.Writer(file)
    for member in wire.members(io.BytesIO(written(volume(0)))):
        if not member.name.endswith("00000_bold.json"):
            writer.write(member.name, member.content)
    with pytest.raises(StreamBroken, match=r"00000_bold.nii came without its JSON before it"):
        read(file.getvalue())


def test_a_volume_of_other_entities_is_a_run_of_its_own() -> None:
    other = replace(volume(0), entities={**FIRST, "run": "02"})
    found = read(written(volume(0), other))
    assert [item.entities["run"] for item in found] == ["01", "02"]
