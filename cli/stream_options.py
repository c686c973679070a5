"""Options of ``rtbids stream``: sizes, and what to do when a queue is full."""

from __future__ import annotations

from typing import Any

import click

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class Size(click.ParamType[int]):
    """Bytes, or ``500k``, ``64M``, ``2G``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        digits, unit = (value[:-1], value[-1]) if value and value[-1] in _UNITS else (value, "")
        try:
            size = float(digits)
        except ValueError:
            size = -1.0
        if not 0 <= size < float("inf"):
            self.fail(f"expected a size such as 500k, 64M or 2G, found {value!r}", param, ctx)
        return int(size * _UNITS[unit])


when_full = click.option(
    "--when-full",
    type=click.Choice(["block", "drop"]),
    default="block",
    show_default=True,
    help="When a DEST is slow and its queue full: hold SOURCE, or drop its oldest volumes (never of a .tar or a folder).",
)
room = click.option(
    "--queue", "room", type=Size(), default="64M", show_default=True, metavar="SIZE", help="What may wait for each DEST."
)
