"""The tutorial of the first experiment, done to the letter as it stands on its page."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rtbids.replay.phantom import Phantom

pytestmark = pytest.mark.alone

STEP = re.compile(r"^\.\. code-block:: (console|python|yaml)\n\n((?:   .*\n|\n)+)", re.MULTILINE)
FILE = re.compile(r"``(my_experiment/[\w.]+)``")
WAITS = "--idle-timeout"  # a line that goes on in a terminal of its own, until the next ones are done


def steps(page: str) -> list[tuple[str, str]]:
    """Return what the reader does, in order: ("$", line to type), or (file, its new content)."""
    found = []
    for block in STEP.finditer(page):
        text = re.sub(r"^   ", "", block[2], flags=re.MULTILINE)
        if block[1] == "console":
            found += [("$", line.removeprefix("$ ")) for line in text.splitlines() if line.startswith("$ ")]
        else:
            found.append((FILE.findall(page[: block.start()])[-1], text))
    return found


def values(table: Path) -> dict[int, float]:
    """Return the values of a table of feedback by volume."""
    with table.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert {row["status"] for row in rows} == {"ok"}
    return {int(row["volume"]): float(row["value"]) for row in rows}


@pytest.mark.slow
def test_the_first_experiment_goes_as_its_page_says(repository, tmp_path):
    page = (repository / "docs" / "tutorial" / "first-experiment.rst").read_text(encoding="utf-8")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    waiting = []
    for what, text in steps(page):
        if what != "$":
            (tmp_path / what).write_text(text)
        elif WAITS in text:
            waiting.append(subprocess.Popen(["sh", "-c", text], cwd=tmp_path, env=environment, stderr=subprocess.PIPE))
        else:
            done = subprocess.run(["sh", "-c", text], cwd=tmp_path, env=environment, capture_output=True, check=False)
            assert done.returncode == 0, (text, done.stderr.decode())
    assert len(waiting) == 1
    _, said = waiting[0].communicate(timeout=100)
    assert waiting[0].returncode == 0, said.decode()
    rehearsed, easier, live = (values(tmp_path / f"{name}.tsv") for name in ("feedback", "easier", "live"))
    assert live == rehearsed
    assert len(live) == 120
    truth = Phantom(volumes=120).truth
    assert np.corrcoef(list(live.values()), truth)[0, 1] > 0.95  # the thermometer cuts off what is below 0
    assert sum(easier.values()) > sum(live.values())
    assert set(easier.values()) >= {0.0, 1.0}
    assert list((tmp_path / "study").rglob("sub-02_task-nf_run-01_bold.nii.gz"))
    assert list((tmp_path / "study" / "derivatives").rglob("*_report.html"))


def test_the_page_changes_the_script_and_the_config(repository):
    page = (repository / "docs" / "tutorial" / "first-experiment.rst").read_text(encoding="utf-8")
    changed = [what for what, _ in steps(page) if what != "$"]
    assert changed == ["my_experiment/experiment.py", "my_experiment/config.yaml"]
