"""A user whose processes are behind all others already, as in a batch queue: everything is done all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from series_of_a_session import bold, write

from rtbids.cli import whole_session

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no rank for each thread")


def behind() -> list[str]:
    """Return what starts a command that is nicer than rtbids' own threads and may not be less so."""
    if os.getuid():
        return ["nice", "-n", "15"]
    if not shutil.which("setpriv"):
        pytest.skip("root may change any rank, and there is no setpriv (util-linux) to take that from it")
    return ["setpriv", "--bounding-set=-sys_nice", "nice", "-n", "15"]


def test_a_session_is_placed_and_compressed(tmp_path: Path) -> None:
    write(tmp_path / "export", 2, "t1_mprage_sag")
    bold(tmp_path / "export", 8)
    study = tmp_path / "study"
    command = [*behind(), sys.executable, "-m", "rtbids", "convert", str(tmp_path / "export"), "--no-wait", "-o", str(study)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    made = {path.name for path in study.glob("sub-01/*/*") if path.suffix != ".json"}
    assert made == {"sub-01_T1w.nii.gz", "sub-01_task-rest_run-01_bold.nii.gz"}
    assert (study / "sub-01/sub-01_scans.tsv").exists()
    assert not list(study.glob(".rtbids/growing/*"))


def test_what_breaks_off_the_placing_of_series_is_raised_and_what_came_waits(tmp_path: Path, monkeypatch) -> None:
    from rtbids.archive.dataset import Archive

    def broken(placer: object) -> None:
        raise ValueError("Nemo^Nobody")

    monkeypatch.setattr(whole_session.Placer, "_take_up", broken)
    with Archive(tmp_path / "study") as archive:
        placer = whole_session.Placer(archive, whole_session.ALL, {})
        with pytest.raises(Exception, match="the placer broke off: an internal fault of rtbids: ValueError"):
            placer.close()
