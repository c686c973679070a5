"""``rtbids doctor``: what works here and how fast, on one screen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from rtbids.cli import options

if TYPE_CHECKING:
    from rtbids.cli.request import Live
    from rtbids.stream.ssh.settings import SshOptions

_OF_OTHERS = frozenset(("pattern", "existing", "wait", "idle_timeout", "series", "spool", "fsync"))


@click.command(name="doctor", short_help="Say what works here, and how soon feedback can be there.")
@click.argument("places", nargs=-1, metavar="[DIR] [ssh://[USER@]HOST] [dicom-scp://[AET@]HOST:PORT]")
@click.option(
    "--tr",
    "repetition_time",
    type=options.Seconds(0, min_open=True),
    default=2.0,
    show_default=True,
    metavar="S",
    help="The TR that is to be held.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON: seconds, bytes, bytes/s.")
@partial(options.live_options, without=_OF_OTHERS)
@options.ssh_options
@options.common_options
def command(places: tuple[str, ...], repetition_time: float, as_json: bool, live: Live, ssh: SshOptions) -> int:
    """Say what works on this machine and how fast, in some ten seconds, and how soon feedback can be there.

    DIR is the scanner's export folder, or where data sets are kept; without one it is the current folder. Small files are
    written there under a hidden name, which no rtbids watches, and removed. With ssh:// the way to another machine is measured
    too, and with dicom-scp:// whether scanners can send to us. Each line is marked: ok, look here, or cannot.

    The exit code is 0 where nothing stands in the way, else that of the first thing that does.

    \b
    Examples:
      rtbids doctor
      rtbids doctor /data/export --tr 1
      rtbids doctor /data/export ssh://me@analysis --json
      rtbids doctor dicom-scp://RTBIDS@0.0.0.0:11112 --allow-host 10.1.1.5
    """
    from rtbids.cli import examining

    return examining.examine(examining.wishes(places, repetition_time, live, ssh), as_json=as_json)
