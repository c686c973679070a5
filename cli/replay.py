"""``rtbids replay``: a past run as if live."""

from __future__ import annotations

from collections.abc import Mapping

import click

from rtbids.cli import options, scanning


@click.command(name="replay", short_help="Play a past run as if it were live.")
@click.argument("source")
@click.option(
    "--to",
    "destination",
    default="-",
    metavar="DEST",
    help="Where to: -, a named pipe or a .tar file; with --as dicom a folder or dicom://AET@host:port.",
)
@click.option(
    "--as",
    "kind",
    type=click.Choice(["bids", "dicom"]),
    default="bids",
    show_default=True,
    help="What to play: a stream of volumes, or DICOM files as a scanner exports them.",
)
@click.option(
    "--speed",
    type=options.SpeedType(),
    default=1.0,
    metavar="N|max",
    help="1 is the scanner's pace, max as fast as it is read.",
)
@click.option("--volumes", type=click.IntRange(1), metavar="N", help="End after N volumes.")
@scanning.simulation_options
@options.entity_options
@options.open_timeout
@options.common_options
def command(
    source: str,
    destination: str,
    kind: str,
    simulation: scanning.Simulation,
    speed: float | None,
    volumes: int | None,
    entities: Mapping[str, str],
    open_timeout: float,
) -> None:
    """Play the runs of a BIDS data set, or one run's file, as a stream of volumes at the scanner's pace.

    With --as dicom it is a scanner: runs become DICOM series, the files of a DICOM folder leave as they are. The options from
    --form to --zero are for that.

    \b
    Examples:
      rtbids replay study --run 1 --speed 10 | rtbids run roi_feedback -
      rtbids replay study --run 1 --as dicom --to export --jitter 0.1 --drop 12
    """
    from rtbids.cli import sources, streams
    from rtbids.cli.request import Request, kind_of
    from rtbids.cli.stopping import stopping
    from rtbids.errors import UsageFault
    from rtbids.pipeline import first_volumes

    if kind == "dicom":
        with stopping() as stop:
            scanning.play(scanning.Played(source, destination, entities, speed, volumes, open_timeout), simulation, stop)
        return
    simulation.refuse(tuple(simulation.given), "of the simulated scanner, for --as dicom")
    if kind_of(source) != "bids":
        raise UsageFault(
            f"{source}: expected a BIDS data set or one of its runs", "a DICOM folder: add --as dicom, or rtbids convert SOURCE"
        )
    with stopping() as stop:
        request = Request(source, entities, speed=speed, stop=stop)
        streams.send_items(first_volumes(sources.items(request), volumes), destination, stop, open_timeout)
