"""The screen of a run: what is on it, in terminals of any size, with and without colours."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import moving_head as heads
import pytest
from rich.cells import cell_len
from rich.console import Console
from run.sessions import Lines, lane, session

from rtbids.cli import screen, statuses
from rtbids.cli.screen_words import size
from rtbids.pipeline import Inbox
from rtbids.run.control import status
from rtbids.run.control.lookout import Lookout
from rtbids.run.progress import Linked
from rtbids.run.resources import Resources
from rtbids.volume import RunEnd

ABOUT = {"process": 1, "version": "0", "began": 0.0, "source": "here", "data_set": None}
EVENTS = "onset\tduration\ttrial_type\n2\t4\tgo\n8\t4\tstay\n"
SCRIPT = """
def feedback(volume, run):
    if volume.index == 5:
        raise ValueError("no")
    return float(volume.index)
"""
METADATA = {"RepetitionTime": 2.0, "TaskName": "nf", "Paced": True}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """The status after each volume of a run whose volume 3 never came and whose volume 5 failed, as its socket gives it."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    folder.mkdir()
    (folder / "config.yaml").write_text("analysis: {motion: true, quality: true}\n")
    kept, taken = Lines(), []
    made = session([lane(folder, SCRIPT, kept)])
    lookout = Lookout(made, folder)

    def items():
        for volume in heads.run(9):
            if volume.index == 3:
                continue
            times = {"received": made._clock.now()}
            yield replace(volume, metadata=METADATA, times=times, events=EVENTS if volume.index == 0 else None)
            kept.wait_for("mine", volume.index)
            lookout.look()
            made.progress.warn(0.0, f"something\nof volume {volume.index}")
            taken.append(json.loads(json.dumps(status.described(made, ABOUT))))
        yield RunEnd(volume.entities, 9)

    made.run(Inbox(items()))
    return taken


def drawn(fields, width=80, height=24, **options) -> list[str]:
    return screen.draw(fields, width, height, 125.0, **options).plain.split("\n")


def row(lines, label) -> str:
    (found,) = [line for line in lines if line.startswith(label)]
    return found


def test_the_status_has_what_is_drawn(pictures):
    fields = pictures[-1]
    (each,) = fields["experiments"]
    assert each["recent"]["volume"] == list(range(9))
    assert each["recent"]["value"] == [0, 1, 2, 2, 4, 4, 6, 7, 8]  # an alternate is the last value
    assert each["recent"]["reason"] == [None, None, None, "missing", None, "error", None, None, None]
    assert [latency is None for latency in each["recent"]["latency"]] == [index == 3 for index in range(9)]
    assert each["latencies"]["median"] <= each["latencies"]["p99"] <= each["latencies"]["worst"]
    assert each["reasons"] == {"missing": 1, "error": 1}
    assert each["displacements"][0] is None
    assert each["displacements"][-1] == pytest.approx(each["displacement"], rel=1e-5)  # six digits are kept
    assert fields["missed"] == 0
    assert fields["resources"]["disk_free"] > 0
    assert (fields["link"], each["advice"]) == (None, None)
    assert (fields["warned"], [each["message"] for each in fields["warnings"]][-1]) == (8, "something\nof volume 8")
    # TR 2 s: from 2 to 6 s are volumes 1 and 2, from 8 to 12 s volumes 4 and 5
    conditions = [None, "go", "go", None, "stay", "stay", None, None, None]
    assert fields["design"] == {"volume": list(range(9)), "condition": conditions}


def test_the_screen_shows_it(pictures):
    lines = drawn(pictures[-1])
    feedback, task = row(lines, "feedback"), row(lines, "task")
    end = 10 + screen._bars(80)
    assert feedback[:end].endswith("▁▂▃ ▅▅▆▇█")  # 0 to 8 in eight bars; what never came is a gap
    assert feedback[end:].split() == ["8", "0", "to", "8"]
    assert task[:end].endswith(" gg ss   ")
    assert "2 alternates: 1 error, 1 missing" in row(lines, "answers")
    assert "0 to 100 s" in row(lines, "latency")
    assert "mm" in row(lines, "motion")
    assert "tSNR" in row(lines, "quality")
    assert "cores" in row(lines, "machine")
    assert row(lines, "warnings").split()[1] == "8,"
    assert lines[-1].endswith("something of volume 8")
    assert row(lines, "sub-").endswith("2 min 5 s")


def test_an_alternate_is_dim_and_an_answer_is_not(pictures):
    text = screen.draw(pictures[-1], 80, 24, 0.0)
    start = text.plain.index("▁▂▃ ▅▅▆▇█")
    styles = [[str(span.style) for span in text.spans if span.start <= start + place < span.end] for place in range(9)]
    assert ["dim" in names for names in styles] == [place == 5 for place in range(9)]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 10), (59, 16), (40, 12), (20, 6), (7, 3), (1, 1)])
