"""``rtbids watch``: whole DICOM files, as a tar stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rtbids.cli import options

if TYPE_CHECKING:
    from rtbids.cli.deid_stage import Wish
    from rtbids.cli.request import Live
    from rtbids.stream.ssh.settings import SshOptions


@click.command(name="watch", short_help="Hand on DICOM files as each becomes complete.")
@click.argument("source", metavar="DICOM_DIR|dicom-scp://[AET@]HOST:PORT|ssh://HOST/DICOM_DIR")
@click.option("--to", "destination", default="-", metavar="DEST", help="Where to: -, a named pipe or a .tar file.")
@click.option("--volumes", type=click.IntRange(1), metavar="N", help="End after N functional volumes.")
@options.live_options
@options.ssh_options
@options.stage_options
@options.open_timeout
@options.common_options
def command(
    source: str,
    destination: str,
    volumes: int | None,
    live: Live,
    ssh: SshOptions,
    wish: Wish,
    open_timeout: float,
) -> None:
    """Hand on the DICOM files of a folder or from the network, each as soon as it is complete, as a tar stream.

    Files already there come first, series by series in the order of acquisition; then new ones, until Ctrl-C. Subfolders that
    appear are watched too. Truncated, foreign and doubled files are named and left alone.

    At dicom-scp:// we listen, and the scanner sends (C-STORE). It is told that an image was stored when that is safe on disk.
    Without a host only this machine is heard; 0.0.0.0 hears all. A folder at ssh://HOST is watched there, and its files are
    de-identified there before they leave, unless --no-deidentify.

    \b
    Examples:
      rtbids watch /data/export --no-wait | tar tv
      rtbids watch /data/export --deidentify | rtbids convert -o study
      rtbids watch dicom-scp://RTBIDS@0.0.0.0:11112 > session.tar
    """
    from rtbids.cli import console, deid_stage, dicom_sources, streams
    from rtbids.cli.far_ends import Far
    from rtbids.cli.request import Request
    from rtbids.cli.stopping import stopping

    stage = deid_stage.of_source(source, wish)
    with stopping() as stop:
        request = Request(
            source, live=live, stop=stop, on_mode=console.watching(source), deidentify=stage, far=Far(ssh), wish=wish
        )
        streams.send_files(
            dicom_sources.first_files(dicom_sources.instances(request), volumes), destination, stop, open_timeout
        )
