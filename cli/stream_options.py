"""Options of ``rtbids stream``: sizes, and what to do when a queue is full."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from rtbids.cli import options

F = TypeVar("F", bound=Callable[..., Any])
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
    help="When a DEST is slow and its queue full: hold SOURCE, or drop its oldest volumes (never of a .tar or a folder, and no"
    " DICOM files).",
)
room = click.option(
    "--queue", "room", type=Size(), default="64M", show_default=True, metavar="SIZE", help="What may wait for each DEST."
)
stays = click.option(
    "--keep",
    "stays",
    is_flag=True,
    help="Of ssh://HOST/NAME: stay connected between runs, which take NAME as their SOURCE there.",
)
keep_volumes = click.option(
    "--keep-volumes",
    "keep",
    type=click.Choice(["original", "corrected", "both"]),
    default="original",
    show_default=True,
    help="Which volumes to take where the scanner sends motion-corrected ones as well; --keep of the other commands.",
)
dry_run = click.option(
    "--dry-run", is_flag=True, help="Send nothing: show what would leave, its fields and elements by name, and what would not."
)


def spool_options(where: str, memory: str, what: str) -> Callable[[F], F]:
    """Add how much is held of `what`, and where; `memory` is the default."""

    def added(function: F) -> F:
        folder = click.Path(file_okay=False, path_type=Path)
        place = f"{where}: where that is; by default in ~/.local/state/rtbids/spool."
        function = click.option("--spool-folder", type=folder, metavar="DIR", help=place)(function)
        more = f"{where}: hold this much more on disk."
        function = click.option("--spool-disk", type=Size(), default="0", metavar="SIZE", help=more)(function)
        held = f"{where}: hold this much {what}."
        return click.option("--spool-memory", type=Size(), default=memory, show_default=True, metavar="SIZE", help=held)(
            function
        )

    return added


def far_options(function: F) -> F:
    """Add how far sides are reached; the command receives it as `far`, a `rtbids.cli.far_ends.Far`."""

    @options.ssh_options
    @spool_options("SSH", "64M", "that is not safe at the other end (of an ssh SOURCE there, not here)")
    @functools.wraps(function)
    def command(*args: Any, ssh: Any, spool_memory: int, spool_disk: int, spool_folder: Path | None, **kinds: Any) -> Any:
        from rtbids.cli.far_ends import Far, Held

        return function(*args, far=Far(ssh, Held(spool_memory, spool_disk, spool_folder)), **kinds)

    return command  # type: ignore[return-value]
