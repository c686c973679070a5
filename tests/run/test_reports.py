"""Reports that are written beside a run: what is said of it afterwards is still in the last."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_pages import ENTITIES, Page, Study, noise, whole_run

from rtbids.errors import RtbidsError, Stopped
from rtbids.run.report import report
from rtbids.run.report.reports import Reports, destination


def listed(study: Study) -> list[str]:
    return [e.text for e in Page(destination(study.root, ENTITIES).read_text(encoding="utf-8")).all("li")]


def test_a_warning_that_comes_after_the_report_is_in_it_in_the_end(tmp_path: Path) -> None:
    study, warnings = whole_run(tmp_path), ["said before"]
    with Reports(study.root, (), warnings, ()) as reports:
        reports.write(ENTITIES)
        while not destination(study.root, ENTITIES).exists():
            reports._thread.join(0.01)
        warnings.append("said while all was closed")
    assert {"said before", "said while all was closed"} <= set(listed(study))
    assert reports.written == [destination(study.root, ENTITIES)]


def test_reports_are_written_where_a_run_ends_with_an_error(tmp_path: Path) -> None:
    study = whole_run(tmp_path)

    def broken() -> None:
        with Reports(study.root, (), (), ()) as reports:
            reports.write(ENTITIES)
            raise OSError("the stream ended early")

    with pytest.raises(OSError, match="ended early"):
        broken()
    assert listed(study)


def test_who_stops_twice_does_not_wait_for_reports(tmp_path: Path) -> None:
    study = Study(tmp_path).raw(noise(4))
    reports = Reports(study.root, (), (), ())
    reports.__exit__(Stopped, Stopped(2), None)
    assert reports._thread.is_alive()
    reports.close()
    assert not reports._thread.is_alive()


def test_a_fault_in_one_report_costs_that_one_and_is_raised(tmp_path: Path, monkeypatch, caplog) -> None:
    study, write, seen = whole_run(tmp_path), report.write, []

    def odd_at_first(*arguments: object, **options: object) -> None:
        seen.append(arguments)
        if len(seen) == 1:
            raise ValueError("Nemo^Nobody")
        write(*arguments, **options)

    monkeypatch.setattr(report, "write", odd_at_first)
    reports = Reports(study.root, (), (), ())
    reports.write(ENTITIES)
    reports.write(ENTITIES)
    with pytest.raises(RtbidsError, match="the reports broke off: an internal fault of rtbids: ValueError"):
        reports.close()
    assert reports.written == [destination(study.root, ENTITIES)]
    assert "Nemo" not in caplog.text
