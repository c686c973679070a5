"""A study with one run, made by code, and its report read back as a browser would."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import nibabel
import numpy as np

from rtbids.run.report import report

ENTITIES = {"subject": "01", "task": "nf", "run": "01"}
STEM = "sub-01_task-nf_run-01"
START = 1_700_000_000.0
TR = 2.0
VOID = {"meta", "link", "br", "img", "input", "hr"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    above: tuple[str, ...]
    text: str = ""
    own: str = ""  # without that of the elements in it

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()


class Page(HTMLParser):
    """The elements of a page in order; an end tag that closes nothing, or another element, is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {[element.tag for element in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(e.tag for e in self._open))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop().tag == tag

    def handle_data(self, text: str) -> None:
        for element in self._open:
            element.text += text
        if self._open:
            self._open[-1].own += text

    def all(self, tag: str, style: str = "") -> list[Element]:
        return [e for e in self.elements if e.tag == tag and (not style or style in e.classes)]

    @property
    def text(self) -> str:
        return next(e.text for e in self.elements if e.tag == "body")

    def facts(self) -> dict[str, str]:
        """The key facts; what stands small under a figure is left out."""
        return {dt.text: dd.own for dt, dd in zip(self.all("dt"), self.all("dd"), strict=True)}

    def marks(self, symbol: str, chart: str) -> int:
        """How often a symbol stands in the chart whose key this is."""
        here = 0
        inside = False
        for element in self.elements:
            if element.tag == "svg" and "field" in element.classes:
                inside = element.attributes["aria-labelledby"].startswith(f"{chart}-t")
            if inside and element.tag == "use" and "field" not in element.classes and element.above.count("ul") == 0:
                here += element.attributes["href"] == f"#{symbol}"
        return here


@dataclass
class Study:
    """A study on disk with one run; `answers` and `times` are what its tables say."""

    root: Path
    answers: list[tuple[object, ...]] = field(default_factory=list)
    times: list[tuple[object, ...]] = field(default_factory=list)

    @property
    def bold(self) -> Path:
        return self.root / f"sub-01/func/{STEM}_bold.nii.gz"

    def raw(self, data: np.ndarray, affine: np.ndarray | None = None, **fields: object) -> Study:
        self.bold.parent.mkdir(parents=True, exist_ok=True)
        nibabel.Nifti1Image(data, np.diag([3.0, 3, 3, 1]) if affine is None else affine).to_filename(self.bold)
        sidecar = {"RepetitionTime": TR, **fields}
        self.bold.with_name(f"{STEM}_bold.json").write_text(json.dumps(sidecar), encoding="utf-8")
        return self

    def events(self, *rows: tuple[float, float, str]) -> Study:
        lines = ["onset\tduration\ttrial_type", *("\t".join(map(str, row)) for row in rows)]
        self.bold.with_name(f"{STEM}_events.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return self

    def tables(self) -> Study:
        self._table("feedback", "experiment run volume value status reason received due sent", self.answers)
        self._table("latency", "volume acquired received converted analysed answered sent", self.times)
        return self

    def _table(self, name: str, columns: str, rows: Iterable[tuple[object, ...]]) -> None:
        folder = self.root / "derivatives/rtbids/sub-01/func"
        folder.mkdir(parents=True, exist_ok=True)
        lines = [columns.replace(" ", "\t"), *("\t".join(map(cell, row)) for row in rows)]
        (folder / f"{STEM}_desc-{name}_timeseries.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def report(self, **options: object) -> Page:
        report.write(self.root, ENTITIES, self.page, **options)  # type: ignore[arg-type]
        return Page(self.page.read_text(encoding="utf-8"))

    @property
    def page(self) -> Path:
        return self.root / "derivatives/rtbids" / f"{STEM}.html"


def cell(value: object) -> str:
    if value is None:
        return "n/a"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def noise(count: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 900, (6, 7, 5, count)).astype(np.int16)


def whole_run(root: Path, count: int = 40, value: Callable[[int], object] = float) -> Study:
    """A run in which volume 7 never came, 20 was answered late and 21 failed."""
    study, rng = Study(root), np.random.default_rng(5)
    for volume in range(count):
        received = START + volume * TR + rng.normal(0, 0.01)
        due = received + TR
        head = ("roi", STEM, volume, value(volume))
        if volume == 7:
            study.answers.append((*head, "alternate", "missing", None, due, due))
            study.times.append((volume, None, None, None, None, None, due))
            continue
        steps = received + np.cumsum(rng.gamma(2, 0.003, 4))
        if volume == 20:
            study.answers.append((*head, "alternate", "deadline", received, due, due + 0.001))
            study.answers.append((*head, "late", None, received, due, due + 1))
            study.times.append((volume, None, received, *steps[:2], due + 1, due + 0.001))
        else:
            status = ("alternate", "error") if volume == 21 else ("ok", None)
            study.answers.append((*head, *status, received, due, steps[3]))
            study.times.append((volume, None, received, *steps))
    study.raw(noise(count - 1), MissingVolumes=[7])
    return study.events((10, 20, "regulate"), (50, 20, "regulate")).tables()


def one_volume(root: Path) -> Study:
    study = Study(root, [("roi", STEM, 0, 1.5, "ok", None, START, START + 2, START + 0.01)])
    study.times = [(0, None, START, START, START, START, START + 0.01)]
    return study.raw(noise(1)).tables()
