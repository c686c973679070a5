"""Options of ``rtbids run``: what may wait for a script, of volumes that go into no data set."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from rtbids.cli.stream_options import spool_options

F = TypeVar("F", bound=Callable[..., Any])


def room_options(function: F) -> F:
    """Add the options; the command receives them as `room`, a `rtbids.run.process.waiting.Room`."""

    @spool_options(
        "Without --bids-dir",
        "512M",
        "of the volumes that a script is behind with or that cannot come to it, for each experiment",
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
