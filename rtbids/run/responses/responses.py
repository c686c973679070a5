"""A button press or another event that somebody sends during a run: read from a line, and kept as a row of ``events.tsv``.

A line is an object as JSON, ``{"event": "button", "value": "1", "time": 1700000000.25}``, of which only ``event`` must be
there, or plain text, which is the value of an event named ``response``.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from rtbids.archive.tables import cell
from rtbids.bids.events import LONGEST, Event
from rtbids.errors import BadData

PLAIN = "response"  # the name of an event that is plain text
LONGEST_NAME = 100  # characters
MOST_SECONDS = 1e300  # what a table and every sum of it can hold
KEYS = ("event", "value", "time", "duration")
COLUMNS = ("onset", "duration", "trial_type", "value", "arrived", "sender_time", "after_volume")
_LIVE = "after_volume"  # a row that has this came live
SIDECAR: Mapping[str, Any] = {
    "value": {"Description": "What was sent with an event that came during the run, such as the button that was pressed"},
    "arrived": {
        "Description": "When an event came in that was sent during the run, POSIX time on the clock of the analysis. Its onset "
        "is this less the beginning of the first volume, taken to be one repetition time before its last byte was received, in "
        "the run's own time: a replay that was N times as fast has N seconds to a second",
        "Units": "s",
    },
    "sender_time": {"Description": "The same event on the clock of the machine that sent it, POSIX time", "Units": "s"},
    "after_volume": {"Description": "Index of the newest volume when the event came in that was sent during the run"},
}


@dataclass(frozen=True)
class Response:
    """An event that came in while a run was on.

    Attributes
    ----------
    name
        ``button``, or what the sender called it; ``trial_type`` in ``events.tsv``.
    value
        What was sent with it, as text: ``1`` of the button 1; empty where nothing was.
    arrived
        POSIX seconds on the clock of the run, as all its times.
    sender_time
        POSIX seconds on the sender's clock, None where it did not say.
    duration
        Seconds.
    onset
        Seconds from the beginning of the run's first volume.
    after_volume
        Index of the newest volume when it came.
    """

    name: str
    value: str = ""
    arrived: float = 0.0
    sender_time: float | None = None
    duration: float = 0.0
    onset: float = 0.0
    after_volume: int = 0


def parse(line: bytes, arrived: float) -> tuple[Response, list[str]]:
    """Read a line; return the response, and the keys that mean nothing here.

    Raises
    ------
    BadData
        It says what was expected, without quoting the line.
    """
    try:
        text = line.decode().strip()
    except UnicodeDecodeError:
        raise BadData("expected text in UTF-8") from None
    if text.startswith("{"):
        fields = _read_json(text)
        return _from_object(fields, arrived), [key for key in fields if key not in KEYS]
    if not text.isprintable():
        raise BadData("expected a line of text, found control characters")
    return Response(PLAIN, _as_cell(text), arrived), []


def _read_json(text: str) -> Mapping[str, Any]:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    try:
        found: Mapping[str, Any] = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise BadData(f"expected JSON: {error}") from None
    return found


def _from_object(fields: Mapping[str, Any], arrived: float) -> Response:
    name = fields.get("event")
    if not isinstance(name, str) or not (cleaned := _as_cell(name)) or len(cleaned) > LONGEST_NAME:
        raise BadData(f'expected a name of up to {LONGEST_NAME} characters under "event"')
    time, duration = _number(fields, "time"), _number(fields, "duration", 0.0, LONGEST)
    return Response(cleaned, _as_cell(fields.get("value")), arrived, time, duration or 0.0)


def _as_cell(value: object) -> str:
    """Return a value as text that every reader of a table reads as one cell; empty where there is none.

    Some readers take a quotation mark at its beginning for the beginning of a quotation.
    """
    try:
        said = cell(value)
    except RecursionError:
        raise BadData('expected a "value" that is nested less deep') from None
    text = "".join(character if character.isprintable() else " " for character in said).strip()
    return "" if text == "n/a" else text.replace('"', "'") if text.startswith('"') else text


def _number(fields: Mapping[str, Any], key: str, least: float = -MOST_SECONDS, most: float = MOST_SECONDS) -> float | None:
    value = fields.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        at_most = f", {most:.0f} at most" if most < MOST_SECONDS else ""
        raise BadData(f'expected seconds under "{key}"{at_most}')
    return float(value)


def row(response: Response) -> tuple[object, ...]:
    """Return a response by the COLUMNS."""
    return (
        response.onset,
        response.duration,
        response.name,
        response.value or None,
        response.arrived,
        response.sender_time,
        response.after_volume,
    )


def event(response: Response) -> Event:
    """Return a response as the row of ``events.tsv`` that it becomes."""
    cells = dict(zip(COLUMNS, map(cell, row(response)), strict=True))
    return Event(response.onset, response.duration, response.name, cells)


def merged(events: str | None, responses: Iterable[Response]) -> str:
    """Return the text of ``events.tsv`` with the responses among its rows, in order of onset."""
    columns, rows = _table(events)
    columns += [column for column in COLUMNS if column not in columns]
    for response in responses:
        cells = dict(zip(COLUMNS, map(cell, row(response)), strict=True))
        rows.append(cells)
    rows.sort(key=lambda cells: _float(cells.get("onset"), math.inf))
    return _written(columns, rows)


def split(events: str) -> tuple[str, tuple[Response, ...]]:
    """Return the events that were known beforehand, and, in the order in which they came, those that came live."""
    columns, rows = _table(events)
    if _LIVE not in columns:
        return events, ()
    live = [cells for cells in rows if _is_live(cells)]
    known = [column for column in columns if column not in ("arrived", "sender_time", _LIVE)]
    rest = _written(known, [cells for cells in rows if not _is_live(cells)])
    return rest, tuple(sorted(map(_response, live), key=lambda response: (response.after_volume, response.arrived)))


def _is_live(cells: Mapping[str, str]) -> bool:
    return (cells.get(_LIVE) or "").isdecimal()


def _response(cells: Mapping[str, str]) -> Response:
    value, sender_time = cells.get("value") or "n/a", _float(cells.get("sender_time"), math.nan)
    return Response(
        cells.get("trial_type") or "n/a",
        "" if value == "n/a" else value,
        _float(cells.get("arrived")),
        None if math.isnan(sender_time) else sender_time,
        _float(cells.get("duration")),
        _float(cells.get("onset")),
        int(cells[_LIVE]),
    )


def _float(text: str | None, otherwise: float = 0.0) -> float:
    try:
        return float(text or "n/a")
    except ValueError:
        return otherwise


def _table(events: str | None) -> tuple[list[str], list[dict[str, str]]]:
    if events is None:
        return [], []
    table = csv.DictReader(io.StringIO(events.removeprefix("\ufeff")), delimiter="\t", quoting=csv.QUOTE_NONE)
    return list(table.fieldnames or ()), [dict(cells) for cells in table]


def _written(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    lines = ["\t".join(columns), *("\t".join(cells.get(column) or "n/a" for column in columns) for cells in rows)]
    return "\n".join(lines) + "\n"
