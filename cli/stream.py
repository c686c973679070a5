"""``rtbids stream``: from one place to several, on this machine and over SSH."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import click

from rtbids.cli import options, stream_options

if TYPE_CHECKING:
    from rtbids.cli.deid_stage import Wish
    from rtbids.cli.sources import Live
    from rtbids.stream.branch import WhenFull


@click.command(name="stream", short_help="Move a stream from one place to several, losing nothing.")
@click.argument("source")
@click.argument("destinations", nargs=-1, required=True, metavar="DEST...")
@stream_options.when_full
@stream_options.room
@options.entity_options
@options.keep
@options.identified
@options.stage_options
@options.live_options
@options.open_timeout
@options.common_options
def command(
    source: str,
    destinations: tuple[str, ...],
    when_full: WhenFull,
    room: int,
    entities: Mapping[str, str],
    keep: Literal["original", "corrected", "both"],
    identified: bool,
    wish: Wish,
    live: Live,
    open_timeout: float,
) -> None:
    """Move a stream from SOURCE to each DEST; a slow one holds up no other until its queue is full.

    SOURCE is a DICOM folder or a port that the scanner sends to (dicom-scp://[AET@]host:port), which are converted; or a stream
    (- for standard input, a named pipe, a .tar file, a folder of BIDS-I), whose members pass as they are.

    DEST is - for standard output, a named pipe, a .tar file, or a folder, which is a BIDS data set that grows. An image is let
    go of by its source when every DEST has it safe. The reader of a named pipe may leave and come back: it begins with what it
    has to know, and with a whole volume.

    \b
    Examples:
      rtbids stream /data/export volumes.fifo run.tar study
      rtbids watch /data/export | rtbids stream - first.fifo second.fifo --when-full drop
    """
    from rtbids.cli import console, deid_stage, sources, streaming
    from rtbids.cli.stopping import stopping
    from rtbids.cli.withheld import withheld

    streaming.check(source, destinations)
    stage = deid_stage.stage(wish, identified=identified)
    with stopping() as stop:
        request = sources.Request(
            source, entities, live, keep, None, None, stop, open_timeout, on_mode=console.watching(source)
        )
        request = replace(request, deidentify=stage, withheld=withheld(identified=identified))
        order = streaming.Order(destinations, when_full, room, open_timeout)
        streaming.stream(request, order)
