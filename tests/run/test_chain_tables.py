"""The tables and maps of what the analysis found."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from rtbids.archive.tables import Table
from rtbids.run.record import derived_tables, statistical_maps
from rtbids.run.record.derived_tables import DerivedTables
from rtbids.run.record.statistical_maps import StatMap


class Folder:
    """What a growing run gives, without the run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def table(self, description, columns, sidecar):
        path = self.folder / f"sub-01_desc-{description}_timeseries.tsv"
        path.with_suffix(".json").write_text(json.dumps(sidecar))
        return Table(path, columns)

    def derivative(self, description, suffix, extension):
        return self.folder / f"sub-01_{suffix}{extension}"

    def rows(self, name: str) -> list[list[str]]:
        text = (self.folder / f"sub-01_desc-{name}_timeseries.tsv").read_text()
        return [line.split("\t") for line in text.splitlines()]


def motion(x: float) -> dict[str, dict[str, float | str | None]]:
    return {"motion": {"trans_x": x, "pose": "known"}}


def test_each_place_of_the_run_has_one_row_in_order_whatever_came_twice_or_never(tmp_path):
    tables = DerivedTables(folder := Folder(tmp_path))
    for index in (0, 1, 4, 0, 1, 4, 5):  # 2 and 3 were not analysed, and the script was started again after 4
        tables.add("one", index, motion(index / 10))
    tables.add("another", 6, motion(9.9))
    tables.close(8)
    assert folder.rows("motion") == [
        ["volume", "trans_x", "pose"],
        ["0", "0.0", "known"],
        ["1", "0.1", "known"],
        *[[n, "n/a", "n/a"] for n in "23"],
        ["4", "0.4", "known"],
        ["5", "0.5", "known"],
        *[[n, "n/a", "n/a"] for n in "67"],
    ]


def test_every_column_is_described_with_its_unit(tmp_path):
    tables = DerivedTables(Folder(tmp_path))
    tables.add("one", 0, {"motion": {"trans_x": 0.0, "rot_z": 0.0}, "design": {"go": 1.0, "cosine01": 0.2}})
    tables.close(1)
    fields = json.loads((tmp_path / "sub-01_desc-motion_timeseries.json").read_text())
    assert (fields["trans_x"]["Units"], fields["rot_z"]["Units"]) == ("mm", "rad")
    fields = json.loads((tmp_path / "sub-01_desc-design_timeseries.json").read_text())
    assert set(fields) == {"Description", "Experiment", "volume", "go", "cosine01"}


@pytest.mark.parametrize("cut", ["", "volume\ttrans_x\tpose\n", "volume\ttrans_x\tpose\n0\t0.1\tknown\n1\t0."])
def test_a_table_that_a_kill_cut_has_a_whole_row_for_each_volume_again(tmp_path, cut):
    path = tmp_path / "sub-01_desc-motion_timeseries.tsv"
    path.write_text(cut)
    derived_tables.complete({"motion": path, "quality": tmp_path / "none.tsv"}, 3)
    if not cut:
        assert not path.exists()
        return
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    assert [row[0] for row in rows] == ["volume", "0", "1", "2"]
    assert {len(row) for row in rows} == {3}
    assert path.with_suffix(".json").exists()


def test_a_map_is_read_by_nibabel_as_it_was(tmp_path):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    values[0, 0, 0] = np.nan
    affine = np.array([[-3.0, 0, 0, 9], [0, 3, 0, -9], [0, 0, 4, -8], [0, 0, 0, 1]])
    path = statistical_maps.write(Folder(tmp_path), StatMap("faces", "t", values, affine, {"DegreesOfFreedom": 12}))
    assert path.name == "sub-01_contrast-faces_stat-t_statmap.nii.gz"
    image = nibabel.load(path)
    np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), values)
    np.testing.assert_array_equal(image.affine, affine)
    assert json.loads((tmp_path / "sub-01_contrast-faces_stat-t_statmap.json").read_text())["DegreesOfFreedom"] == 12
    assert len(list(tmp_path.iterdir())) == 2
