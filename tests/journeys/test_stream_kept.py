"""A scanner that stays connected between runs: it is listed there, and runs there take it by its name."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import numpy as np
import pytest
from far_side import RTBIDS, FarSide, count, dicoms, expected, export, finished, until, voxels

from rtbids.cli.request import kind_of
from rtbids.errors import InputMissing


def there(side: FarSide, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Call rtbids on the far side, as its user does."""
    environment = {**os.environ, "XDG_STATE_HOME": str(side.server.folder / "far")}
    command = [*RTBIDS, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, timeout=90, check=False)


def test_a_connected_source_is_listed_and_taken_by_one_run_after_another(side, tmp_path):
    files = dicoms(tmp_path / "files")
    (tmp_path / "export").mkdir()
    process = side.stream(tmp_path / "export", side.place("/scanner"), tmp_path / "here", "--keep")
    until(lambda: bool(side.keepers()), process)
    (source,) = [json.loads(line) for line in there(side, "status", "--sources", "--json").stdout.splitlines()]
    assert (source["name"], source["is_up"], source["images"]) == ("scanner", True, 0)
    export(files[:40], tmp_path / "export")
    first = there(side, "convert", "scanner", "-o", tmp_path / "first", "--volumes", 20, "--open-timeout", 60)
    assert first.returncode == 0, first.stderr.decode()
    found = voxels(tmp_path / "first")
    assert np.array_equal(found, expected(20))
    shown = there(side, "status", "--sources").stdout.decode()
    assert shown.startswith("scanner  from ")
    assert "images, the last" in shown
    export(files[40:60], tmp_path / "export")
    second = there(side, "convert", "scanner", "-o", tmp_path / "second", "--volumes", 5, "--open-timeout", 60)
    assert second.returncode == 0, second.stderr.decode()
    found, whole = voxels(tmp_path / "second"), expected(60)
    begin = next(n for n in range(20, 60) if np.array_equal(whole[..., n], found[..., 0]))
    assert np.array_equal(found, whole[..., begin : begin + 5])
    until(lambda: count(tmp_path / "here") >= 59, process)
    os.kill(process.pid, signal.SIGKILL)  # ends the test sooner than the spool would be taken
    process.communicate()


@pytest.mark.parametrize("place", ["study", "ssh://nobody.invalid/a/b", "ssh://nobody.invalid/a.tar"])
def test_only_a_name_on_another_machine_can_be_kept(place, side, tmp_path):
    (tmp_path / "export").mkdir()
    code, err = finished(side.stream(tmp_path / "export", place, "--keep", cwd=tmp_path))
    assert code == 64, err
    assert "--keep" in err


def test_where_no_source_is_connected_that_is_said(tmp_path):
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    command = [*RTBIDS, "status", "--sources"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
    assert done.stdout == b"no source is connected\n"


def test_a_name_that_is_neither_a_file_nor_connected_is_said_to_be_so():
    with pytest.raises(InputMissing) as raised:
        kind_of("scanner")
    assert "none of that name is connected: rtbids status --sources" in (raised.value.hint or "")
