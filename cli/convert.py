"""``rtbids convert``: DICOM → BIDS-I or a BIDS data set; BIDS-I → BIDS; BIDS → BIDS-I."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from rtbids.cli import options

if TYPE_CHECKING:
    from rtbids.cli.deid_stage import Wish
    from rtbids.cli.request import Live
    from rtbids.cli.whole_session import Choice
    from rtbids.stream.ssh.settings import SshOptions


@click.command(name="convert", short_help="Turn DICOM into BIDS, volume by volume.")
@click.argument("source", default="-")
@click.option("--to", "destination", metavar="DEST", help="Write BIDS-I to -, a named pipe or a .tar file.")
@click.option("-o", "--bids-dir", type=click.Path(path_type=Path), metavar="DIR", help="Write a BIDS data set.")
@click.option("--volumes", type=click.IntRange(1), metavar="N", help="End after N volumes.")
@click.option("--check", is_flag=True, help="Convert nothing for good: compare with the dcm2niix binary, series by series.")
@options.overwrite
@options.entity_options
@options.keep
@options.session_options
@options.identified
@options.stage_options
@options.live_options
@options.ssh_options
@options.open_timeout
@options.common_options
def command(
    source: str,
    destination: str | None,
    bids_dir: Path | None,
    volumes: int | None,
    check: bool,
    overwrite: bool,
    entities: Mapping[str, str],
    keep: Literal["original", "corrected", "both"],
    others: Choice,
    identified: bool,
    wish: Wish,
    live: Live,
    ssh: SshOptions,
    open_timeout: float,
) -> None:
    """Turn SOURCE into BIDS: BIDS-I as a stream (one NIfTI a volume), or a data set with -o.

    SOURCE is a DICOM folder or file, a port that the scanner sends to (dicom-scp://[AET@]host:port), a tar stream of DICOM
    files or of BIDS-I (a named pipe, a .tar file, - for standard input; of BIDS-I a folder too, as tar x makes it), a BIDS data
    set or one of its runs. At ssh://HOST/PATH a DICOM folder, a named pipe or a .tar file is taken, de-identified and converted
    on that machine.

    What is written says nothing of who was measured, where and on which day, unless --identified asks for it.

    \b
    Examples:
      rtbids convert /data/export --no-wait -o study --subject 07
      rtbids watch /data/export | rtbids convert --to volumes.tar
      rtbids convert /data/export --check
      rtbids convert /data/export --no-wait -o scratch --session-map map.yaml -v
    """
    from rtbids.cli import archiving, checking, console, deid_stage, sources, streams
    from rtbids.cli.far_ends import Far
    from rtbids.cli.request import Request
    from rtbids.cli.stopping import stopping
    from rtbids.cli.withheld import withheld
    from rtbids.errors import UsageFault
    from rtbids.pipeline import first_volumes

    if destination and bids_dir:
        raise UsageFault("--to and -o exclude each other", "rtbids run --bids-dir keeps and passes on")
    if check:
        if destination or bids_dir:
            raise UsageFault(f"--check writes nothing, so that {'--to' if destination else '-o'} has no place beside it")
        checking.report(Request(source, live=replace(live, wait=False)))
        return
    stage = deid_stage.of_source(source, wish, identified=identified)
    with stopping() as stop:
        request = Request(source, entities, live, keep, None, None, stop, open_timeout, on_mode=console.watching(source))
        request = replace(request, deidentify=stage, withheld=withheld(identified=identified), far=Far(ssh), wish=wish)
        request = replace(request, hurry=not (destination or "").endswith(".tar"))  # a reader of a pipe may wait for volumes
        if bids_dir is None:
            items = first_volumes(sources.items(request), volumes)
            streams.send_items(items, destination or "-", stop, open_timeout)
        else:
            archiving.convert(request, bids_dir, volumes, overwrite=overwrite, others=others)
