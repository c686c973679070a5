"""What a report says of deadlines, alternates, restarts, responses and several experiments, held against the tables."""

from __future__ import annotations

import json

import numpy as np
import pytest
from report_pages import START, STEM, TR, Page, Study, noise, one_volume, whole_run

from rtbids.run.report.findings import Answer
from rtbids.run.report.promise import promise

RESPONSES = ("onset", "duration", "trial_type", "value", "arrived", "sender_time", "after_volume")


def row(page: Page, start: str) -> str:
    """Return the text of the one row of a table that begins so."""
    found = [each.text for each in page.all("tr") if each.text.startswith(start)]
    assert len(found) == 1, found
    return found[0]


def looked_at(page: Page) -> dict[str, str]:
    """Return the things to look at and the section that each leads to."""
    links = [element for element in page.all("a") if "nav" not in element.above]
    return {element.text: element.attributes["href"] for element in links}


def sidecar(study: Study, **experiments: object) -> Study:
    fields = {"GeneratedBy": [{"Name": "rtbids", "Version": "0.0.9"}], "Experiments": experiments}
    path = study.root / f"derivatives/rtbids/sub-01/func/{STEM}_desc-feedback_timeseries.json"
    path.write_text(json.dumps(fields))
    return study


def overdue(study: Study, count: int = 12, seed: int = 1) -> np.ndarray:
    """Let every third volume miss its deadline; return how many ms after its due time each alternate left."""
    late = np.random.default_rng(seed).gamma(2, 0.002, count)
    study.answers = []
    for volume in range(count):
        received = START + volume * TR
        head = ("roi", STEM, volume, 1.0)
        if volume % 3 == 2:
            study.answers.append((*head, "alternate", "deadline", received, received + 0.5, received + 0.5 + late[volume]))
        else:
            study.answers.append((*head, "ok", None, received, received + 0.5, received + 0.1))
    study.raw(noise(count)).tables()
    return late[2::3] * 1000


def test_how_late_alternates_left_is_what_the_table_says(tmp_path):
    study = Study(tmp_path)
    late = overdue(study)
    figures = [*np.percentile(late, [50, 99]), late.max()]
    shown = "".join(f"{x:.2f} ms" if x < 9.995 else f"{x:.1f} ms" for x in figures)
    worst = 2 + 3 * int(late.argmax())
    # the times stand in the table as POSIX seconds, of which a float holds some 0.2 µs
    assert row(study.report(), "alternates left after they were due") == f"alternates left after they were due4{shown}{worst}"


def test_an_alternate_that_left_early_is_not_counted_among_the_late(tmp_path):
    study = Study(tmp_path)
    late = overdue(study)
    study.answers[5] = (*study.answers[5][:-1], START + 5 * TR + 0.1)  # feedback was paused
    page = study.tables().report()
    assert row(page, "alternates left after they were due").startswith("alternates left after they were due3")
    assert f"{np.delete(late, 1).max():.2f} ms" in row(page, "alternates left")
    assert "1 alternate left before it was due: 5." in page.text


def test_each_outcome_is_counted_and_its_volumes_are_named(tmp_path):
    page = whole_run(tmp_path).report()
    assert row(page, "ok: ") == f"ok: the script's answer, in time37{100 * 37 / 40:.1f} %"
    assert row(page, "missing: ").endswith("12.5 %7")
    assert row(page, "deadline: ").endswith("12.5 %20")
    assert row(page, "error: ").endswith("12.5 %21")
    assert row(page, "late: ").endswith("12.5 %20")
    marks = {symbol: page.marks(symbol, "d0") for symbol in ("late", "alternate", "failed", "missing")}
    assert marks == dict.fromkeys(marks, 1)


def test_what_was_foreseen_is_told_from_what_was_not(tmp_path):
    study = Study(tmp_path)
    overdue(study)  # 2, 5, 8 and 11 missed
    text = sidecar(study, roi={"PredictedMisses": [4, 5, 8]}).report().text
    assert "3 answers expected to miss the due time, and 2 of them did; 2 misses came unforeseen." in text


