"""The samples do what they say on real data."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

SAMPLES = sorted(path.parent.name for path in (Path(__file__).parents[2] / "sample_experiments").glob("*/experiment.py"))


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_gives_what_it_says_a_replay_must_give(sample, call, real_data, repository):
    outcome = call("run", sample, real_data / "bids_oneback", "--speed", "max")
    assert outcome.code == 0, outcome.err
    with (repository / "sample_experiments" / sample / "expected.tsv").open() as file:
        expected = {int(row["volume"]): float(row["value"]) for row in csv.DictReader(file, delimiter="\t")}
    # Sums may be taken in another order on another machine: some units in the last place.
    assert {line["volume"]: line["value"] for line in outcome.lines} == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert {line["status"] for line in outcome.lines} == {"ok"}


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_has_what_its_user_needs(sample, repository):
    folder = repository / "sample_experiments" / sample
    assert {"experiment.py", "config.yaml", "README.rst", "expected.tsv"} <= {file.name for file in folder.iterdir()}
