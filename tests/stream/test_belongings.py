"""What belongs to the runs of a stream: description, README, participants; and what of a stranger's stream is not taken."""

from __future__ import annotations

import io
import json
import logging
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rtbids.bids import dataset
from rtbids.stream import bidsi, folder, wire
from rtbids.volume import Belongings, Item, RunEnd, Volume, volume_of

ONE = {"subject": "01", "session": "a", "task": "nf", "run": "1"}
TWO = {"subject": "02", "session": "a", "task": "nf", "run": "1"}
METADATA = {"RepetitionTime": 2.0}
EVENTS = "onset\tduration\ttrial_type\tnote\n0\t2\tgo\tlauter übung\n3\tn/a\tpress\tn/a\n"
FILES = {
    "dataset_description.json": b'{"Name": "theirs", "BIDSVersion": "1.8.0"}',
    "README": b"line one\r\nno UTF-8: \xff\n",
    "CHANGES": b"1.0.0 2020-01-01\n",
    "participants.json": b'{"age": {"Units": "year"}}',
    "sessions.json": b'{"mood": {"Description": "how it was"}}',
    "events.json": b'{"note": {"Description": "free"}}',
}


def belongings(age: str = "31") -> Belongings:
    return Belongings(FILES, {"participants": {"age": age, "hand": "n/a"}, "sessions": {"mood": "fröhlich"}})


def volume(index: int = 0, entities=ONE, **fields) -> Volume:
    data = np.full((2, 3, 4), index, np.int16)
    return volume_of(data, np.eye(4), entities, METADATA, index, **{"events": EVENTS, "belongings": belongings(), **fields})


def written(*items: Item) -> bytes:
    file = io.BytesIO()
    bidsi.write(items, file)
    return file.getvalue()


def contents(stream: bytes) -> list[tuple[str, bytes]]:
    return [(member.name, bytes(member.content)) for member in wire.members(io.BytesIO(stream))]


def read(stream: bytes) -> list[Item]:
    return list(bidsi.read(io.BytesIO(stream), "x.tar"))


def stream_of(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    writer = wire.Writer(file)
    for name, content in members:
        writer.write(name, content)
    writer.close()
    return file.getvalue()


def test_what_belongs_to_a_run_is_the_same_at_the_other_end() -> None:
    found = read(written(volume(0), volume(1), RunEnd(ONE, 2)))
    assert [item.belongings for item in found[:2]] == [belongings(), belongings()]
    assert found[0].belongings is found[1].belongings


def test_everything_stands_once_under_its_name_in_bids_before_the_run() -> None:
    names = [name for name, _ in contents(written(volume(0), volume(1)))]
    assert names[:10] == [
        "dataset_description.json",
        "README",
        "CHANGES",
        "participants.json",
        "sub-01/sub-01_sessions.json",
        "sub-01/ses-a/func/sub-01_ses-a_task-nf_run-1_events.json",
        "participants.tsv",
        "sub-01/sub-01_sessions.tsv",
        "sub-01/ses-a/func/sub-01_ses-a_task-nf_run-1_bold.json",
        "sub-01/ses-a/func/sub-01_ses-a_task-nf_run-1_events.tsv",
    ]
    assert len(names) == len(set(names))


def test_a_further_subject_brings_its_row_and_nothing_twice() -> None:
    items = [volume(0), RunEnd(ONE, 1), volume(0, TWO, belongings=belongings("n/a")), RunEnd(TWO, 1)]
    stream = written(*items)
    tables = [content.decode() for name, content in contents(stream) if name == "participants.tsv"]
    assert tables == [
        "participant_id\tage\thand\nsub-01\t31\tn/a\n",
        "participant_id\tage\thand\nsub-01\t31\tn/a\nsub-02\tn/a\tn/a\n",
    ]
    assert [name for name, _ in contents(stream)].count("README") == 1
    assert [item.belongings for item in read(stream) if isinstance(item, Volume)] == [belongings("31"), belongings("n/a")]


def test_a_data_set_takes_nothing_from_another_one_that_flows_before_it() -> None:
    other = Belongings({"dataset_description.json": b'{"Name": "another"}', "CHANGES": FILES["CHANGES"]}, {})
    runs = [(ONE, belongings()), (ONE | {"run": "2"}, other), (ONE | {"run": "3"}, belongings())]
    found = read(written(*(volume(0, entities, belongings=those) for entities, those in runs)))
    assert [item.belongings for item in found if isinstance(item, Volume)] == [those for _, those in runs]


def test_a_run_that_begins_again_has_its_sidecar_of_events_again() -> None:
    found = read(written(volume(0), RunEnd(ONE, 1), volume(0), RunEnd(ONE, 1)))
    assert found[2].belongings == belongings()


def test_runs_of_no_data_set_have_no_belongings_and_the_stream_a_description() -> None:
    stream = written(volume(0, belongings=None))
    assert json.loads(contents(stream)[0][1])["Name"] == "rtbids stream"
    assert read(stream)[0].belongings is None


@pytest.mark.parametrize("items", [(), (RunEnd(ONE, 0, (0, 1, 2)),)])
def test_a_stream_without_a_volume_is_whole(items: tuple[Item, ...]) -> None:
    assert contents(written(*items))[0][0] == "dataset_description.json"
    assert tuple(read(written(*items))) == items


def test_each_volume_has_the_events_of_its_own_tr() -> None:
    stream = written(volume(0), volume(1), volume(2))
    told = [
        json.loads(content).get("events") for name, content in contents(stream) if "_vol-" in name and name.endswith("json")
    ]
    assert told == [
        [{"onset": 0.0, "duration": 2.0, "trial_type": "go", "note": "lauter übung"}],
        [{"onset": 3.0, "duration": None, "trial_type": "press", "note": "n/a"}],
        None,
    ]


def test_events_that_nobody_can_read_go_along_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="rtbids"):
        (found,) = read(written(volume(0, events="onset\tlength\n1\t2\n")))
    assert found.events == "onset\tlength\n1\t2\n"
    assert "found no duration; the table goes along as it is" in caplog.text


