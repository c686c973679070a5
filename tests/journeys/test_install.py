"""rtbids as it is once installed, outside of its clone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def installed(repository, tmp_path_factory) -> Path:
    """Install a wheel of this tree into a folder of its own."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--target", folder]
    done = subprocess.run([*command, repository], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def python(installed: Path, *arguments: object) -> subprocess.CompletedProcess:
    """Call Python in the folder where the wheel was unpacked; it stands before the editable installation."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=installed.parent, env=environment, check=False)


def test_a_sample_goes_by_its_name(installed, small):
    mask = f"rois.target={small.mask_file}"
    done = python(installed, "-m", "rtbids", "run", "roi_feedback", small.root, "--speed", "max", "--set", mask)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 30
    assert python(installed, "-c", "import rtbids; print(rtbids.__file__)").stdout.startswith(str(installed))


def test_only_rtbids_is_there_to_import(installed):
    assert {path.name for path in installed.iterdir() if path.is_dir()} - {"bin"} == {"rtbids"} | {
        path.name for path in installed.glob("rtbids-*.dist-info")
    }
    assert (installed / "rtbids" / "py.typed").exists()
    assert (installed / "rtbids" / "run" / "report" / "page.css").exists()
    assert len(list((installed / "rtbids" / "run" / "feedback" / "clients").glob("rtbids_*"))) == 4


def test_help_imports_nothing_heavy(installed):
    heavy = ["numpy", "pydicom", "nibabel", "rich", "yaml", "scipy", "paramiko", "openneuro", "bids"]
    code = (
        "import sys; from rtbids.cli.main import cli, run; run(cli, ['--help']); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert python(installed, "-c", code).stdout.endswith("[]\n")
