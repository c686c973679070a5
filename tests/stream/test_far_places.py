"""Where a key that is confined leads, whatever path the near side names; and what may leave by it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtbids.cli import far, far_places, far_verbs
from rtbids.errors import UsageFault


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with an allowed folder ``in:here``, a forbidden one, and links from the one to the other."""
    monkeypatch.setattr(os, "environ", {**os.environ, "HOME": str(tmp_path)})
    (tmp_path / "in:here" / "study").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "in:here" / "way").symlink_to(tmp_path / "out")
    (tmp_path / "back").symlink_to(tmp_path / "in:here" / "study")
    far_places.allow([tmp_path / "in:here", tmp_path / "elsewhere"])
    return tmp_path


@pytest.mark.parametrize("text", ["/~/in:here/study", "{home}/in:here/study/x/../new.tar", "/~/back/new.tar", "/~/elsewhere"])
def test_a_place_within_is_found_however_it_is_written(text, home):
    found = far_places.path({"path": text.format(home=home)})
    assert found == Path(os.path.realpath(text.format(home=home).replace("/~", str(home))))


@pytest.mark.parametrize(
    "text",
    [
        "/~/out",
        "{home}/in:here/../out",
        "{home}/in:here/way/x.tar",
        "/~/in:here/study/../../out/x",
        "{home}/in",
        "/here",
        "/~/in:here2",
    ],
)
def test_a_place_without_is_refused_however_it_is_written(text, home):
    with pytest.raises(UsageFault, match="is not allowed here"):
        far_places.path({"path": text.format(home=home)})


@pytest.mark.parametrize("text", ["study", "", None, 3, "/", "/~/", "~/in:here", "/in:here\0/x"])
def test_what_is_no_whole_path_is_refused(text, home):
    with pytest.raises(UsageFault, match="expected a path"):
        far_places.path({"path": text})


def test_a_folder_with_a_link_that_leads_out_is_refused_and_one_with_a_link_within_is_not(home):
    study = home / "in:here" / "study"
    (study / "sub-01").mkdir()
    (study / "sub-01" / "func").symlink_to(home / "in:here" / "study")
    assert far_places.path({"path": str(study)}) == study
    (study / "sub-01" / "anat").symlink_to(home / "out")
    with pytest.raises(UsageFault, match="a link in it leads elsewhere"):
        far_places.path({"path": str(study)})


def test_where_nothing_is_confined_every_place_may_be_named(home):
    far_places.allow([])
    assert far_places.path({"path": "/~/in:here/way/x.tar"}) == home / "out" / "x.tar"
    far_places.check_name("scanner")


def test_a_key_that_is_confined_makes_no_names_and_runs_scripts_only_where_that_is_said(home):
    with pytest.raises(UsageFault, match="no source can stay connected"):
        far_places.check_name("scanner")
    assert set(far.VERBS) - set(far.allowed(None, is_confined=True)) == {"experiment"}
    assert set(far.allowed("experiment,copy", is_confined=True)) == {"experiment", "copy"}


@pytest.mark.parametrize("asked", [{"identified": True}, {"deidentify": False}])
def test_the_side_that_has_the_images_can_say_that_nothing_identifying_leaves(asked, home):
    far_places.check_leaving(asked)
    far_places.allow([], deidentified_only=True)
    with pytest.raises(UsageFault, match="does not leave here"):
        far_places.check_leaving(asked)
    far_places.check_leaving({"deidentify": True, "identified": False})


def test_of_a_place_that_is_asked_after_it_is_said_whether_it_is_there(tmp_path, monkeypatch):
    monkeypatch.delenv("RTBIDS_FAR_WITHIN", raising=False)
    said = far_verbs._place({"path": f"{tmp_path}/study/x"})["place"]
    assert (said["is_there"], said["is_writable"]) == (False, True)
    assert far_verbs._place({"path": str(tmp_path)})["place"]["is_there"]
    assert far_verbs._place({"path": ""}) == far_verbs._place({}) == {}
    monkeypatch.setenv("RTBIDS_FAR_WITHIN", f'["{tmp_path}"]')
    assert "is not allowed here" in far_verbs._place({"path": "/etc"})["place"]["refused"]