def test_a_pause_is_no_failure(tmp_path):
    study = Study(tmp_path)
    overdue(study)  # 2, 5, 8 and 11 missed
    for volume in range(4, 9):
        received = START + volume * TR
        study.answers[volume] = ("roi", STEM, volume, None, "alternate", "deadline", received, received + 0.5, received)
    page = sidecar(study.tables(), roi={"PredictedMisses": [], "Paused": [[4, 8]]}).report()
    assert {"feedback was paused for volumes 4–8", "2 volumes had an alternate, as no answer came in time: 2, 11"} <= {
        *looked_at(page)
    }
    assert "2 misses came unforeseen" in page.text
    assert "before they were due" not in page.text
    assert row(page, "paused: ") == f"paused: feedback was paused5{100 * 5 / 12:.1f} %4–8"
    assert page.facts()["Alternates"].startswith(f"{100 * 7 / 12:.1f} %")


def test_an_end_that_was_broken_off_is_no_script_that_was_given_up(tmp_path):
    page = sidecar(whole_run(tmp_path), roi={"EndBrokenOff": "end() was broken off after 5 s"}).report()
    assert "end() was broken off after 5 s" in looked_at(page)
    assert "given up" not in page.text


def test_restarts_are_listed_with_their_reason(tmp_path):
    study = whole_run(tmp_path)
    restarts = [{"Volume": 20, "Reason": "it was silent for 20 s"}, {"Volume": 22, "Reason": "asked for", "SHA256": "ab"}]
    page = sidecar(study, roi={"Restarts": restarts, "GivenUp": {"Volume": 30, "Reason": "<b>gone</b>"}}).report()
    assert row(page, "volume 20") == "volume 20 · 0:40it was silent for 20 s"
    assert row(page, "volume 22") == "volume 22 · 0:44asked for; the script had been changed"
    assert row(page, "volume 30") == "volume 30 · 1:00<b>gone</b>; it was not started again"
    assert page.marks("beyond", "d0") == 2
    assert "the script was started again 2 times" in looked_at(page)


@pytest.mark.parametrize(
    "odd", [[], {"Restarts": 3, "PredictedMisses": "x"}, {"Restarts": [1, {}], "GivenUp": [], "Paused": [[1], ["a", 2]]}, None]
)
def test_a_sidecar_that_somebody_changed_costs_no_report(tmp_path, odd):
    page = sidecar(whole_run(tmp_path), roi=odd).report()
    assert page.facts()["Feedback ok"] == "92.5 %"


def test_what_is_wrong_comes_first_and_leads_to_its_section(tmp_path):
    page = whole_run(tmp_path).report(warnings=["a slice was lost"], faults=["a file was broken"])
    found = looked_at(page)
    assert list(found) == [
        "1 fault in what came in",
        "1 volume never came: 7",
        "1 volume had an alternate, as no answer came in time: 20",
        "1 volume had an alternate, as the script failed: 21",
        "1 warning",
    ]
    ids = {element.attributes.get("id") for element in page.all("section")}
    assert {link.removeprefix("#") for link in found.values()} <= ids
    assert "5 things to look at" in page.text
    assert "39 of 40 volumes came. 37 of 40 volumes had feedback in time." in page.text


def test_with_nothing_wrong_nothing_is_to_be_looked_at(tmp_path):
    assert looked_at(one_volume(tmp_path).report()) == {}


def test_alternates_that_left_long_after_they_were_due_are_among_what_to_look_at(tmp_path):
    study = Study(tmp_path)
    late = overdue(study)
    assert late.max() < 50
    assert not [text for text in looked_at(study.report()) if "after they were due" in text]
    study.answers[2] = (*study.answers[2][:-1], START + 2 * TR + 0.5 + 0.2)
    assert "alternates left up to 200 ms after they were due" in looked_at(study.tables().report())


def test_experiments_are_compared_in_the_order_in_which_they_were_asked_for(tmp_path):
    study = whole_run(tmp_path)
    study.answers += [("other", *row[1:3], 5.0, "ok", None, *row[6:8], row[6]) for row in study.answers if row[6] is not None]
    page = sidecar(study.tables(), other={"Settings": {"gain": 2}}, roi={"Settings": {"gain": 3}}).report()
    titles = [element.text for element in page.all("h3")]
    assert titles[:2] == ["other", "roi"]
    ms = np.percentile([(r[8] - r[6]) * 1000 for r in study.answers if r[0] == "roi" and r[4] != "late" and r[6]], [50])
    assert row(page, "roi").startswith(f"roi37 of 4031{ms[0]:.1f} ms")
    assert "Settings · gain23" in [each.text for each in page.all("tr")]
    assert "Recorded by rtbids0.0.9" in [each.text for each in page.all("tr")]


