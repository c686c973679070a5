"""``rtbids archive``: the data set that grows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from rtbids.cli import options


@click.group(name="archive", short_help="Grow a BIDS data set.")
def command() -> None:
    """Grow a BIDS data set.

    \b
    Example:
      rtbids convert /data/export --no-wait | rtbids archive add study
    """


@command.command(name="add", short_help="Add the volumes of a stream.")
@click.argument("bids_dir", type=click.Path(path_type=Path))
@click.argument("source", default="-")
@options.overwrite
@options.entity_options
@options.identified
@options.open_timeout
@options.common_options
def add(
    bids_dir: Path, source: str, overwrite: bool, entities: Mapping[str, str], identified: bool, open_timeout: float
) -> None:
    """Add the volumes of SOURCE (standard input by default) to the BIDS data set BIDS_DIR, which is made where there is none.

    A run that is there already is not touched: the new one takes the next free number, unless --run asks for that very number.

    \b
    Example:
      rtbids replay study --run 1 --speed max | rtbids archive add copy
    """
    from rtbids.cli import archiving
    from rtbids.cli.request import Request
    from rtbids.cli.stopping import stopping
    from rtbids.cli.withheld import withheld

    with stopping() as stop:
        kept = withheld(identified=identified)
        request = Request(source, entities, speed=None, stop=stop, open_timeout=open_timeout, withheld=kept)
        archiving.convert(request, bids_dir, None, overwrite=overwrite)
