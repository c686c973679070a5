"""What was made by another version of the de-identification is told from what this one makes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rtbids import deidentify
from rtbids.cli.cleaners import engine_digest


@pytest.fixture
def package(tmp_path):
    return Path(shutil.copytree(deidentify.__path__[0], tmp_path / "package"))


def test_a_copy_of_the_package_is_the_same_version(package):
    (package / "__pycache__").mkdir(exist_ok=True)
    (package / "__pycache__" / "engine.cpython-312.pyc").write_bytes(b"compiled anew")
    assert engine_digest(package) == engine_digest()


@pytest.mark.parametrize("name", ["engine.py", "private.yaml"])
def test_other_code_or_another_table_is_another_version(package, name):
    with (package / name).open("a") as file:
        file.write("# mended\n")
    assert engine_digest(package) != engine_digest()
