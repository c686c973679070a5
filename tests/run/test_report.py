"""The report of a run, read back as a browser would: its figures, its marks, and what it must not hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import nibabel
import numpy as np
import pytest
from report_pages import ENTITIES, START, STEM, TR, Page, Study, noise, one_volume, whole_run

from rtbids.errors import CannotWrite
from rtbids.run.report import report
from rtbids.run.report.findings import Findings

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;"


def sent_after(study: Study) -> np.ndarray:
    """Milliseconds from receipt to feedback, by the table alone."""
    return np.array([(row[-1] - row[2]) * 1000 for row in study.times if row[2] is not None])  # type: ignore[operator]


def test_key_facts_are_what_the_tables_say(tmp_path: Path) -> None:
    study = whole_run(tmp_path)
    facts = study.report().facts()
    latency = sent_after(study)
    assert facts["Volumes received"] == "39"
    assert facts["Missing volumes"] == "1"
    assert facts["Repetition time (TR)"] == "2 s"
    assert facts["Duration"] == "1 min 20 s"
    assert facts["Feedback ok"] == f"{100 * 37 / 40:.1f} %"
    assert facts["Alternates"] == f"{100 * 3 / 40:.1f} %"
    assert facts["Late answers"] == "1"
    assert facts["Median latency"] == f"{np.percentile(latency, 50):.1f} ms"
    assert facts["99th percentile"] == f"{np.percentile(latency, 99) / 1000:.2f} s"
    assert facts["Worst latency"] == f"{latency.max() / 1000:.2f} s"


def test_every_exception_has_its_own_symbol(tmp_path: Path) -> None:
    page = whole_run(tmp_path).report()
    assert page.marks("alternate", "f0-0") == 3
    assert page.marks("late", "f0-0") == 1
    assert page.marks("missing", "f0-0") == 1
    assert page.marks("ok", "f0-0") == 37
    assert page.marks("beyond", "latency") == 1


def test_an_alternate_without_a_value_is_marked_under_the_plot(tmp_path: Path) -> None:
    study = Study(tmp_path).raw(noise(4))
    study.answers = [("roi", STEM, v, None, "alternate", "error", START, START + 2, START + 1) for v in range(4)]
    page = study.tables().report()
    assert page.marks("alternate", "f0-0") == 4
    assert page.facts()["Feedback ok"] == "0.0 %"


def test_each_number_of_an_object_has_a_curve(tmp_path: Path) -> None:
    study = whole_run(tmp_path, value=lambda v: {"left": v / 10, "right": -v / 12, "note": "text", "flag": True})
    page = study.report()
    names = {e.attributes["class"] for e in page.all("path", "line") if "stretched" not in e.classes and "figure" in e.above}
    assert {"line s1", "line s2"} <= names
    assert "line s3" not in names
    assert {"left", "right"} <= {e.text for e in page.all("li")}


def test_numbers_of_different_size_have_a_chart_each(tmp_path: Path) -> None:
    page = whole_run(tmp_path, value=lambda v: {"change": v / 100, "raw": 900 + v}).report()
    titles = [e.text for e in page.all("title")]
    assert "Feedback of roi by volume: change" in titles
    assert "Feedback of roi by volume: raw" in titles


def test_conditions_are_summarised_as_numpy_does(tmp_path: Path) -> None:
    values = np.random.default_rng(8).normal(1, 2, 40).round(4)
    page = whole_run(tmp_path, value=lambda v: values[v]).report()
    onsets = np.arange(40) * TR
    ok = ~np.isin(np.arange(40), [7, 20, 21])
    inside = ok & (((onsets >= 10) & (onsets < 30)) | ((onsets >= 50) & (onsets < 70)))
    for name, part in (("regulate", values[inside]), ("rest", values[ok & ~inside])):
        expected = f"{name}{part.size}{part.mean():.4g}{part.std(ddof=1):.4g}".replace("-", "−")
        assert expected in [row.text for row in page.all("tr")]


def test_events_are_shaded_where_they_were(tmp_path: Path) -> None:
    page = whole_run(tmp_path).report()
    for style, times in (("shade", 1), ("bar", 2)):  # a bar along the feedback, and one along the events
        places = [(e.attributes["x"], e.attributes["width"]) for e in page.all("rect", style) if "ul" not in e.above]
        assert places == [("12.50%", "25.00%"), ("62.50%", "25.00%")] * times


def test_a_known_truth_is_drawn_and_correlated(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    truth = np.sin(np.arange(40) / 5)
    values = (truth + rng.normal(0, 0.3, 40)).round(6)
    page = whole_run(tmp_path, value=lambda v: values[v]).report(truth=truth.tolist())
    ok = ~np.isin(np.arange(40), [7, 20, 21])
    assert f"r = {np.corrcoef(truth[ok], values[ok])[0, 1]:.3f} over 37 volumes" in page.text
    assert [e for e in page.all("path", "truth") if "figure" in e.above]


def test_stages_of_the_table_are_percentiles_of_their_differences(tmp_path: Path) -> None:
    study = whole_run(tmp_path)
    rows = {e.text for e in study.report().all("tr")}
    converted = np.array([(row[3] - row[2]) * 1000 for row in study.times if row[2] is not None])  # type: ignore[operator]
    figures = [*np.percentile(converted, [50, 95, 99]), converted.max()]
    shown = "".join(f"{x:.2f} ms" if x < 9.995 else f"{x:.1f} ms" for x in figures)
    assert f"received → converted39{shown}" in rows


def rules(page: Page) -> list[str]:
    return [e.text for e in page.all("text", "rule-name")]


def due_after(study: Study, *limits: float) -> Study:
    """Have volumes answered within 280 ms, due as many seconds after receipt as `limits` say, the last one on and on."""
    dues = [*limits, *[limits[-1]] * (30 - len(limits))]
    received = [START + v * TR for v in range(30)]
    study.answers = [("roi", STEM, v, 1.0, "ok", None, r, r + dues[v], r + 0.28) for v, r in enumerate(received)]
    study.times = [(v, None, r, r, r, r + 0.28, r + 0.28) for v, r in enumerate(received)]
    return study.raw(noise(30)).tables()


def test_one_deadline_is_one_line_and_volumes_with_another_due_time_are_told_aside(tmp_path: Path) -> None:
    page = due_after(Study(tmp_path), 0.475, 0.3261, 0.2, 0.3000004, 0.3).report()
    assert [text for text in rules(page) if text.startswith("deadline")] == ["deadline 0.3 s"]
    assert "Feedback was due 0.3 s after the last byte of a volume." in page.text
    assert "2 volumes had longer, up to 475 ms (0–1)" in page.text
    assert "1 volume had less, 200 ms at the least (2)" in page.text


def test_the_deadline_that_was_recorded_counts_where_each_volume_had_its_own_due_time(tmp_path: Path) -> None:
    study = due_after(Study(tmp_path), *(0.25 + n / 300 for n in range(30)))
    assert "deadline 0.25 s" in rules(study.report())
    about = {"GeneratedBy": [{"Version": "1"}], "Experiments": {"roi": {"Deadline": 0.24}}}
    study.page.with_name("sub-01").joinpath(f"func/{STEM}_desc-feedback_timeseries.json").write_text(json.dumps(about))
    assert "deadline 0.24 s" in rules(study.report())


@pytest.mark.parametrize(
    ("other", "expected"), [(0.31, ["deadline 0.3 s and 0.31 s"]), (0.6, ["deadline 0.3 s", "deadline 0.6 s"])]
)
def test_names_of_deadlines_do_not_lie_on_each_other(tmp_path: Path, other: float, expected: list[str]) -> None:
    study = due_after(Study(tmp_path), 0.3)
    study.answers += [("other", *row[1:7], row[6] + other, row[8]) for row in study.answers]  # type: ignore[operator]
    page = study.tables().report()
    assert [text for text in rules(page) if text.startswith("deadline")] == expected
    assert f"Feedback was due 0.3 s (roi), {other} s (other) after the last byte" in page.text


def test_the_file_is_named_as_it_is_called_in_the_end(tmp_path: Path) -> None:
    study = whole_run(tmp_path)
    study.bold.rename(study.bold.with_suffix(""))
    listed = [e.text for e in study.report().all("li")]
    assert f"sub-01/func/{STEM}_bold.nii.gz" in listed
    assert f"sub-01/func/{STEM}_bold.nii" not in listed


def test_several_experiments_have_a_part_each(tmp_path: Path) -> None:
    study = whole_run(tmp_path)
    study.answers += [("other", *row[1:]) for row in study.answers]
    page = study.tables().report()
    assert {"roi", "other"} <= {e.text for e in page.all("h3")}
    assert page.facts()["Feedback ok"] == "92.5 %"
    assert page.marks("alternate", "f1-0") == 3


def no_files(root: Path) -> Study:
    return Study(root)


def empty_tables(root: Path) -> Study:
    return Study(root).tables()


def nothing_known(root: Path) -> Study:
    study = Study(root, [("roi", STEM, v, None, "ok", None, None, None, None) for v in range(5)])
    study.times = [(v, *[None] * 6) for v in range(5)]
    return study.raw(noise(5)).tables()


def no_repetition_time(root: Path) -> Study:
    return whole_run(root).raw(noise(39), RepetitionTime="n/a")


def all_missing(root: Path) -> Study:
    study = Study(root, [("roi", STEM, v, 0, "alternate", "missing", None, None, START) for v in range(5)])
    return study.tables()


def flat(root: Path) -> Study:
    study = Study(root, [("roi", STEM, v, 1e-300, "ok", None, START + v, None, START + v) for v in range(5)])
    return study.raw(np.zeros((4, 4, 4, 5), np.float32)).tables()


def enormous(root: Path) -> Study:
    values = [1e308, -1e308, 1e250, 0, 10**400]
    study = Study(root, [("roi", STEM, v, x, "ok", None, START + v, None, START + v) for v, x in enumerate(values)])
    return study.raw(noise(5)).tables()


def empty_object(root: Path) -> Study:
    return whole_run(root, value=lambda v: {})


SECTIONS = [
    "Feedback",
    "Deadlines and alternates",
    "Latency by stage",
    "Volumes",
    "Brain",
    "Warnings and faults",
    "How it was made",
]
SCARCE = (
    no_files,
    empty_tables,
    one_volume,
    nothing_known,
    no_repetition_time,
    all_missing,
    flat,
    enormous,
    empty_object,
    whole_run,
)


@pytest.mark.parametrize("make", SCARCE, ids=lambda make: make.__name__)
@pytest.mark.filterwarnings("error")
def test_whatever_is_known_gives_a_well_formed_page(tmp_path: Path, make: Callable[[Path], Study]) -> None:
    page = make(tmp_path).report(truth=[0, 1, 0, 1, 0])
    titles = [e.text for e in page.all("h2")]
    assert [title for title in titles if title not in ("Events and responses",) and "to look at" not in title] == SECTIONS
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in page.elements:
        for name in element.attributes.get("aria-labelledby", "").split():
            assert name in ids
        assert not {"nan", "inf", "nan%"} & set(element.attributes.values()), element
    assert "nan" not in page.text.lower().split()


@pytest.mark.parametrize("make", SCARCE, ids=lambda make: make.__name__)
def test_the_page_refers_to_nothing_outside_itself(tmp_path: Path, make: Callable[[Path], Study]) -> None:
    page = make(tmp_path).report()
    assert "http" not in make(tmp_path).page.read_text(encoding="utf-8").replace("http-equiv", "")
    for element in page.elements:
        assert element.tag not in {"script", "link", "iframe", "img"}
        assert "src" not in element.attributes
        assert element.attributes.get("href", "#").startswith(("#", "data:image/png;base64,"))
        assert element.attributes.get("href", "#")[1:] in ids(page) or not element.attributes.get("href", "").startswith("#")


def ids(page: Page) -> set[str]:
    return {"", *(e.attributes["id"] for e in page.elements if "id" in e.attributes)}


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    study = whole_run(tmp_path, value=lambda v: {HOSTILE: v, "other": HOSTILE})
    study.answers = [(HOSTILE, *row[1:5], HOSTILE, *row[6:]) for row in study.answers]
    study.tables().events((10, 20, HOSTILE))
    experiment: Mapping[str, object] = {"file": HOSTILE, "settings": {HOSTILE: HOSTILE}, "rois": {HOSTILE: HOSTILE}}
    page = study.report(warnings=[HOSTILE], faults=[HOSTILE], experiment=experiment)
    assert not page.all("script")
    assert not page.all("img")
    assert not [name for e in page.elements for name in e.attributes if name.startswith("on")]
    assert HOSTILE in [e.text for e in page.all("li")]
    assert HOSTILE in next(e.text for e in page.all("p", "lead"))


def test_neither_dates_nor_folders_are_shown(tmp_path: Path) -> None:
    study = whole_run(tmp_path / "Jane Doe")
    (tmp_path / "experiment.py").write_text("def feedback(volume, run): return 0.0\n", encoding="utf-8")
    experiment = {"file": tmp_path / "experiment.py", "settings": {"table": "/home/jane/weights.tsv"}}
    warnings = [f"{tmp_path}/dicom/0012.dcm: truncated, left out", f"{study.root}/sub-01/func/x.nii: no space left"]
    experiment["rois"] = {"target": "/home/Jane Doe/masks/target.nii"}
    page = study.report(warnings=warnings, experiment=experiment)
    written = study.page.read_text(encoding="utf-8")
    assert str(tmp_path) not in written
    assert "jane" not in written.lower()
    assert "17000000" not in written
    assert "2023" not in page.text
    assert "0012.dcm: truncated, left out" in [e.text for e in page.all("li")]
    assert "sub-01/func/x.nii: no space left" in [e.text for e in page.all("li")]
    assert {"Experiment fileexperiment.py", "rois · targettarget.nii"} <= {e.text for e in page.all("tr")}


def test_the_experiment_is_identified_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "experiment.py").write_bytes(b"abc")  # whose SHA-256 is the example of FIPS 180-2
    page = whole_run(tmp_path / "study").report(experiment={"file": tmp_path / "experiment.py", "settings": {"window": 3}})
    rows = [e.text for e in page.all("tr")]
    assert "Its SHA-256ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" in rows
    assert "settings · window3" in rows


def test_a_run_that_was_killed_has_a_report(tmp_path: Path) -> None:
    study = whole_run(tmp_path)
    growing = study.bold.with_suffix("")
    nibabel.Nifti1Image(noise(39), np.eye(4)).to_filename(growing)
    study.bold.unlink()
    with growing.open("r+b") as file:
        file.truncate(352 + 6 * 7 * 5 * 2 * 30 + 17)  # in the middle of volume 30
    table = tmp_path / f"derivatives/rtbids/sub-01/func/{STEM}_desc-feedback_timeseries.tsv"
    table.write_bytes(table.read_bytes()[:-60])  # in the middle of the last line
    page = study.report()
    assert page.facts()["Volumes received"] == "30"
    warnings = [e.text for e in page.all("li")]
    assert "the 4-D file promises 39 volumes and holds 30" in warnings
    assert f"{table.name}: 1 line(s) could not be read and are left out" in warnings


def test_a_file_that_is_no_image_is_a_warning(tmp_path: Path) -> None:
    study = whole_run(tmp_path)
    study.bold.write_bytes(b"\x1f\x8b\x08\x00nonsense")
    page = study.report()
    assert page.facts()["Volumes received"] == "39"
    assert any(f"{study.bold.name}: not a NIfTI file" in e.text for e in page.all("li"))


def test_without_a_latency_table_the_feedback_table_gives_the_latency(tmp_path: Path) -> None:
    study = whole_run(tmp_path)
    (tmp_path / f"derivatives/rtbids/sub-01/func/{STEM}_desc-latency_timeseries.tsv").unlink()
    assert study.report().facts()["Median latency"] == f"{np.median(sent_after(study)):.1f} ms"


def test_volumes_filled_in_are_not_counted_as_received(tmp_path: Path) -> None:
    study = whole_run(tmp_path)
    study.raw(noise(40), MissingVolumes=[7])  # --fill-gaps: the file has all forty
    assert study.report().facts()["Volumes received"] == "39"


def test_a_mask_on_another_grid_is_named_and_not_drawn(tmp_path: Path) -> None:
    study = whole_run(tmp_path)
    for name, shape in (("fits", (6, 7, 5)), ("other", (6, 7, 4))):
        mask = np.zeros(shape, np.uint8)
        mask[2:4, 2:5, 2] = 1
        nibabel.Nifti1Image(mask, np.diag([3.0, 3, 3, 1])).to_filename(tmp_path / f"{name}.nii.gz")
    page = study.report(experiment={"rois": {name: tmp_path / f"{name}.nii.gz" for name in ("fits", "other")}})
    assert len([e for e in page.all("path", "outline") if "ul" not in e.above]) == 1
    assert any("other.nii.gz" in e.text and "(6, 7, 5)" in e.text and "(6, 7, 4)" in e.text for e in page.all("li"))


def test_nothing_amiss_is_said_so(tmp_path: Path) -> None:
    page = one_volume(tmp_path).report()
    assert [e.text for e in page.all("p")].count("None.") == 2
    assert "The one volume came. 1 of 1 volume had feedback in time." in page.text
    assert "Nothing to look at" in page.text


def test_six_hundred_volumes_make_less_than_two_megabytes(tmp_path: Path) -> None:
    study = whole_run(
        tmp_path, 600, value=lambda v: {"left": np.sin(v), "right": np.cos(v), "difference": np.sin(v) - np.cos(v)}
    )
    study.raw(np.random.default_rng(1).integers(0, 900, (64, 64, 36, 3)).astype(np.int16))  # noise: what compresses least
    study.report()
    assert study.page.stat().st_size < 2_000_000


def test_an_earlier_report_stays_where_the_new_one_cannot_be_written(tmp_path: Path) -> None:
    study = whole_run(tmp_path)
    study.report()
    with pytest.raises(CannotWrite, match="cannot write"):
        report.write(study.root, ENTITIES, study.page / "below a file.html")
    assert [file.name for file in study.page.parent.glob("*.html")] == [study.page.name]


def test_findings_alone_are_enough_to_render() -> None:
    page = Page(report.render(Findings(STEM)))
    assert page.facts()["Volumes received"] == "0"
    assert "Nothing was received and no feedback was given." in page.text


def test_a_file_that_lost_volumes_is_noticed(tmp_path: Path) -> None:
    page = whole_run(tmp_path).raw(noise(37), MissingVolumes=[7]).report()
    assert "the 4-D file holds 37 volumes as they were received, the tables speak of 39" in [e.text for e in page.all("li")]


def test_what_waited_for_the_deadline_does_not_flatten_the_others(tmp_path: Path) -> None:
    study = whole_run(tmp_path)
    for volume in range(0, 40, 3):  # a third of the run
        known = study.times[volume][1:5]
        study.times[volume] = (volume, *known, None, START + TR * volume + 2)
    page = study.tables().report()
    assert page.marks("beyond", "latency") == 15  # the fourteen, and volume 20
