"""A run that a killed process left goes on where it stood, in the same file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtbids.archive.dataset import Archive, add
from rtbids.convert import bids
from rtbids.errors import BadData
from rtbids.volume import Item, RunEnd, Volume, volume_of

ENTITIES = {"subject": "01", "task": "nf", "run": "01"}
NAME = "sub-01_task-nf_run-01"


def volume(index: int) -> Volume:
    data = np.random.default_rng(index).integers(0, 1000, (4, 3, 2)).astype(np.int16)
    metadata = {"RepetitionTime": 1.0, "TaskName": "nf", "EchoTime": 0.03}
    return volume_of(data, np.diag([3.0, 3, 4, 1]), ENTITIES, metadata, index, events="onset\tduration\n1.0\t1.0\n")


def left(root: Path, indices: list[int]) -> None:
    archive = Archive(root)
    add(map(volume, indices), archive, leaves_open=True)
    archive.leave()


def stored(root: Path) -> list[Item]:
    (run,) = bids.runs_of(root)
    return list(bids.items(run))


@pytest.mark.parametrize(("before", "after"), [([0, 1, 2], [3, 4]), ([0, 2], [3, 5]), ([1], [2])])
def test_a_run_that_was_left_goes_on(before: list[int], after: list[int], tmp_path: Path):
    left(tmp_path, before)
    assert [item.index for item in stored(tmp_path) if isinstance(item, Volume)] == before  # valid meanwhile
    with Archive(tmp_path) as archive:
        assert archive.take_up([NAME]) == [NAME]
        assert archive.recover() == []
        items = [*map(volume, after), RunEnd(ENTITIES, len(before) + len(after))]
        add(items, archive)
    found = [item for item in stored(tmp_path) if isinstance(item, Volume)]
    assert [item.index for item in found] == before + after
    assert all(np.array_equal(item.data, volume(item.index).data) for item in found)
    assert sorted(path.name for path in tmp_path.rglob("*_bold.nii*")) == [f"{NAME}_bold.nii.gz"]
    assert (tmp_path / "sub-01/func" / f"{NAME}_events.tsv").read_text() == "onset\tduration\n1.0\t1.0\n"


def test_a_run_that_nobody_goes_on_with_is_finished_at_the_end(tmp_path: Path):
    left(tmp_path, [0, 1])
    with Archive(tmp_path) as archive:
        archive.take_up([NAME])
    assert [path.name for path in tmp_path.rglob("*_bold.nii*")] == [f"{NAME}_bold.nii.gz"]


def test_a_run_that_is_left_twice_is_as_it_was(tmp_path: Path):
    left(tmp_path, [0, 1])
    archive = Archive(tmp_path)
    archive.take_up([NAME])
    archive.leave()
    with Archive(tmp_path) as again:
        assert again.take_up([NAME]) == [NAME]
        add([volume(2)], again)
    assert [item.index for item in stored(tmp_path) if isinstance(item, Volume)] == [0, 1, 2]


def test_what_is_finished_or_was_never_there_is_not_taken_up(tmp_path: Path):
    with Archive(tmp_path) as archive:
        add([volume(0)], archive)
    with Archive(tmp_path) as archive:
        assert archive.take_up([NAME, "sub-02_task-nf_run-01"]) == []


def test_volumes_that_are_there_and_other_grids_are_refused(tmp_path: Path):
    left(tmp_path, [0, 1])
    with Archive(tmp_path) as archive:
        archive.take_up([NAME])
        with pytest.raises(BadData, match="expected a volume after 1, found volume 1"):
            archive.begin(volume(1))
