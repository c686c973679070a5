"""What numba compiles is kept for the next process, and never in the package's own folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

PACKAGE = Path(__file__).resolve().parents[2] / "rtbids"
PROGRAM = (
    "import rtbids; from rtbids.analysis import fast, splines; "
    "print(splines.prepare(), sum(fast._kernel.stats.cache_hits.values()), rtbids.__path__[0])"
)
OURS = ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "PYTHONPATH")


@pytest.fixture
def package(tmp_path) -> Path:
    """Return the package in a folder of its own, which nothing was run in yet."""
    folder = tmp_path / "site-packages"
    shutil.copytree(PACKAGE, folder / "rtbids", ignore=shutil.ignore_patterns("__pycache__", "clients"))
    return folder


def start(package: Path, **environment: Path) -> tuple[str, int]:
    """Start a process with these in its environment; return what samples, and how often something kept was taken."""
    kept = {name: value for name, value in os.environ.items() if name not in OURS}
    given = {name: str(value) for name, value in environment.items()}
    command = [sys.executable, "-c", PROGRAM]
    surroundings = {**kept, **given, "PYTHONPATH": str(package)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings, cwd=package)
    assert (done.returncode, done.stderr) == (0, "")
    engine, hits, place = done.stdout.split()
    assert Path(place) == package / "rtbids"
    return engine, int(hits)


def compiled_files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.suffix in (".nbi", ".nbc")]


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"HOME": "home"}, "home/.cache/rtbids/numba"),
        pytest.param({"HOME": "home", "XDG_CACHE_HOME": "cache"}, "cache/rtbids/numba", marks=pytest.mark.slow),
        pytest.param({"HOME": "home", "NUMBA_CACHE_DIR": "mine"}, "mine", marks=pytest.mark.slow),
    ],
)
def test_it_is_taken_by_the_next_process_and_not_in_the_package(package, tmp_path, environment, place):
    surroundings = {name: tmp_path / path for name, path in environment.items()}
    assert start(package, **surroundings) == ("numba", 0)
    assert start(package, **surroundings) == ("numba", 1)
    found = compiled_files(tmp_path)
    assert found
    assert all(file.is_relative_to(tmp_path / place) for file in found)


def test_with_no_place_to_keep_it_nothing_is_kept_and_nothing_fails(package, tmp_path):
    """A home that cannot be written, as in a container that is read-only; the tests may be root's, whom no mode stops."""
    (tmp_path / "file").touch()
    assert [start(package, HOME=tmp_path / "file" / "home") for _ in range(2)] == [("numba", 0)] * 2
    assert not compiled_files(tmp_path)


@pytest.mark.slow
def test_a_folder_that_others_write_to_is_not_run_from(package, tmp_path):
    assert start(package, HOME=tmp_path) == ("numba", 0)
    (tmp_path / ".cache" / "rtbids" / "numba").chmod(0o777)
    assert start(package, HOME=tmp_path) == ("numba", 0)


@pytest.mark.slow
def test_what_is_damaged_there_is_no_obstacle(package, tmp_path):
    start(package, HOME=tmp_path)
    for file in compiled_files(tmp_path):
        file.write_bytes(file.read_bytes()[:20])
    assert start(package, HOME=tmp_path) == ("numba", 0)
