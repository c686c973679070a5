"""What belongs to a run goes into the data set: all of it into a new one, what it lacks into another one."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import growth
import pytest

from rtbids.archive import dataset
from rtbids.archive.dataset import Archive
from rtbids.bids.dataset import BIDS_VERSION
from rtbids.pipeline import with_events
from rtbids.volume import Belongings, RunEnd

SESSION = {**growth.RUN, "session": "a"}
DESCRIPTION = {"Name": "theirs", "BIDSVersion": "1.8.0", "License": "CC0", "GeneratedBy": [{"Name": "dcm2niix"}]}
FILES = {
    "dataset_description.json": json.dumps(DESCRIPTION).encode(),
    "README.rst": "Größe\r\n".encode(),
    "LICENSE": b"CC0\n",
    "participants.json": b'{"age": {"Units": "year"}, "hand": {"Description": "writes with"}}',
    "sessions.json": b'{"mood": {"Description": "said"}}',
    "events.json": b'{"trial_type": {"Levels": {"regulate": "up"}}}',
}
BELONGINGS = Belongings(FILES, {"participants": {"age": "31", "hand": "n/a"}, "sessions": {"mood": "good"}})
STEM = "sub-01/ses-a/func/sub-01_ses-a_task-nf_run-01"


def add(root: Path, entities=SESSION, belongings=BELONGINGS, **fields) -> None:
    volume = growth.volume(0, entities=entities, belongings=belongings, **{"events": growth.EVENTS, **fields})
    with Archive(root) as archive:
        dataset.add([volume, RunEnd(entities, 1)], archive)


def described(root: Path) -> dict:
    return json.loads((root / "dataset_description.json").read_text())


def study(root: Path, name: str = "theirs") -> None:
    """Make a data set by hand."""
    (root / "sub-01").mkdir(parents=True)
    (root / "dataset_description.json").write_text(json.dumps({**DESCRIPTION, "Name": name, "License": "PDDL"}))
    (root / "README").write_text("mine\n")
    (root / "participants.tsv").write_bytes(b"participant_id\tsite\tage\r\nsub-01\tA\t44\r\nsub-9\tB\tn/a\r\n")
    (root / "participants.json").write_text('{"age": {"Units": "month"}}')


def test_a_new_data_set_becomes_the_one_that_the_run_comes_from(tmp_path, errors_of):
    add(tmp_path)
    told = described(tmp_path)
    assert [one["Name"] for one in told.pop("GeneratedBy")] == ["dcm2niix", "rtbids"]
    assert told == {"Name": "theirs", "BIDSVersion": "1.8.0", "License": "CC0", "DatasetType": "raw"}
    assert (tmp_path / "README.rst").read_bytes() == FILES["README.rst"]
    assert not (tmp_path / "README.md").exists()
    for place in ("LICENSE", "participants.json"):
        assert (tmp_path / place).read_bytes() == FILES[place]
    assert (tmp_path / "participants.tsv").read_text() == "participant_id\tage\thand\nsub-01\t31\tn/a\n"
    assert (tmp_path / "sub-01/sub-01_sessions.tsv").read_text() == "session_id\tmood\nses-a\tgood\n"
    assert (tmp_path / "sub-01/sub-01_sessions.json").read_bytes() == FILES["sessions.json"]
    assert (tmp_path / f"{STEM}_events.json").read_bytes() == FILES["events.json"]
    assert errors_of(tmp_path) == []


def test_a_further_run_of_the_same_data_set_is_no_news(tmp_path, caplog):
    add(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.glob("[!.]*.*")}
    with caplog.at_level(logging.WARNING, logger="rtbids"):
        add(tmp_path, {**SESSION, "run": "02"})
    assert {path: path.read_bytes() for path in tmp_path.glob("[!.]*.*")} == before
    assert caplog.text == ""


def test_a_data_set_keeps_what_a_person_wrote_and_gets_what_it_lacks(tmp_path, caplog, errors_of):
    study(tmp_path)
    with caplog.at_level(logging.WARNING, logger="rtbids"):
        add(tmp_path)
    assert described(tmp_path)["License"] == "PDDL"
    assert (tmp_path / "README").read_text() == "mine\n"
    assert not (tmp_path / "README.rst").exists()
    assert (tmp_path / "LICENSE").read_bytes() == FILES["LICENSE"]
    assert (tmp_path / "participants.tsv").read_bytes() == (
        b"participant_id\tsite\tage\thand\r\nsub-01\tA\t44\tn/a\r\nsub-9\tB\tn/a\tn/a\r\n"
    )
    assert json.loads((tmp_path / "participants.json").read_text()) == {
        "age": {"Units": "month"},
        "hand": {"Description": "writes with"},
    }
    assert [record.message for record in caplog.records] == [
        "README.rst, dataset_description.json: what came with the run is different, and not kept",
        "participants.tsv, sub-01: age differs from what came with the run, and stays",
    ]


def test_another_study_does_not_become_the_source_of_the_run(tmp_path, caplog):
    study(tmp_path, "mine")
    with caplog.at_level(logging.WARNING, logger="rtbids"):
        add(tmp_path)
        add(tmp_path, {**SESSION, "run": "02"})
    assert not (tmp_path / "LICENSE").exists()
    assert "the run is of the data set 'theirs'; 'mine' keeps its own description and README" in caplog.text


def test_a_data_set_begun_at_the_scanner_keeps_the_description_it_has(tmp_path):
    add(tmp_path, belongings=None)
    before = (tmp_path / "dataset_description.json").read_bytes()
    add(tmp_path, {**SESSION, "run": "02"})
    assert (tmp_path / "dataset_description.json").read_bytes() == before
    assert (tmp_path / "README.md").exists()


def test_a_subject_that_is_renamed_on_the_way_takes_its_row_along(tmp_path):
    add(tmp_path, {**growth.RUN, "subject": "07"})
    assert (tmp_path / "participants.tsv").read_text() == "participant_id\tage\thand\nsub-07\t31\tn/a\n"


def test_other_events_do_not_take_the_sidecar_of_the_replaced_ones(tmp_path):
    volumes = [growth.volume(0, belongings=BELONGINGS, events=growth.EVENTS)]
    with Archive(tmp_path) as archive:
        dataset.add(with_events(volumes, "onset\tduration\n1\t2\n", override=True), archive)
    assert not list(tmp_path.rglob("*_events.json"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dataset_description.json", b"{"),
        ("dataset_description.json", b"[1]"),
        ("participants.json", b"nothing"),
        ("events.json", b"\xff"),
        ("events.json", b"[]"),
    ],
)
def test_a_strangers_file_that_is_no_json_costs_itself_only(tmp_path, name, content, errors_of):
    add(tmp_path, belongings=replace(BELONGINGS, files={**FILES, name: content}))
    assert (tmp_path / f"{STEM}_bold.nii.gz").exists()
    assert errors_of(tmp_path) == []


def test_a_table_that_nobody_can_read_stays_as_it_is(tmp_path, caplog):
    study(tmp_path)
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-01\n")
    with caplog.at_level(logging.WARNING, logger="rtbids"):
        add(tmp_path)
    assert (tmp_path / "participants.tsv").read_text() == "participant_id\tage\nsub-01\n"
    assert "as many cells in every row; it is left as it is" in caplog.text


def test_events_that_were_there_before_a_run_survive_its_withdrawal(tmp_path, monkeypatch):
    add(tmp_path, belongings=None)
    mine = tmp_path / f"{STEM.replace('run-01', 'run-02')}_events.tsv"
    mine.write_text(growth.EVENTS)
    monkeypatch.setattr("rtbids.archive.study.Study.list_participants", lambda study: 1 / 0)
    with Archive(tmp_path) as archive, pytest.raises(ZeroDivisionError):
        archive.begin(growth.volume(0, entities={**SESSION, "run": "02"}, events=growth.EVENTS))
    assert mine.read_text() == growth.EVENTS


def test_a_run_that_ends_without_a_volume_is_named_and_makes_nothing(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="rtbids"), Archive(tmp_path) as archive:
        assert dataset.add([RunEnd(growth.RUN, 0, (0, 1))], archive) == {}
    assert caplog.messages == ["sub-01_task-nf_run-01: the run ended without a volume"]
    assert not list(tmp_path.glob("sub-*"))


def test_what_was_filled_in_before_is_still_said_to_be(tmp_path):
    add(tmp_path, metadata={**growth.METADATA, "FilledVolumes": [0]})
    assert json.loads((tmp_path / f"{STEM}_bold.json").read_text())["FilledVolumes"] == [0]


def die_when(event: str, place: str) -> None:
    """Arrange for the death of this process just before a file is renamed to `place`, or removed from there."""

    def hook(name, arguments):
        if name == event and str(arguments[1 if event == "os.rename" else 0]) == place:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ("os.remove", "README.md"),
        ("os.rename", "README.rst"),
        ("os.rename", "LICENSE"),
        ("os.rename", "dataset_description.json"),
    ],
)
def test_a_new_data_set_that_a_kill_left_half_described_is_described_by_the_next_run(tmp_path, event, name, errors_of):
    root = tmp_path / "study"
    Archive(root).close()
    code = f"import test_kept_belongings as t; t.die_when({event!r}, {str(root / name)!r}); t.add(t.Path({str(root)!r}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=False).returncode == -signal.SIGKILL
    assert errors_of(root) == []
    add(root, {**SESSION, "run": "02"})
    assert described(root)["License"] == "CC0"
    assert (root / "README.rst").read_bytes() == FILES["README.rst"]
    assert not (root / "README.md").exists()
    assert (root / "LICENSE").read_bytes() == FILES["LICENSE"]
    assert errors_of(root) == []


@pytest.mark.parametrize("wrong", [3, None, ["theirs"], " "])
def test_a_name_or_version_that_is_no_text_is_not_taken_over(tmp_path, wrong, caplog, errors_of):
    there = json.dumps({**DESCRIPTION, "Name": wrong, "BIDSVersion": wrong}).encode()
    with caplog.at_level(logging.WARNING, logger="rtbids"):
        add(tmp_path, belongings=replace(BELONGINGS, files={**FILES, "dataset_description.json": there}))
    told = described(tmp_path)
    assert (told["Name"], told["BIDSVersion"], told["License"]) == (tmp_path.name, BIDS_VERSION, "CC0")
    assert "Name, BIDSVersion is no text; the data set keeps its own" in caplog.text
    assert errors_of(tmp_path) == []
