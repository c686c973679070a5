"""Conditions in a report: colours and patterns that tell eight apart, for every kind of colour vision and in both modes."""

from __future__ import annotations

import itertools
import re
from importlib import resources

import numpy as np
import pytest
from report_pages import TR, Study, whole_run

from rtbids.bids.events import Event, Events
from rtbids.run.report.figures import legends
from rtbids.run.report.figures.condition_marks import stretches, styles_of
from rtbids.run.report.findings import Findings

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB
SEEN_BY = {
    "trichromats": np.eye(3),
    "protanopes": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopes": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopes": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
APART = 25  # CIE 1976; 2.3 is just noticeable, and patches this small need some ten times that
CSS = resources.files("rtbids.run.report").joinpath("page.css").read_text(encoding="utf-8")
MODES = dict(zip(("light", "dark", "print"), re.findall(r":root \{(.*?)\}", CSS, re.DOTALL), strict=True))


def linear(mode: str, name: str) -> np.ndarray:
    """Return a colour of the style sheet as linear RGB."""
    text = re.search(rf"--{name}: #([0-9a-f]+);", MODES[mode])
    assert text is not None
    digits = text[1] if len(text[1]) == 6 else "".join(2 * digit for digit in text[1])
    srgb = np.array([int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)])
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    white = TO_XYZ.sum(axis=1)
    part = TO_XYZ @ rgb.clip(0, 1) / white
    f = np.where(part > 216 / 24389, np.cbrt(part), (24389 / 27 * part + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("eyes", SEEN_BY)
def test_eight_conditions_and_rest_have_colours_that_everybody_tells_apart(mode: str, eyes: str) -> None:
    seen = {f"b{n}": lab(np.asarray(SEEN_BY[eyes]) @ linear(mode, f"b{n}")) for n in range(9)}
    apart = {pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in itertools.combinations(seen, 2)}
    assert min(apart.values()) > APART, min(apart, key=lambda pair: apart[pair])


@pytest.mark.parametrize("mode", MODES)
def test_colours_of_conditions_stand_out_from_the_paper(mode: str) -> None:
    paper = TO_XYZ[1] @ linear(mode, "paper")
    for n in range(1, 9):
        low, high = sorted((float(paper), float(TO_XYZ[1] @ linear(mode, f"b{n}"))))
        assert (high + 0.05) / (low + 0.05) >= 3  # WCAG 2.2, 1.4.11


def test_each_colour_has_a_pattern_of_its_own() -> None:
    shapes = re.findall(r'<pattern id="fill-(b\d)".*?<path class="\1" d="(.*?)"/></pattern>', legends.SYMBOLS)
    assert [name for name, _ in shapes] == [f"b{n}" for n in range(1, 10)]
    assert len({shape for _, shape in shapes}) == len(shapes)
    for name, _ in shapes:
        assert f".bar.{name} {{ fill: url(#fill-{name}); }}" in CSS


def of(*names: str) -> Findings:
    events = Events(tuple(Event(20.0 * place, 5.0, name) for place, name in enumerate(names)))
    return Findings("sub-01", count=400, repetition_time=TR, events=events)


def test_eight_conditions_have_eight_marks_and_rest_a_quiet_one() -> None:
    styles = styles_of(of("rest", *"abcdefgh"))
    assert styles.pop("rest") == "b0"
    assert sorted(styles.values()) == [f"b{n}" for n in range(1, 9)]


def test_conditions_beyond_the_eighth_share_a_mark_that_is_said_to_be_shared(tmp_path) -> None:
    styles = styles_of(of(*"abcdefghij"))
    assert (styles["h"], styles["i"], styles["j"]) == ("b8", "b9", "b9")
    page = whole_run(tmp_path).events(*((7.0 * n, 5.0, name) for n, name in enumerate("abcdefghij"))).report()
    listed = [element.text for element in page.all("li")]
    assert {"a", "h", "others: i, j"} <= set(listed)
    assert not {"i", "j"} & set(listed)
    rows = [element.text for element in page.all("text") if "field" not in element.classes]
    assert "others" in rows


def test_events_that_follow_each_other_within_a_volume_are_drawn_as_one() -> None:
    rows = (Event(0.0, 0.9, "face"), Event(1.0, 0.9, "face"), Event(3.5, 0.7, "face"), Event(8.0, 1.0, "face"))
    others = (Event(9.0, 1.0, "house"), Event(10.0, 1.0, "face"))
    found = stretches(Findings("sub-01", count=9, repetition_time=2.0, events=Events((*rows, *others))))
    assert [(one.condition, one.start, one.stop) for one in found] == [
        ("face", 0.0, 2.1),
        ("face", 4.0, 4.5),
        ("house", 4.5, 5.0),
        ("face", 5.0, 5.5),
    ]


def test_feedback_that_is_an_object_has_small_charts_and_one_table_with_a_column_each(tmp_path) -> None:
    values = np.random.default_rng(3).normal(0, 1, 40).round(4)
    page = whole_run(tmp_path, value=lambda v: {"change": values[v], "raw": 900.0 + v, "flag": True}).report()
    assert [element.text for element in page.all("h4")] == ["change", "raw"]
    ok = np.array([n not in (7, 20, 21) for n in range(40)])
    within = ok & np.array([10 <= n * TR < 30 or 50 <= n * TR < 70 for n in range(40)])
    told = [f"{x.mean():.4g} ± {x.std(ddof=1):.4g}" for x in (values[within], 900.0 + np.flatnonzero(within))]
    assert f"regulate{within.sum()}{''.join(told)}".replace("-", "−") in [row.text for row in page.all("tr")]
    (caption,) = {e.text for e in page.all("p", "caption") if "Values answered" in e.text}
    assert "each condition of which an event overlaps its TR" in caption


def test_of_several_experiments_the_tables_are_folded_and_the_outcomes_lie_side_by_side(tmp_path) -> None:
    study: Study = whole_run(tmp_path, value=lambda v: {"a": v / 100, "b": 900 + v})
    study.answers += [(name, *row[1:]) for name in ("two", "three") for row in study.answers[:41]]
    page = study.tables().report()
    summaries = [element.text for element in page.all("summary")]
    assert summaries.count("Values by condition") == 3
    assert "two: 37 of 40 in time, 3 alternates, 1 late" in summaries
    assert page.marks("failed", "d") == 3
