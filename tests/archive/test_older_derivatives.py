"""A derivative data set that an older rtbids began is brought up to date, and what somebody wrote into it stays."""

from __future__ import annotations

import json
from pathlib import Path

import growth
import pytest

from rtbids.archive.dataset import Archive

OLDER = {
    "Name": "old",
    "BIDSVersion": "1.8.0",
    "DatasetType": "derivative",
    "GeneratedBy": [{"Name": "rtbids", "Version": "0.0.1"}],
}


def older(root: Path, ignored: str, **fields: object) -> Path:
    place = root / "derivatives" / "rtbids"
    place.mkdir(parents=True)
    (place / ".bidsignore").write_text(ignored)
    (place / "dataset_description.json").write_text(json.dumps({**OLDER, **fields}))
    return place


def grow(root: Path, label: str = "01") -> None:
    with Archive(root) as archive:
        run = archive.begin(growth.volume(0, entities={**growth.RUN, "run": label}))
        run.table("feedback", ("volume",), {"Sources": ["bids:raw:sub-01/func/sub-01_task-nf_run-01_bold.nii.gz"]})
        run.derivative("", "contrast-go_stat-t_statmap", ".nii.gz").touch()
        run.end()


@pytest.mark.parametrize(
    "ignored", ["", "*_timeseries.tsv\n", "*.html\nmine/", "*_timeseries.tsv\n*_timeseries.json\n*.html\n"]
)
def test_patterns_that_an_older_one_lacks_are_added_once_and_others_stay(tmp_path, errors_of, ignored):
    root = tmp_path / "study"
    grow(root)
    place = root / "derivatives" / "rtbids"
    whole = (place / ".bidsignore").read_text()
    (place / ".bidsignore").write_text(ignored)
    for label in ("02", "03"):
        grow(root, label)
        lines = (place / ".bidsignore").read_text().splitlines()
        assert lines[: len(ignored.splitlines())] == ignored.splitlines()
        assert sorted(lines) == sorted({*whole.splitlines(), *ignored.splitlines()})
    assert errors_of(root) == []
    assert errors_of(place) == []


def test_the_description_learns_where_sources_lie_and_keeps_the_rest(tmp_path):
    place = older(tmp_path / "study", "", DatasetLinks={"atlas": "file:///atlas"})
    (tmp_path / "study" / "dataset_description.json").write_text('{"Name": "s", "BIDSVersion": "1.8.0"}')
    grow(tmp_path / "study")
    found = json.loads((place / "dataset_description.json").read_text())
    assert found == {**OLDER, "DatasetLinks": {"raw": "../..", "atlas": "file:///atlas"}}


def test_a_description_that_is_no_json_is_left_as_it_is_and_named(tmp_path, caplog):
    place = older(tmp_path / "study", "")
    (tmp_path / "study" / "dataset_description.json").write_text('{"Name": "s", "BIDSVersion": "1.8.0"}')
    (place / "dataset_description.json").write_text("{")
    grow(tmp_path / "study")
    assert (place / "dataset_description.json").read_text() == "{"
    assert "left as it is" in caplog.text
