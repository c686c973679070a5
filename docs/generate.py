"""Write the pages of the reference that follow from the code: commands, elements, and lists of attributes in others."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
import private_elements
import profile_table
from attributes import filled

from rtbids.cli.main import cli

REFERENCE = Path(__file__).resolve().parent / "reference"
COMMANDS = REFERENCE / "commands.rst"
OF_ATTRIBUTES = (REFERENCE / "experiment.rst", REFERENCE / "config.rst")
INTRODUCTION = """\
Commands
========

What every command says under ``--help``. This page is made by ``make docs``.

Standard output is data and nothing else; what is meant for people is on standard error. What SOURCE and DEST may be, what is
written, and the exit codes: :doc:`files`.
"""


def contexts(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Yield a context for `command` and for each command below it, in the order in which they are listed."""
    ctx = click.Context(command, parent, name, terminal_width=80, **command.context_settings)
    yield ctx
    if isinstance(command, click.Group):
        for each in command.list_commands(ctx):
            below = command.get_command(ctx, each)
            assert below is not None
            yield from contexts(below, each, ctx)


def page() -> str:
    """Return the text of the page."""
    return "\n".join([INTRODUCTION, *(_section(ctx) for ctx in contexts(cli, "rtbids"))])


def _section(ctx: click.Context) -> str:
    title = ctx.command_path
    text = textwrap.indent(ctx.command.get_help(ctx), "    ", lambda line: bool(line.strip()))
    return f"{title}\n{'-' * len(title)}\n\n.. code-block:: text\n\n{text}\n"


if __name__ == "__main__":
    COMMANDS.write_text(page(), encoding="utf-8")
    for made in (private_elements, profile_table):
        made.PAGE.write_text(made.page(), encoding="utf-8")
    for each in OF_ATTRIBUTES:
        each.write_text(filled(each.read_text(encoding="utf-8")), encoding="utf-8")