@pytest.mark.parametrize(
    "name",
    [
        "sub-01/README",
        "code/run.sh",
        ".bidsignore",
        "sub-02/sub-01_sessions.tsv",
        "sub-../sub-.._sessions.tsv",
        "derivatives/participants.tsv",
        "sub-01/ses-a/func/sub-01_ses-a_task-nf_run-2_events.json",
    ],
)
def test_a_file_of_another_name_is_nobodys(name: str) -> None:
    stream = stream_of((name, b"participant_id\n"), *contents(written(volume(0, belongings=None))))
    assert read(stream)[0].belongings is None


def test_what_is_too_long_is_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    half = bytes(dataset.LARGEST_FILES // 2)
    members = [("README", half), ("CHANGES", half), ("LICENSE", b"one more")]
    with caplog.at_level(logging.WARNING, logger="rtbids"):
        (found,) = read(stream_of(*members, *contents(written(volume(0, belongings=None)))))
    assert set(found.belongings.files) == {"README", "CHANGES"}
    assert "x.tar: LICENSE is too long and left out" in caplog.text


@pytest.mark.parametrize("table", [b"age\n31\n", b"participant_id\tage\nsub-01\n", b""])
def test_a_table_that_is_none_is_left_out_and_named(table: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="rtbids"):
        (found,) = read(stream_of(("participants.tsv", table), *contents(written(volume(0, belongings=None)))))
    assert found.belongings is None
    assert "participants.tsv" in caplog.text


def test_what_tar_has_unpacked_is_the_stream_again(tmp_path: Path) -> None:
    other = {**ONE, "run": "10"}
    interleaved = [volume(0), volume(0, other), volume(1), volume(1, other), RunEnd(other, 2), volume(12), RunEnd(ONE, 3, (7,))]
    subprocess.run(["tar", "-xf", "-"], cwd=tmp_path, input=written(*interleaved), check=True)
    assert folder.is_bidsi(tmp_path)
    assert (tmp_path / "CHANGES").exists()
    assert next(folder.members(tmp_path)).name == "dataset_description.json"
    found = list(bidsi.decode(folder.members(tmp_path), "unpacked"))
    expected = [(ONE, 0), (ONE, 1), (ONE, 12), RunEnd(ONE, 3, (7,)), (other, 0), (other, 1), RunEnd(other, 2)]
    assert [item if isinstance(item, RunEnd) else (item.entities, item.index) for item in found] == expected
    for item in found:
        if isinstance(item, Volume):
            assert (item.data == item.index).all()
            assert (item.events, item.belongings, item.metadata) == (EVENTS, belongings(), METADATA)