def respond(study: Study, *rows: tuple[object, ...], offset: float = 0.25) -> Study:
    """Add responses at (seconds of the run, name, value), as they are written during a run."""
    begin = START - TR  # of the first volume
    for onset, name, value in rows:
        study_row = (onset, 0.0, name, value, begin + onset, begin + onset + offset, int(onset // TR) - 1)
        study.presses.append(study_row)  # type: ignore[attr-defined]
    study._table("responses", " ".join(RESPONSES), study.presses)  # type: ignore[attr-defined]
    return study


@pytest.fixture
def pressed(tmp_path):
    study = whole_run(tmp_path)
    study.presses = []
    return respond(study, (10.5, "button", "1"), (20.25, "button", "2"), (31.0, "stimulus", None))


def test_responses_are_shown_with_the_times_of_both_clocks(pressed):
    page = pressed.report()
    assert "3 responses came in during the run: button 1 (1), button 2 (1), stimulus (1)." in page.text
    assert row(page, "button1") == "button110.500 s10.750 s250 ms4"
    assert row(page, "stimulus") == "stimulusn/a31.000 s31.250 s250 ms14"
    assert page.marks("press", "events-chart") == 3
    assert "In the median the sender's time was 250 ms ahead of the arrival here" in page.text
    assert not [text for text in looked_at(page) if "clock" in text]


def test_a_clock_that_disagrees_is_among_what_to_look_at(pressed):
    respond(pressed, *[(40.0 + n, "button", "1") for n in range(9)], offset=-90.0)
    page = pressed.report()
    assert looked_at(page)["the sender's clock was 90.0 s behind ours"] == "#events-and-responses"


@pytest.mark.parametrize("pace", [TR, TR / 10])
def test_a_press_stands_at_the_volume_during_which_it_came_whatever_the_pace(tmp_path, pace):
    study = Study(tmp_path).raw(noise(10))
    study.times = [(v, None, START + v * pace, None, None, None, START + v * pace) for v in range(10)]
    study.answers = [("roi", STEM, v, 1.0, "ok", None, START + v * pace, None, START + v * pace) for v in range(10)]
    study.tables()
    arrived = START + 4.5 * pace  # half way through volume 5, which is received at 5 paces
    study._table("responses", " ".join(RESPONSES), [(arrived - START + TR, 0.0, "button", "1", arrived, None, 4)])
    page = study.report()
    (press,) = [e for e in page.all("use") if e.attributes["href"] == "#press" and "ul" not in e.above]
    assert press.attributes["x"] == "55.00%"


def test_the_promise_of_one_experiment_is_read_from_its_lines():
    lines = [Answer("a", 0, 1.0, "alternate", "deadline", 0.0, 1.0, 1.25), Answer("a", 0, 2.0, "late", "", 0.0, 1.0, 3.0)]
    found = promise(lines, {"PredictedMisses": [0, 7]})
    assert (found.overrun, found.late_by, found.came_true) == ({0: 0.25}, {0: 2.0}, (0,))
    assert promise(lines).predicted is None


def test_settings_that_one_experiment_has_alone_share_a_row(tmp_path):
    study = whole_run(tmp_path)
    study.answers += [("other", *row[1:]) for row in study.answers]
    about = {"SHA256": "ab" * 32, "Settings": {"gain": 2}, "Deadline": 1.0}
    left = {"Regions": {"left": {"File": "left.nii", "SHA256": "cd" * 32}}}
    page = sidecar(
        study.tables(), roi=about, other={**about, "Settings": {"gain": 3, "window": 4, "slow": True}, **left}
    ).report()
    rows = [each.text for each in page.all("tr")]
    assert "Settings · gain23" in rows
    assert "Settingswindow 4; slow yes" in rows
    assert "Regionsleft left.nii (cdcdcdcdcdcd…)" in rows
    assert rows.index("Settings · gain23") < rows.index("Settingswindow 4; slow yes") < rows.index("Deadline1 s1 s")
    assert "Its SHA-256abababababab…abababababab…" in rows
