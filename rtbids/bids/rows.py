"""Tables whose rows have a name in one column, such as ``participants.tsv``: text in, text out, cells as they were written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from rtbids.bids import entities as bids_entities
from rtbids.errors import BadData

Row: TypeAlias = Mapping[str, str]
Rows: TypeAlias = Mapping[str, Row]
UNKNOWN = "n/a"
COLUMN = {"participants": "participant_id", "sessions": "session_id"}


def key(table: str, entities: Mapping[str, str]) -> str:
    """Return what the row of a subject, or of a session, is called in its table: ``sub-01``, ``ses-pre``."""
    return f"sub-{entities['subject']}" if table == "participants" else f"ses-{entities.get('session', '')}"


def file(table: str, entities: Mapping[str, str], extension: str) -> str:
    """Return where a table that has a row of these entities, or its sidecar, stands within the data set."""
    return str(bids_entities.sessions(entities, extension)) if table == "sessions" else f"{table}{extension}"


def lines(text: str) -> list[str]:
    """Return the lines of a table; only line feeds end a line, as a cell may hold any other character but a tab."""
    return [line.removesuffix("\r") for line in text.removeprefix("\ufeff").removesuffix("\n").split("\n")]


def read(text: str, column: str, where: str) -> dict[str, dict[str, str]]:
    """Return the rows by what stands in `column`, each without it; of two with the same name the first counts.

    Raises
    ------
    BadData
        Where there is no such column, or a row has not as many cells as the table has columns.
    """
    first, *others = lines(text)
    names = first.split("\t")
    if column not in names:
        raise BadData(f"{where}: expected a column {column}, found {first[:80]!r}")
    rows: dict[str, dict[str, str]] = {}
    for number, line in enumerate(others, 2):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) != len(names):
            raise BadData(f"{where}, line {number}: expected {len(names)} cells, found {len(cells)}")
        row = dict(zip(names, cells, strict=True))
        rows.setdefault(row.pop(column), row)
    return rows


def write(rows: Rows, column: str) -> str:
    """Return the text of a table with `column` first and every other column that a row has."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = [[key, *(row.get(name, UNKNOWN) for name in names)] for key, row in rows.items()]
    return "".join("\t".join(line) + "\n" for line in [[column, *names], *cells])


def put(text: str, column: str, key: str, row: Row, where: str) -> tuple[str, list[str]]:
    """Return the table with what it lacks of `row`, and the columns in which it says something else, which stay as they are.

    Other rows, their order and the line ends stay as well.
    """
    first, *others = lines(text) if text else [column]
    names = first.split("\t")
    new = [name for name in row if name not in names]
    table = [line.split("\t") + [UNKNOWN] * len(new) for line in others if line.strip()]
    names += new
    if column not in names or any(len(cells) != len(names) for cells in table):
        raise BadData(f"{where}: expected a table with a column {column} and as many cells in every row")
    place = names.index(column)
    wanted = [key if name == column else row.get(name, UNKNOWN) for name in names]
    found = next((cells for cells in table if cells[place] == key), None)
    if found is None:
        table.append(found := wanted)
    before, disagreeing = list(found), []
    for number, (there, cell) in enumerate(zip(before, wanted, strict=True)):
        if there in ("", UNKNOWN):
            found[number] = cell if cell not in ("", UNKNOWN) else there
        elif cell not in ("", UNKNOWN, there):
            disagreeing.append(names[number])
    end = "\r\n" if "\r\n" in text else "\n"
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    return mark + "".join("\t".join(cells) + end for cells in [names, *table]), disagreeing
