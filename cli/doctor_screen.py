"""What ``rtbids doctor`` has found, a line a thing, the reasons under what is not well."""

from __future__ import annotations

import io
import sys
import textwrap
from collections.abc import Iterator, Sequence

import click
from rich.console import Console
from rich.text import Text

from rtbids.run.doctor.row import Mark, Row
from rtbids.run.one_line import printable

WIDEST = 100
STYLES = {Mark.OK: "green", Mark.LOOK: "yellow", Mark.CANNOT: "bold red"}
_MARK, _NAME = 11, 12  # columns


def show(rows: Sequence[Row], said: str) -> None:
    """Print the rows and what follows from them on standard output."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without arrows
    console = Console(highlight=False, soft_wrap=True)
    width = min(console.width, WIDEST)
    with console.capture() as caught:
        for row in rows:
            for line in lines(row, width):
                console.print(line)
        console.print()
        for part in textwrap.wrap(said, width):
            console.print(Text(part, style="bold"))
    click.echo(caught.get(), nl=False)


def lines(row: Row, width: int) -> Iterator[Text]:
    """Return the lines of a row; one without a name goes on from the one above."""
    mark = str(row.mark) if row.name else ""
    parts = _wrapped(row.text, width) or [""]
    yield Text.assemble((mark.ljust(_MARK), STYLES[row.mark]), row.name.ljust(_NAME), parts[0])
    indent = " " * (_MARK + _NAME)
    for part in parts[1:]:
        yield Text(indent + part)
    for text in (row.why, f"→ {row.do}" if row.do else ""):
        for part in _wrapped(text, width):
            yield Text(indent + part, style=STYLES[row.mark] if text == row.why else "")


def _wrapped(text: str, width: int) -> list[str]:
    """Wrap at blanks only: paths and commands are copied."""
    room = max(30, width - _MARK - _NAME)
    return textwrap.wrap(printable(text), room, break_long_words=False, break_on_hyphens=False)
