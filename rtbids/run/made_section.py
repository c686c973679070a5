"""The part of a report that says how the feedback was made: software, experiments, settings, files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rtbids.run.charts import number
from rtbids.run.findings import Findings
from rtbids.run.markup import items, table
from rtbids.run.provenance import without_folders

_TITLES = {
    "file": "Experiment file",
    "Script": "Experiment file",
    "sha256": "Its SHA-256",
    "SHA256": "Its SHA-256",
    "name": "Experiment",
}
_UNITS = {"Deadline": "s", "deadline": "s", "smooth": "mm"}
_TOLD_ELSEWHERE = {"PredictedMisses", "Restarts", "GivenUp"}


def made(found: Findings) -> str:
    """Return the section; what the run recorded of itself goes before what the caller says."""
    out = table("Software and machine of this report", (), found.made_with.items(), "words")
    return out + _experiments(found) + _sources(found)


def _experiments(found: Findings) -> str:
    several = len(found.recorded) > 1
    about = found.recorded if several else next(iter(found.recorded.values()), {}) or found.experiment
    if several:
        return _side_by_side(found.recorded)
    name = next(iter(found.recorded), "")
    rows = list(described(about))
    return table(f"Experiment {name}".strip(), (), rows, "words") if rows else ""


def _side_by_side(recorded: Mapping[str, Mapping[str, object]]) -> str:
    """Put experiments in columns, so that what differs is seen."""
    told = {name: dict(described(about)) for name, about in recorded.items()}
    labels = list(dict.fromkeys(label for rows in told.values() for label in rows))
    rows = [(label, *(rows.get(label, "") for rows in told.values())) for label in labels]
    return table("Experiments", ("setting", *told), rows, "words columns")


def _sources(found: Findings) -> str:
    if not found.sources:
        return ""
    lead = "<p>These files of the study are the record; this page is drawn from them.</p>"
    return "<h3>Read from</h3>" + lead + items(found.sources)


def described(entries: Mapping[str, object], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield label and text of every entry, those of a mapping under its name; of a path only the last part."""
    for name, value in entries.items():
        label = f"{above}{name}"
        if name in _TOLD_ELSEWHERE:
            continue
        if isinstance(value, Mapping):
            yield from described({str(key): part for key, part in value.items()}, f"{label} · ")
        else:
            yield _TITLES.get(label, label), _told(name, value)


def _told(name: str, value: object) -> str:
    if value is None:
        return "default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and name in _UNITS:
        return f"{number(value)} {_UNITS[name]}"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if isinstance(value, Path) or name in {"file", "script"} or text.startswith("/"):
        return Path(text).name
    return without_folders(text)
