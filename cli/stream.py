"""``rtbids stream``: from one place to several, on this machine and over SSH."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import click

from rtbids.cli import options, stream_options

if TYPE_CHECKING:
    from rtbids.cli.deid_stage import Wish
    from rtbids.cli.far_ends import Far
    from rtbids.cli.request import Live
    from rtbids.stream.branch import WhenFull


@click.command(name="stream", short_help="Move a stream from one place to several, losing nothing.")
@click.argument("source")
@click.argument("destinations", nargs=-1, required=True, metavar="DEST...")
@stream_options.when_full
@stream_options.room
@stream_options.stays
@stream_options.dry_run
@stream_options.far_options
@options.entity_options
@stream_options.keep_volumes
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
    stays: bool,
    dry_run: bool,
    far: Far,
    entities: Mapping[str, str],
    keep: Literal["original", "corrected", "both"],
    identified: bool,
    wish: Wish,
    live: Live,
    open_timeout: float,
) -> None:
    """Move a stream from SOURCE to each DEST; a slow one holds up no other until its queue is full.

    SOURCE is a DICOM folder or a port that the scanner sends to (dicom-scp://[AET@]host:port), which are converted; or a stream
    (- for standard input, a named pipe, a .tar file, a folder of BIDS-I), whose members pass as they are. On another machine
    (ssh://host/PATH: a DICOM folder, a named pipe or a .tar file there) it is watched, de-identified and converted there.

    DEST is - for standard output, a named pipe, a .tar file, or a folder, which is a BIDS data set that grows; and any of these
    on another machine: ssh://[user@]host[:port]/PATH, or /~/PATH in the home folder there. It needs rtbids, and nothing that
    listens but sshd. A cut is mended, each volume arrives once and in order, and what leaves is de-identified, unless
    --no-deidentify or --identified.

    With --keep the place is a NAME: a connected source, which stays between runs. There rtbids status --sources shows it, and
    a run there takes it as its SOURCE; what comes meanwhile waits here, in the spool.

    An image is let go of by its source when every DEST has it safe. The reader of a named pipe may leave and come back: it
    begins with what it has to know, and with a whole volume.

    \b
    Examples:
      rtbids stream /data/export volumes.fifo run.tar study
      rtbids stream /data/export ssh://me@cloud.example.org/~/study --dry-run
      rtbids stream /data/export ssh://me@cloud.example.org/~/study
      rtbids stream /data/export ssh://me@cloud.example.org/scanner --keep
      rtbids stream ssh://me@console/data/export study volumes.fifo
      rtbids convert /data/export | rtbids stream - first.fifo second.fifo --when-full drop
    """
    from rtbids.cli import console, deid_stage, streaming
    from rtbids.cli import dry_run as rehearsal
    from rtbids.cli.request import Request, kind_of
    from rtbids.cli.stopping import stopping
    from rtbids.cli.withheld import withheld
    from rtbids.stream import endpoints

    streaming.check(source, destinations, stays=stays)
    if any(map(endpoints.is_far, destinations)) and wish.deidentify is None and not identified:
        wish = replace(wish, deidentify=True)
    stage = deid_stage.of_source(source, wish, identified=identified, late=kind_of(source) == "stream")
    with stopping() as stop:
        request = Request(source, entities, live, keep, None, None, stop, open_timeout, on_mode=console.watching(source))
        request = replace(request, deidentify=stage, withheld=withheld(identified=identified), far=far, wish=wish)
        order = streaming.Order(destinations, when_full, room, open_timeout, far, stays)
        (rehearsal.show if dry_run else streaming.stream)(request, order)
