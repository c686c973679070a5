"""A small study made by nibabel, and the command line called as a user calls it."""

from __future__ import annotations

import json
import lzma
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel
import numpy as np
import pytest

if TYPE_CHECKING:
    from far_side import FarSide
    from sending import Node, Pacs

RTBIDS = [sys.executable, "-m", "rtbids"]
SHAPE = (8, 9, 5)
TR = 0.1


@dataclass(frozen=True)
class Small:
    """A data set with one run, its voxels (i, j, k, t), and a mask of it."""

    root: Path
    file: Path
    voxels: np.ndarray
    affine: np.ndarray
    mask_file: Path
    mask: np.ndarray


@pytest.fixture
def small(tmp_path: Path) -> Small:
    root = tmp_path / "source"
    func = root / "sub-07" / "func"
    func.mkdir(parents=True)
    voxels = np.random.default_rng(7).integers(100, 1000, (*SHAPE, 30), dtype=np.int16)
    affine = np.array([[-3, 0, 0, 12], [0, 3, 0, -9.5], [0, 0, 4, -8.25], [0, 0, 0, 1.0]])
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_zooms((3, 3, 4, TR))
    image.header.set_xyzt_units("mm", "sec")
    name = "sub-07_task-small_run-1"
    image.to_filename(func / f"{name}_bold.nii.gz")
    (func / f"{name}_bold.json").write_text(json.dumps({"RepetitionTime": TR, "TaskName": "small"}))
    (func / f"{name}_events.tsv").write_text("onset\tduration\ttrial_type\n0.5\t0.5\tregulate\n1.5\t0.5\tregulate\n")
    (root / "dataset_description.json").write_text(json.dumps({"Name": "small", "BIDSVersion": "1.10.0"}))
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[2:5, 3:6, 1:3] = 1
    mask_file = tmp_path / "mask.nii.gz"
    nibabel.Nifti1Image(mask, affine).to_filename(mask_file)
    return Small(root, func / f"{name}_bold.nii.gz", voxels, affine, mask_file, mask)


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Path]:
    """Write an experiment; ``script("def feedback…")`` gives its folder."""

    def write(text: str, config: str = "", name: str = "mine") -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "experiment.py").write_text(text)
        if config:
            (folder / "config.yaml").write_text(config)
        return folder

    return write


@dataclass(frozen=True)
class Outcome:
    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[dict]:
        """Standard output as lines of feedback."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def call() -> Callable[..., Outcome]:
    """Call ``rtbids`` and return its outcome; paths and numbers may be given as they are."""

    def run(*arguments: object, stdin: bytes = b"", cwd: Path | None = None) -> Outcome:
        command = [*RTBIDS, *map(str, arguments)]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=100, check=False, cwd=cwd)
        return Outcome(done.returncode, done.stdout, done.stderr.decode())

    return run


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """Start ``rtbids`` in the background; what still runs at the end of the test is killed.

    Its pipes have no buffer: `communicate` would lose what a `readline` before it had read ahead.
    """
    running: list[subprocess.Popen] = []

    def begin(*arguments: object, **options: object) -> subprocess.Popen:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
        running.append(subprocess.Popen([*RTBIDS, *map(str, arguments)], start_new_session=True, bufsize=0, **pipes))
        return running[-1]

    yield begin
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node that sends, with a key of its site; what still runs at the end of the test is killed."""
    from sending import Node

    from rtbids.deidentify.mapping import Key

    made = Node(tmp_path / "node")
    made.export.mkdir(parents=True)
    Key.make(made.home / "site.key")
    yield made
    for process in made.running:
        process.signal(signal.SIGKILL)


@pytest.fixture(scope="module")
def one_pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    from sending import receiving

    with receiving(tmp_path_factory.mktemp("pacs") / "orthanc") as pacs:
        yield pacs


@pytest.fixture
def pacs(one_pacs: Pacs) -> Pacs:
    """An Orthanc without images."""
    one_pacs.clear()
    return one_pacs


@pytest.fixture(scope="session")
def recorded(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folder of the real neurofeedback run's description and that of its 155 unpacked DICOM files."""
    whole = real_data / "siemens_mosaic_vb17_nf" / "whole_run"
    if not whole.is_dir():
        pytest.skip("the neurofeedback run is not among the real series: siemens_mosaic_vb17_nf/whole_run")
    folder = tmp_path_factory.mktemp("nf")
    with lzma.open(whole / "nf_run.tar.xz") as file, tarfile.open(fileobj=file) as tar:
        tar.extractall(folder, filter="data")
    return whole, next(folder.rglob("*.dcm")).parent


def table(study: Path, description: str) -> list[dict[str, str]]:
    """Return the rows of the one derivative table of a study with this description."""
    (path,) = (study / "derivatives").rglob(f"*_desc-{description}_timeseries.tsv")
    header, *rows = [line.split("\t") for line in path.read_text().splitlines()]
    return [dict(zip(header, row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The DICOM files of a phantom's run, outside of the folder that is watched."""
    from far_side import dicoms

    return list(dicoms(tmp_path_factory.mktemp("scanned") / "files"))


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    """The folder that files are exported to."""
    (tmp_path / "export").mkdir()
    return tmp_path / "export"


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarSide]:
    """Another machine behind a real sshd, with a site's key of its own."""
    from far_side import far_side

    from rtbids.deidentify.mapping import Key

    folder = tmp_path_factory.mktemp("s")
    Key.make(folder / "far.key")
    with far_side(folder, {"RTBIDS_SITE_KEY": str(folder / "far.key")}) as made:
        yield made
