"""A whole neurofeedback run of 155 mosaics: every voxel as listed, in any order of arrival."""

from __future__ import annotations

import csv
import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest
from assembly import Scanner

from rtbids.convert import dicom
from rtbids.volume import voxels


@pytest.fixture(scope="module")
def run_files(real_data: Path) -> list[tuple[str, bytes]]:
    archive = real_data / "siemens_mosaic_vb17_nf/whole_run/nf_run.tar.xz"
    if not archive.is_file():
        pytest.skip("whole neurofeedback run not found: siemens_mosaic_vb17_nf/whole_run/nf_run.tar.xz")
    with tarfile.open(archive) as tar:
        members = [member for member in tar if member.name.endswith(".dcm")]
        return [(member.name, tar.extractfile(member).read()) for member in members]  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def listed(real_data: Path) -> list[str]:
    text = (real_data / "siemens_mosaic_vb17_nf/whole_run/nf_run_volumes.tsv").read_text()
    rows = csv.DictReader((line for line in text.splitlines() if not line.startswith("#")), delimiter="\t")
    return [row["sha256_of_int16_voxels_fortran_order"] for row in rows]


@pytest.mark.parametrize("seed", [None, 1])
def test_every_volume_has_the_listed_voxels(run_files: list[tuple[str, bytes]], listed: list[str], seed: int | None) -> None:
    order = np.arange(len(run_files)) if seed is None else np.random.default_rng(seed).permutation(len(run_files))
    scanner = Scanner({"task": "nf"})
    for place in order:
        name, content = run_files[place]
        scanner.send(dicom.read(content, name, 0.0))
    scanner.finish()
    assert scanner.indices == list(range(155))
    assert [hashlib.sha256(voxels(volume)).hexdigest() for volume in scanner.volumes] == listed
    assert scanner.ends[0].missing == ()
    assert len({id(volume.metadata) for volume in scanner.volumes}) == 1