def test_it_fits_any_terminal(pictures, size):
    width, height = size
    linked = {**pictures[-1], "link": vars(Linked("ssh://far", True, 0.0))}
    linked["experiments"] = [{**each, "advice": "a long word of advice " * 9} for each in linked["experiments"] * 3]
    lines = drawn(linked, width, height)
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width


def test_what_matters_most_is_left_where_there_is_little_room(pictures):
    lines = drawn(pictures[-1], 80, 4)
    assert [line.split()[0] for line in lines] == [pictures[-1]["run"], "volumes", "mine", "feedback"]


def test_where_there_is_little_room_every_experiment_loses_the_same(pictures):
    fields = {**pictures[-1], "experiments": pictures[-1]["experiments"] * 3}
    labels = [line[: screen.LABEL].strip() for line in drawn(fields, 80, 22)]
    counts = {label: labels.count(label) for label in ("feedback", "answers", "motion", "task", "quality")}
    assert counts == {"feedback": 3, "answers": 3, "motion": 3, "task": 0, "quality": 0}


def test_from_volume_to_volume_everything_stays_where_it_is(pictures):
    labels = [[line[: screen.LABEL] for line in drawn(fields, 80, 24, warnings=0)] for fields in pictures[2:]]
    assert all(each == labels[0] for each in labels)
    ends = [row(drawn(fields), "feedback").rindex("to") for fields in pictures[4:]]
    assert len({*ends}) == 1


def test_the_link_to_another_machine_is_drawn_where_there_is_one(pictures):
    far = Resources(8.0, 1.5, None, {"mine": 0.5})
    link = Linked("ssh://far", True, 0.0, 2, 3, 2_000_000, 0, 0.041, 0.003, 0.02, far)
    fields = {**pictures[-1], "link": status._linked(link)}
    fields = json.loads(json.dumps(fields))
    lines = drawn(fields)
    assert row(lines, "link").split(maxsplit=1)[1] == "up   3 waiting (2.00 MB)   2 cuts"
    assert any(line.strip() == "ssh://far   round trip 41 ms   its clock +3 ± 20 ms" for line in lines)
    assert any("there: mine  50 %   load 1.5 of 8 cores" in line for line in lines)
    assert "  link      ssh://far   up   3 waiting (2.00 MB)   2 cuts" in statuses.text(fields).splitlines()
    cut = {**fields, "link": {**fields["link"], "is_up": False, "dropped": 4, "cuts": 1}}
    assert "   1 cut " in row(drawn(cut), "link")
    assert "cut since" in row(drawn(cut), "link")
    assert row(drawn(cut), "link").endswith("4 dropped")


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (99_960, "100 kB"),
        (23.96e9, "24.0 GB"),
        (999.7e9, "1.00 TB"),
        (5e15, "5000 TB"),
    ],
)
def test_a_size_has_three_digits(count, said):
    assert size(count) == said


def test_advice_is_on_the_screen_and_in_the_text(pictures):
    fields = {**pictures[-1], "experiments": [{**pictures[-1]["experiments"][0], "advice": "do less in feedback()"}]}
    assert row(drawn(fields), "too slow").endswith("do less in feedback()")
    assert "do less in feedback()" in statuses.text(fields, 0.0)


def test_an_object_is_shown_by_its_parts(pictures):
    value = {"dvars": 2.03456, "spikes": 3, "bad\x1b[31m": None}
    fields = {**pictures[-1], "experiments": [{**pictures[-1]["experiments"][0], "value": value}]}
    assert "dvars 2.035   spikes 3" in row(drawn(fields), "feedback")
    assert "\x1b" not in "".join(drawn(fields))


@pytest.mark.parametrize(
    ("paused", "ending", "word"), [(True, False, "paused"), (False, True, "ending"), (True, True, "ending")]
)
def test_a_run_that_is_paused_or_ending_says_so(pictures, paused, ending, word):
    lines = drawn({**pictures[-1], "paused": paused, "ending": ending})
    assert word in lines[0]
    assert any("once more to stop at once" in line for line in lines) is ending


def test_a_run_that_does_not_reply_is_a_line():
    assert drawn({"process": 7, "error": "process 7 does not reply"}) == ["process 7: process 7 does not reply"]


def test_before_the_first_volume_it_waits(tmp_path):
    made = session([lane(tmp_path / "mine", SCRIPT, Lines())])
    lines = drawn(status.described(made, ABOUT))
    made.run(Inbox(iter(())))
    assert lines[0].startswith("waiting for the first volume")
    assert row(lines, "feedback").split() == ["feedback"]


def test_no_color_leaves_bars_and_no_colour(pictures, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    written = io.StringIO()
    Console(file=written, force_terminal=True, width=80).print(screen.draw(pictures[-1], 80, 24, 0.0))
    codes = {code for part in written.getvalue().split("\x1b[")[1:] for code in part.split("m")[0].split(";")}
    assert codes <= {"0", "1", "2"}  # plain, bold, dim
    assert "▁▂▃" in written.getvalue()
