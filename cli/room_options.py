"""Options of ``rtbids run``: what may wait for a script, of volumes that go into no data set."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from rtbids.cli.stream_options import Size

F = TypeVar("F", bound=Callable[..., Any])


def room_options(function: F) -> F:
    """Add the options; the command receives them as `room`, a `rtbids.run.process.waiting.Room`."""

    @click.option(
        "--spool-memory",
        type=Size(),
        default="512M",
        show_default=True,
        metavar="SIZE",
        help="Without --bids-dir: hold this much, for each experiment, of what its script is behind with or cannot be reached "
        "for.",
    )
    @click.option(
        "--spool-disk", type=Size(), default="0", metavar="SIZE", help="Without --bids-dir: hold this much more on disk."
    )
    @click.option(
        "--spool-folder",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Where that is; by default in ~/.local/state/rtbids/spool.",
    )
    @click.option(
        "--when-full",
        type=click.Choice(["block", "drop"]),
        default="drop",
        show_default=True,
        help="When that is full: hold SOURCE, and with it all feedback, or leave the oldest volumes out of the script's "
        "analysis and say so.",
    )
    @functools.wraps(function)
    def command(
        *args: Any,
        spool_memory: int,
        spool_disk: int,
        spool_folder: Path | None,
        when_full: Literal["block", "drop"],
        **kinds: Any,
    ) -> Any:
        from rtbids import private
        from rtbids.run.process.waiting import Room

        folder = spool_folder or private.lasting_folder().parent / "spool" / "scripts"
        return function(*args, room=Room(spool_memory, spool_disk, folder, when_full), **kinds)

    return command  # type: ignore[return-value]
