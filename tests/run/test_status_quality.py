"""Motion and quality while a run goes on: in its status, in the table of ``rtbids status``, and in the live line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import moving_head as heads
import pytest
from run.sessions import UNPACED, Lines, lane, session

from rtbids.cli import console, statuses
from rtbids.pipeline import Inbox
from rtbids.run.control import status
from rtbids.run.deadlines import Line
from rtbids.run.progress import Progress, Tally

ABOUT = {"process": 1, "version": "0", "began": 0.0, "source": "here", "data_set": None}
KEYS = ("displacement", "dvars", "tsnr", "spikes", "good_minutes", "minutes_to_criterion")
LAST = """
LAST = {}

def feedback(volume, run):
    quality = run.quality
    summary = quality.summary
    return {"dvars": quality.volume.dvars, "tsnr": quality.volume.tsnr, "spikes": summary.spikes,
            "good_minutes": summary.good_minutes, "minutes_to_criterion": summary.minutes_to_criterion}
"""


def run(folder: Path, config: str, script: str = LAST) -> tuple[dict, Progress, dict]:
    """Return the status of a run of eight volumes as its socket gives it, its progress, and the script's last value."""
    folder.mkdir()
    (folder / "config.yaml").write_text(config)
    kept = Lines()
    made = session([lane(folder, script, kept)])
    metadata = {**UNPACED, "RepetitionTime": 2.0}
    made.run(Inbox(replace(volume, metadata=metadata, times={"received": 1.0}) for volume in heads.run(8)))
    value = kept.rows[-1]["value"]
    return json.loads(json.dumps(status.described(made, ABOUT))), made.progress, value


def test_the_status_has_what_the_script_sees_of_quality(tmp_path):
    fields, progress, seen = run(tmp_path / "mine", "analysis: {motion: true, quality: true}\n")
    (each,) = fields["experiments"]
    assert {key: each[key] for key in seen} == seen
    assert each["displacement"] > 0
    assert each["good_minutes"] in [pytest.approx(2 * count / 60) for count in range(8)]
    text = statuses.text(fields, 0.0)
    words = [f"moved {each['displacement']:.2f} mm", f"DVARS {seen['dvars']:.1f} %", f"tSNR {seen['tsnr']:.0f}", "min good"]
    for said in (text, console.line(progress)):
        assert [word for word in words if word not in said] == []


@pytest.mark.parametrize(("due", "shown"), [(12.0, True), (None, False)])
def test_the_live_line_shows_no_latency_where_volumes_come_before_their_turn(due, shown):
    tally = Tally("mine", "running")
    tally.sent(Line(0, 1.0, "ok", None, 10.0, due, 11.352))
    progress = Progress(volumes=1, tallies=[tally])
    progress.begin("sub-01_task-nf")
    said = console.line(progress)
    assert ("1352 ms" in said) is shown
    assert tally.latency == pytest.approx(1.352)


def test_without_motion_nothing_is_said_of_good_data(tmp_path):
    fields, progress, _ = run(tmp_path / "mine", "analysis: {quality: true}\n")
    (each,) = fields["experiments"]
    assert [key for key in KEYS if each[key] is None] == ["displacement", "good_minutes", "minutes_to_criterion"]
    assert "good" not in statuses.text(fields, 0.0)
    assert "good" not in console.line(progress)
    assert "DVARS" in console.line(progress)


def test_without_quality_nothing_is_said_of_it(tmp_path):
    fields, progress, _ = run(tmp_path / "mine", "analysis: {}\n", "def feedback(volume, run):\n    return 1\n")
    assert {fields["experiments"][0][key] for key in KEYS} == {None, 0}
    assert "DVARS" not in statuses.text(fields, 0.0) + console.line(progress)


@pytest.mark.parametrize(
    ("minutes", "left", "said"),
    [
        (0.0, None, "0.0 min good"),
        (4.24, 8.6, "4.2 min good, 9 min to go"),
        (12.4, 0.2, "12.4 min good, < 1 min to go"),
        (12.5, 0.0, "12.5 min good, enough"),
    ],
)
def test_good_data_in_words(minutes, left, said):
    assert console.good_data(minutes, left) == said
