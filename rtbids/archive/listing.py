"""Tables that list what a data set holds, ``participants.tsv`` and ``*_scans.tsv``: text in, text out.

Rows and columns that are there already stay as they are, whatever they hold.
"""

from __future__ import annotations

from rtbids.bids.rows import lines
from rtbids.errors import BadData


def keys(text: str, column: str, where: str) -> list[str]:
    """Return what stands in `column`, row by row."""
    first, *rows = lines(text)
    place = _place(first, column, where)
    return [cells[place] for row in rows if len(cells := row.split("\t")) > place]


def with_row(text: str, column: str, key: str, where: str) -> str:
    """Return the table with a row for `key`, the other columns ``n/a``; an empty `text` becomes a table of one column."""
    text = text or f"{column}\n"
    if key in keys(text, column, where):
        return text
    first = lines(text)[0]
    cells = ["n/a"] * len(first.split("\t"))
    cells[_place(first, column, where)] = key
    end = "\r\n" if "\r\n" in text else "\n"
    return text + ("" if text.endswith("\n") else end) + "\t".join(cells) + end


def without_row(text: str, column: str, key: str, where: str) -> str:
    """Return the table without the rows for `key`."""
    first, *rows = [line + "\n" for line in text.removesuffix("\n").split("\n")]
    place = _place(first.removeprefix("\ufeff").rstrip("\r\n"), column, where)
    return first + "".join(row for row in rows if row.rstrip("\r\n").split("\t")[place : place + 1] != [key])


def _place(first: str, column: str, where: str) -> int:
    try:
        return first.split("\t").index(column)
    except ValueError:
        raise BadData(f"{where}: expected a column {column}, found {first[:80]!r}") from None
