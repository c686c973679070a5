"""``rtbids watch``: whole DICOM files, as a tar stream."""

from __future__ import annotations

import click

from rtbids.cli import options


@click.command(name="watch", short_help="Hand on DICOM files as each becomes complete.")
@click.argument("dicom_dir", metavar="DICOM_DIR")
@click.option("--to", "destination", default="-", metavar="DEST", help="Where to: -, a named pipe or a .tar file.")
@options.live_options
@options.open_timeout
@options.common_options
def command(
    dicom_dir: str,
    destination: str,
    pattern: str,
    existing: bool,
    wait: bool,
    idle_timeout: float | None,
    poll: bool | None,
    series: str | None,
    open_timeout: float,
) -> None:
    """Hand on the DICOM files of a folder, each as soon as it is complete, as a tar stream.

    Files already there come first, series by series in the order of acquisition; then new ones, until Ctrl-C. Subfolders that
    appear are watched too. Truncated, foreign and doubled files are named and left alone.

    \b
    Example:
      rtbids watch /data/export --no-wait | tar tv
    """
    from rtbids.cli import console, sources, streams
    from rtbids.cli.stopping import stopping

    live = sources.Live(pattern, existing, wait, idle_timeout, poll, options.series_numbers(series))
    with stopping() as stop:
        request = sources.Request(dicom_dir, live=live, stop=stop, on_mode=console.watching(dicom_dir))
        streams.send_files(sources.instances(request), destination, stop, open_timeout)
