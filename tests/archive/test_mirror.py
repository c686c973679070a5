"""A copy of a data set: what has changed crosses, and what another has made there is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbids.archive import mirror
from rtbids.errors import CannotWrite, StreamBroken

PLACE = "ssh://cloud/~/study"
RUN = "sub-01/func/sub-01_task-nf_run-01_bold.nii.gz"
NAMES = {RUN, "participants.tsv", "dataset_description.json", ".bidsignore"}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    root = tmp_path / "study"
    for name in (
        "sub-01/func/sub-01_task-nf_run-01_bold.nii.gz",
        "participants.tsv",
        "dataset_description.json",
        ".bidsignore",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / ".rtbids").mkdir()
    (root / ".rtbids" / "lock").touch()
    return root


def copied(study: Path, there: Path) -> tuple[list[str], list[str]]:
    """Copy what has changed; return the names that crossed and those that were refused."""
    origin = mirror.Origin(study)
    copy = mirror.Copy(there, origin.name)
    changed = origin.changed(PLACE, all_of_them=not copy.is_known)
    looks = {name: mirror.look(path) for name, path in changed.items()}
    lacking, refused = copy.lacking({name: mirror.sha256(path) for name, path in changed.items()})
    for name in lacking:
        copy.take(name, memoryview(changed[name].read_bytes()))
    copy.close()
    origin.copied(PLACE, {name: look for name, look in looks.items() if name not in refused})
    return lacking, refused


def content(root: Path) -> dict[str, str]:
    return {name: path.read_text() for name, path in mirror.files(root)}


def test_all_of_a_data_set_crosses_once_and_then_what_has_changed(study, tmp_path):
    lacking, refused = copied(study, tmp_path / "there")
    assert (set(lacking), refused) == (NAMES, [])
    assert lacking[-1] == "dataset_description.json"
    assert content(tmp_path / "there") == content(study)
    assert copied(study, tmp_path / "there") == ([], [])
    (study / "participants.tsv").write_text("one more")
    assert copied(study, tmp_path / "there") == (["participants.tsv"], [])
    assert content(tmp_path / "there") == content(study)


def test_what_was_changed_there_or_is_another_data_sets_is_left_alone(study, tmp_path):
    there = tmp_path / "there"
    copied(study, there)
    (there / "participants.tsv").write_text("changed there")
    (study / "participants.tsv").write_text("changed here")
    assert copied(study, there) == ([], ["participants.tsv"])
    assert (there / "participants.tsv").read_text() == "changed there"
    other = tmp_path / "other"
    (other / RUN).parent.mkdir(parents=True)
    (other / RUN).write_text("another run of this name")
    assert copied(other, there) == ([], [RUN])
    assert (there / RUN).read_text() == RUN


def test_a_copy_that_was_removed_is_made_anew(study, tmp_path):
    copied(study, tmp_path / "one")
    assert len(copied(study, tmp_path / "two")[0]) == 4


@pytest.mark.parametrize("name", ["../out", "/etc/x", ".rtbids/copied.json", "sub-01/.hidden"])
def test_a_name_that_is_no_part_of_a_data_set_is_refused(tmp_path, name):
    with pytest.raises(StreamBroken, match="expected a file of a data set"):
        mirror.Copy(tmp_path / "there", "me").lacking({name: "0"})


def test_a_link_that_leads_out_is_not_followed(tmp_path):
    (tmp_path / "out").mkdir()
    copy = mirror.Copy(tmp_path / "there", "me")
    (tmp_path / "there" / "sub-01").symlink_to(tmp_path / "out")
    name, sha256 = "sub-01/a.json", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # sha256sum of {}
    assert copy.lacking({name: sha256}) == ([name], [])
    with pytest.raises(CannotWrite, match="leads out"):
        copy.take(name, memoryview(b"{}"))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_content_that_is_not_what_was_said_is_refused(tmp_path):
    copy = mirror.Copy(tmp_path / "there", "me")
    copy.lacking({"a.json": "0" * 64})
    with pytest.raises(StreamBroken, match="not what was asked for"):
        copy.take("a.json", memoryview(b"{}"))
    assert not (tmp_path / "there" / "a.json").exists()
