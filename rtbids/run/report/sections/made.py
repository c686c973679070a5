"""The part of a report that says how the feedback was made: software, experiments, settings, files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from rtbids.run.record.provenance import without_folders
from rtbids.run.report.figures.scales import number
from rtbids.run.report.findings import Findings
from rtbids.run.report.markup import items, table

_TITLES = {
    "file": "Experiment file",
    "Script": "Experiment file",
    "sha256": "Its SHA-256",
    "SHA256": "Its SHA-256",
    "name": "Experiment",
}
_UNITS = {"Deadline": "s", "deadline": "s", "smooth": "mm"}
_CHECKSUM = re.compile("[0-9a-f]{64}")
_TOLD_ELSEWHERE = {"PredictedMisses", "Restarts", "Paused", "GivenUp", "EndBrokenOff", "EveryVolumeFailed"}


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
    told = {name: {label: _brief(text) for label, text in described(about)} for name, about in recorded.items()}
    own = {label for label, count in Counter(label for rows in told.values() for label in rows).items() if count == 1}
    told = {name: _gathered(rows, own) for name, rows in told.items()}
    seen = list(dict.fromkeys(label for rows in told.values() for label in rows))
    heads = list(dict.fromkeys(map(_head, seen)))
    labels = sorted(seen, key=lambda label: heads.index(_head(label)))
    rows = [(label, *(rows.get(label, "") for rows in told.values())) for label in labels]
    return table("Experiments; checksums are whole in the sidecars", ("setting", *told), rows, "words columns")


def _gathered(rows: Mapping[str, str], own: Collection[str]) -> dict[str, str]:
    """Put what is said of one experiment only into one row for all that is under one name: ``Settings`` → ``window 3; …``."""
    gathered: dict[str, str] = {}
    for label, text in rows.items():
        above, _, name = label.partition(" · ")
        if label in own and name.endswith(" · SHA256") and above in gathered:
            gathered[above] += f" ({text})"
        elif label in own and name:
            before = f"{gathered[above]}; " if above in gathered else ""
            gathered[above] = f"{before}{name.removesuffix(' · File')} {text}"
        else:
            gathered[label] = text
    return gathered


def _head(label: str) -> str:
    return label.partition(" · ")[0]


def _brief(text: str) -> str:
    return f"{text[:12]}…" if _CHECKSUM.fullmatch(text) else text


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
