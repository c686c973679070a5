"""A copy of a data set: what has changed crosses, what another has made there is left alone, and a kill leaves it whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import copies
import growth
import pytest
from copies import copied, manifest

from rtbids.archive import mirror
from rtbids.archive.dataset import Archive
from rtbids.archive.origin import Origin
from rtbids.errors import CannotWrite, StreamBroken
from rtbids.volume import RunEnd

RUN = "sub-01/func/sub-01_task-nf_run-01_bold.nii.gz"
SIDECAR = "sub-01/func/sub-01_task-nf_run-01_bold.json"
NAMES = {RUN, SIDECAR, "participants.tsv", "dataset_description.json", ".bidsignore"}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return copies.study(tmp_path / "study", NAMES)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


def content(root: Path) -> dict[str, str]:
    found = (path for path in root.rglob("*") if path.is_file() and ".rtbids" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_text() for path in found}


def test_all_of_a_data_set_crosses_once_and_then_what_has_changed(study, there):
    assert copied(study, there) == (NAMES, NAMES, set())
    assert content(there) == content(study)
    assert copied(study, there) == (set(), NAMES, set())
    (study / "participants.tsv").write_text("one more")
    assert copied(study, there) == ({"participants.tsv"}, NAMES, set())
    assert content(there) == content(study)


def test_what_was_changed_there_or_is_another_data_sets_is_left_alone(study, there, tmp_path):
    copied(study, there)
    (there / "participants.tsv").write_text("changed there")
    (study / "participants.tsv").write_text("changed here")
    assert copied(study, there) == (set(), NAMES - {"participants.tsv"}, {"participants.tsv"})
    assert (there / "participants.tsv").read_text() == "changed there"
    other = copies.study(tmp_path / "other", {RUN})
    (other / RUN).write_text("another run of this name")
    assert copied(other, there) == (set(), set(), {RUN})
    assert (there / RUN).read_text() == RUN


def test_what_is_made_there_while_files_cross_is_left_alone(study, there):
    copied(study, there)
    (study / SIDECAR).write_text("changed here")
    copy, files = copies.half_copied(study, there)
    (there / SIDECAR).write_text("changed there meanwhile")
    here, refused = copy.place()
    assert (set(here), refused) == (set(files) - {SIDECAR}, [SIDECAR])
    assert (there / SIDECAR).read_text() == "changed there meanwhile"


def test_a_copy_that_was_removed_is_made_anew(study, tmp_path):
    copied(study, tmp_path / "one")
    assert copied(study, tmp_path / "two") == (NAMES, NAMES, set())


def test_files_and_folders_keep_their_modes(study, there):
    (study / RUN).chmod(0o600)
    (study / "sub-01").chmod(0o710)
    (study / "sub-01" / "func").chmod(0o700)
    copied(study, there)
    names = (RUN, SIDECAR, "sub-01", "sub-01/func", ".")
    assert [(there / name).stat().st_mode for name in names] == [(study / name).stat().st_mode for name in names]


def test_what_came_from_the_scanner_is_hidden_or_a_link_stays_here(study, there):
    for name in ("sourcedata/sub-01/1.dcm", "derivatives/x/sourcedata/y", "code/.secret", ".git/config"):
        (study / name).parent.mkdir(parents=True, exist_ok=True)
        (study / name).write_text(name)
    (study / "link.tsv").symlink_to(study / "participants.tsv")
    assert copied(study, there)[0] == NAMES


def test_a_file_that_changes_while_it_is_read_is_left_to_the_next_copy(study, there):
    copied(study, there)
    (study / SIDECAR).write_text("first")
    (study / "participants.tsv").write_text("first")
    copy, _ = copies.half_copied(study, there, lambda path: path.read_bytes().replace(b"first", b"later"))
    here, refused = copy.place()
    assert (set(here), refused) == (NAMES - {SIDECAR, "participants.tsv"}, [])
    assert content(there) == {name: name for name in NAMES}
    assert copied(study, there) == ({SIDECAR, "participants.tsv"}, NAMES, set())


def test_what_came_before_a_connection_was_lost_is_not_sent_again(study, there):
    copies.half_copied(study, there, count=3)
    assert content(there) == {}
    lacking, here, _ = copied(study, there)
    assert (len(lacking), here) == (2, NAMES)
    assert content(there) == content(study)


def test_a_kill_at_a_step_leaves_each_file_as_it_was_or_is_to_be(tmp_path):
    done = subprocess.run([sys.executable, copies.__file__, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert {len(step["changed"]) for step in steps} > {0, 3}  # killed before, within and after what takes their places
    for step in steps:
        assert step["odd"] == []
        assert step["then"] == [sorted(copies.FILES), []], f"killed at step {step['step']}"


def test_a_run_that_grows_waits_for_its_end_and_leaves_the_copy_valid(tmp_path, there, errors_of):
    root = tmp_path / "study"
    second = {**growth.RUN, "subject": "02"}
    with Archive(root) as archive:
        archive.begin(growth.volume(0)).end(RunEnd(growth.RUN, 0))
    with Archive(root) as archive:
        run = archive.begin(growth.volume(0, entities=second), growth.EVENTS)
        run.table("feedback", ("volume", "value"), {}).row((0, 1.5))
        copied(root, there)
        assert {path.name for path in there.rglob("sub-*_bold.*")} == {Path(RUN).name, Path(SIDECAR).name}
        assert list(there.rglob("sub-02*")) == []
        assert errors_of(there) == []
    copied(root, there)
    assert content_names(there) == content_names(root)
    assert not list(there.rglob("*_bold.nii"))


def content_names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and ".rtbids" not in path.parts}


def test_images_that_take_their_places_leave_the_data_set_valid(tmp_path, there, errors_of):
    root = tmp_path / "study"
    with Archive(root) as archive:
        archive.begin(growth.volume(0), growth.EVENTS).end(RunEnd(growth.RUN, 0))
    copied(root, there)
    second = {**growth.RUN, "subject": "02"}
    with Archive(root) as archive:
        archive.begin(growth.volume(0, entities=second), growth.EVENTS).end(RunEnd(second, 0))
    names = sorted((name for name in Origin(root).files() if "sub-02" in name or name == "participants.tsv"), key=mirror.turn)
    assert [name.rpartition("/")[2] for name in names] == [
        "participants.tsv",
        "sub-02_task-nf_run-01_bold.nii.gz",
        "sub-02_task-nf_run-01_bold.json",
        "sub-02_task-nf_run-01_events.tsv",
        "sub-02_scans.tsv",
    ]
    for count, name in enumerate(names):
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_bytes((root / name).read_bytes())
        if count in (0, 3):  # the row before its folder, the run before its row
            assert errors_of(there) == []


def test_an_image_is_let_go_of_where_it_is_safe_and_as_it_was_copied(study):
    (study / (plain := RUN.removesuffix(".gz"))).write_text("an image that is not packed")
    (study / (other := RUN.replace("run-01", "run-02"))).write_text("copied")
    origin = Origin(study)
    files = origin.files()
    (study / other).write_text("another one since")
    origin.empty(files)
    assert [(study / name).stat().st_size > 0 for name in (RUN, SIDECAR, plain, other)] == [False, True, True, True]
    assert RUN not in origin.files()


@pytest.mark.parametrize("name", ["../out", "/etc/x", ".rtbids/copied.json", "sub-01/.hidden"])
def test_a_name_that_is_no_part_of_a_data_set_is_refused(there, name):
    with pytest.raises(StreamBroken, match="expected a file of a data set"):
        mirror.Copy(there, "me").lacking({"files": {name: ["0", 1, 0o644]}, "folders": {}})


@pytest.mark.parametrize("said", [{}, {"files": [], "folders": {}}, {"files": {"a": 1}, "folders": {}}])
def test_what_is_no_list_of_files_is_refused(there, said):
    with pytest.raises(StreamBroken, match="found something else"):
        mirror.Copy(there, "me").lacking(said)


def test_a_link_that_leads_out_is_not_followed(study, there, tmp_path):
    (tmp_path / "out").mkdir()
    copy, _ = copies.half_copied(study, there)
    (there / "sub-01").symlink_to(tmp_path / "out")
    with pytest.raises(CannotWrite, match="leads out"):
        copy.place()
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_of_other_files_is_no_place_for_a_copy(there):
    there.mkdir()
    (there / "thesis.tex").touch()
    with pytest.raises(CannotWrite, match="expected a BIDS data set or an empty folder"):
        mirror.Copy(there, "me")


def test_what_was_not_asked_for_is_passed_over(study, there):
    copy = mirror.Copy(there, "me")
    copy.take("a.json", memoryview(b"{}"))
    copy.lacking(manifest(Origin(study)))
    copy.take("a.json", memoryview(b"{}"))
    assert copy.place() == ([], [])
    assert content(there) == {}
