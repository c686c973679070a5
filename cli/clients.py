"""``rtbids clients``: the files that a task on the stimulus computer needs."""

from __future__ import annotations

from pathlib import Path

import click

from rtbids.cli import options


@click.command(name="clients", short_help="Put the files for the stimulus computer into a folder.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@options.common_options
def command(folder: Path) -> None:
    """Put the files for the stimulus computer into FOLDER: a client and a task that uses it.

    rtbids_client.py and rtbids_thermometer.py are for PsychoPy and any other Python, rtbids_client.m and rtbids_thermometer.m
    for MATLAB and Octave with Psychtoolbox. They need no rtbids: take them to the stimulus computer, and begin your task with
    the thermometer.

    \b
    Example:
      rtbids clients my_task
    """
    from rtbids.cli import console
    from rtbids.run.feedback.client_files import put

    for path in put(folder):
        console.say(f"written: {path}")
