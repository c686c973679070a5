"""``rtbids far``: the far side of a connection."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rtbids.cli import options
from rtbids.errors import UsageFault

VERBS = {  # what the near side may ask for, and what does it, with the link and the arguments
    "echo": "rtbids.cli.far_verbs:echo",
    "probe": "rtbids.cli.far_verbs:probe",
    "give": "rtbids.cli.giving:give",
    "receive": "rtbids.cli.receiving:receive",
    "experiment": "rtbids.cli.far_experiment:experiment",
    "copy": "rtbids.cli.mirroring:copy",
    "feedback": "rtbids.cli.far_feedback:feedback",
}
LASTING = ("receive",)  # a source that stays connected between runs may wait for its connection as long as it takes
UNCONFINED = "experiment"  # runs scripts, which may do whatever the user may
LINGER = 600.0


@click.command(name="far", short_help="The far side of a connection; started over SSH, not by hand.")
@click.option("--verbs", metavar="VERB[,VERB...]", help=f"Allow these only, of {', '.join(VERBS)}; by default all.")
@click.option(
    "--linger",
    type=options.Seconds(0),
    default=LINGER,
    show_default=True,
    metavar="S",
    help="Go on for S seconds without a connection.",
)
@click.option(
    "--within",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write and read within DIR only, also by links. Repeatable; by default wherever the user may.",
)
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="udp|tcp://HOST:PORT",
    help="Let feedback leave by this address only. Repeatable; by default by any port of 127.0.0.1, with --within by none.",
)
@click.option("--deidentified-only", is_flag=True, help="Refuse to give what identifies, though the other side asks for it.")
def command(
    verbs: str | None, linger: float, within: tuple[Path, ...], addresses: tuple[str, ...], deidentified_only: bool
) -> None:
    """Be the far side of a connection: another rtbids starts this over SSH and talks with it by standard input and output.

    What is asked for is done by a process of its own, which goes on when the connection is cut, and with which the next one is
    joined. A line of ~/.ssh/authorized_keys can let a key in for some of it alone: restrict,command="rtbids far --verbs probe"
    before the key. With --within or --deidentified-only scripts are run only where --verbs names experiment, as they may do
    whatever the user may; with --within no source stays connected.

    \b
    Examples:
      rtbids far --verbs echo,probe
      rtbids far --verbs give --within /data/export --deidentified-only
    """
    from rtbids.cli import far_addresses, far_places
    from rtbids.stream.far.relay import relay

    if sys.stdin.isatty():
        raise UsageFault("this is started over SSH by another rtbids, not by hand", "see rtbids far --help")
    far_addresses.allow(addresses)
    far_places.allow(within, deidentified_only=deidentified_only)
    is_confined = bool(within) or deidentified_only
    relay(allowed(verbs, is_confined=is_confined), linger, () if within else LASTING)


def allowed(verbs: str | None, *, is_confined: bool = False) -> dict[str, str]:
    """Return the verbs of a list that is separated by commas; where there is none all, or all that can be confined."""
    if verbs is None:
        return {name: function for name, function in VERBS.items() if not (is_confined and name == UNCONFINED)}
    names = [name.strip() for name in verbs.split(",") if name.strip()]
    unknown = [name for name in names if name not in VERBS]
    if unknown or not names:
        raise UsageFault(f"--verbs: there is no {', '.join(unknown) or 'verb'}", f"there are: {', '.join(VERBS)}")
    return {name: VERBS[name] for name in names}
