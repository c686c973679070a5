"""What EXPERIMENT on the command line may be, and what its config may hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbids.errors import InputMissing, UsageFault
from rtbids.run import recipe

SCRIPT = "def feedback(volume, run):\n    return 1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "experiment.py").write_text(SCRIPT)
    return tmp_path / "mine"


@pytest.mark.parametrize("name", [".", "../mine", "experiment.py", "./experiment.py"])
def test_an_experiment_is_found_from_its_own_folder(folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    read = recipe.read(name)
    assert (read.name, read.script) == ("mine", folder / "experiment.py")


def test_no_name_is_no_experiment(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(InputMissing):
        recipe.read("")


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
def test_an_alternate_is_a_number_that_json_knows(folder, value):
    (folder / "config.yaml").write_text(f"alternate: {value}\n")
    with pytest.raises(UsageFault, match="expected last, none or a number"):
        recipe.read(str(folder))
