"""Where the system starts no process for experiments, it is said in a line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rtbids.errors import ExperimentFault
from rtbids.run.process.launcher import Launcher


def test_a_python_that_may_not_be_run_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python").write_text("no program")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(
        ExperimentFault, match=r"no process can be started for experiments: .*python: Permission denied"
    ) as error:
        Launcher()
    assert "must be allowed to run" in str(error.value.hint)
