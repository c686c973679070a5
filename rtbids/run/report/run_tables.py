"""The tables of feedback and of latencies, read back; a table that a kill cut short is one too."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from rtbids.archive.writer import MOST_VOLUMES
from rtbids.bids import entities as bids_entities
from rtbids.run.record.record import STAGES
from rtbids.run.report.findings import Answer, Value
from rtbids.run.report.measures import Floats

DERIVATIVE = Path("derivatives", "rtbids")
MOST = MOST_VOLUMES  # a broken table shall not ask for gigabytes


def path(entities: Mapping[str, str], description: str, extension: str = ".tsv") -> Path:
    """Return where a table of a run stands in the study."""
    return DERIVATIVE / bids_entities.path({**entities, "description": description}, "timeseries", extension)


def rows(file: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a table with ``n/a`` as the empty text; none where there is no table.

    A row that a kill cut short, be it in its last number, is an empty one.
    """
    if not file.is_file():
        return
    text = file.read_text(encoding="utf-8", errors="replace")
    lines = text.split("\n")
    for row in csv.DictReader(lines[:-1], delimiter="\t", quoting=csv.QUOTE_NONE):
        whole = None not in row and None not in row.values()
        yield {name: "" if cell == "n/a" else cell for name, cell in row.items()} if whole else {}
    if lines[-1]:
        yield {}


def answers(file: Path, troubles: list[str]) -> Iterator[Answer]:
    """Yield the lines of feedback; how many could not be read is added to `troubles`."""
    broken = 0
    for row in rows(file):
        try:
            yield _answer(row)
        except (KeyError, ValueError):
            broken += 1
    _note(file, broken, troubles)


def _answer(row: Mapping[str, str]) -> Answer:
    return Answer(
        experiment=row["experiment"],
        volume=_index(row["volume"]),
        value=_value(row["value"]),
        status=row["status"],
        reason=row["reason"],
        received=number(row["received"]),
        due=number(row["due"]),
        sent=number(row["sent"]),
    )


def times(file: Path, troubles: list[str]) -> dict[str, Floats]:
    """Return when each volume passed each stage; how many rows could not be read is added to `troubles`."""
    found: dict[int, list[float]] = {}
    broken = 0
    for row in rows(file):
        try:
            found[_index(row["volume"])] = [number(row[name]) for name in STAGES]
        except (KeyError, ValueError):
            broken += 1
    _note(file, broken, troubles)
    table = np.full((len(STAGES), max(found, default=-1) + 1), np.nan)
    for volume, moments in found.items():
        table[:, volume] = moments
    return dict(zip(STAGES, table, strict=True))


def times_of(answers: Sequence[Answer]) -> dict[str, Floats]:
    """Return what the feedback table alone says of times: enough for the latency, not for its stages."""
    sent = {answer.volume: answer for answer in reversed(answers) if answer.status != "late"}
    times = {name: np.full(max(sent, default=-1) + 1, np.nan) for name in STAGES}
    for volume, answer in sent.items():
        times["received"][volume], times["sent"][volume] = answer.received, answer.sent
    return times


def number(text: object) -> float:
    """Return a finite number, or NaN for whatever is none."""
    try:
        number = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _note(file: Path, broken: int, troubles: list[str]) -> None:
    if broken:
        troubles.append(f"{file.name}: {broken} line(s) could not be read and are left out")


def _index(text: str) -> int:
    volume = int(text)
    if not 0 <= volume <= MOST:
        raise ValueError(text)
    return volume


def _value(text: str) -> Value:
    """Return a number or an object; ``n/a``, not a number and what is neither are None."""
    if text.startswith('"'):  # quoted as CSV would
        text = text[1:-1].replace('""', '"')
    if text.startswith("{"):
        fields = json.loads(text)
        return fields if isinstance(fields, dict) else None
    found = number(text)
    return None if math.isnan(found) else found
