"""The data set is valid at every moment of a run, and stays so when the process is killed."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import growth
import nibabel
import numpy as np
import pytest

from rtbids.archive.dataset import Archive
from rtbids.volume import RunEnd

STEPS = 75  # on the disk, that a run of four volumes into a new data set takes
SECOND = {"subject": "02", "session": "a", "task": "nf", "run": "01"}


def test_no_error_from_creation_to_the_end_of_a_second_subject(tmp_path, errors_of):
    root = tmp_path / "study"
    with Archive(root) as archive:
        assert errors_of(root) == []
        for entities in (growth.RUN, SECOND):
            run = archive.begin(growth.volume(0, entities=entities), growth.EVENTS)
            run.table("feedback", ("volume", "value"), {"value": {"Units": "percent"}}).row((0, 1.5))
            assert errors_of(root) == []
            run.append(growth.volume(1, entities=entities))
            run.append(growth.volume(3, entities=entities))
            assert errors_of(root) == []
            run.end(RunEnd(entities, 3, (2,)))
    assert errors_of(root) == []
    assert errors_of(root / "derivatives" / "rtbids") == []


def test_the_validator_is_able_to_find_errors(tmp_path, errors_of):
    with Archive(tmp_path / "study") as archive:
        archive.begin(growth.volume(0))
    next((tmp_path / "study").rglob("*_bold.json")).unlink()
    assert errors_of(tmp_path / "study") != []


def killed(root: Path, step: int) -> list[tuple[str, int]]:
    """Archive four volumes in a process that kills itself at `step`; return the volumes whose append had returned."""
    command = [sys.executable, growth.__file__, str(root), "4", str(step)]
    writer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert writer.returncode == -9, writer.stderr
    return [(line.split()[0], int(line.split()[1])) for line in writer.stdout.splitlines()]


def volumes_there(root: Path, name: str) -> np.ndarray:
    """Return the 4-D array that nibabel reads of a run, the same from each file there is of it."""
    arrays = [np.asarray(nibabel.load(file).dataobj) for file in root.rglob(f"{name}_bold.nii*") if ".rtbids" not in file.parts]
    assert arrays
    for array in arrays[1:]:
        np.testing.assert_array_equal(array, arrays[0])
    return arrays[0]


@pytest.mark.parametrize("step", sorted(random.Random(7).sample(range(8, STEPS), 20)))
def test_a_killed_writer_leaves_a_valid_data_set_with_every_acknowledged_volume(tmp_path, errors_of, step):
    root = tmp_path / "study"
    acknowledged = killed(root, step)
    found = errors_of(root) if (root / "dataset_description.json").exists() else []  # before that it is no data set yet
    assert found == []
    before = {name: volumes_there(root, name) for name, _ in acknowledged}
    for name, index in acknowledged:
        np.testing.assert_array_equal(before[name][..., index], growth.voxels_of(index, growth.GRID))

    with Archive(root) as archive:
        archive.recover()
        assert archive.number({"subject": "01", "task": "nf"}) == ("02" if acknowledged else archive_label(root))
    assert errors_of(root) == []
    assert not [*root.glob("sub-*/func/*.nii"), *(root / ".rtbids" / "tmp").iterdir(), *root.glob(".rtbids/growing/*")]
    for name, voxels in before.items():
        np.testing.assert_array_equal(volumes_there(root, name), voxels)
    for table in root.rglob("*_timeseries.tsv"):
        assert table.read_text() == "" or table.read_text().endswith("\n")


def archive_label(root: Path) -> str:
    """Return the label after that of the run that was put in place before its process could say so, if it was."""
    return "02" if [*root.glob("sub-01/func/*_bold.nii.gz")] else "01"


def test_recovery_names_the_runs_it_finished_and_cuts_a_half_written_line(tmp_path):
    root = tmp_path / "study"
    acknowledged = killed(root, 55)
    table = next(root.rglob("*_timeseries.tsv"))
    with table.open("a") as file:
        file.write("9\t0.3")
    with Archive(root) as archive:
        assert archive.recover() == ["sub-01_task-nf_run-01"]
        assert archive.recover() == []
    assert acknowledged
    assert "0.3" not in table.read_text().splitlines()[-1]
