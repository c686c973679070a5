"""``rtbids run``: an experiment on a stream of volumes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from rtbids.cli import options
from rtbids.cli.room_options import room_options
from rtbids.errors import UsageFault

if TYPE_CHECKING:
    from rtbids.cli.deid_stage import Wish
    from rtbids.cli.mirroring import Copying
    from rtbids.cli.request import Live
    from rtbids.cli.whole_session import Choice
    from rtbids.run.process.waiting import Room
    from rtbids.stream.ssh.settings import SshOptions


class Addressed(click.ParamType[tuple[str | None, Any]]):
    """``[NAME=]VALUE``: for the experiment NAME, or for all."""

    def __init__(self, kind: click.ParamType[Any]) -> None:
        self.kind = kind
        self.name = kind.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str | None, Any]:
        if isinstance(value, tuple):
            return value
        name, equals, rest = str(value).rpartition("=")
        return (name if equals else None), self.kind.convert(rest, param, ctx)


class AlternateType(click.ParamType[str | float]):
    """``last``, ``none`` or a number."""

    name = "alternate"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str | float:
        if value in ("last", "none"):
            return str(value)
        try:
            number = float(str(value))
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self.fail(f"expected last, none or a number, found {value!r}", param, ctx)
        return number


@click.command(name="run", short_help="Run an experiment on a stream of volumes and send feedback.")
@click.argument("experiment")
@click.argument("source", default="-")
@click.option(
    "--bids-dir", type=click.Path(path_type=Path), metavar="DIR", help="Grow this BIDS data set; made where there is none."
)
@click.option(
    "--feedback",
    "destinations",
    multiple=True,
    metavar="[NAME=]DEST",
    help="Where feedback goes, that of one experiment by NAME=DEST: -, a file (.tsv gives TSV, anything else JSON lines), a "
    "named pipe, udp://host:port, tcp://host:port (listened on: clients connect), or lsl:NAME; on another machine "
    "ssh://[user@]host/PATH, a file or a named pipe there, or ssh://[user@]host/udp://127.0.0.1:PORT. Repeatable.",
)
@click.option(
    "--responses",
    multiple=True,
    metavar="END",
    help="Where button presses and other events come in: udp://host:port or tcp://host:port (listened on; that of --feedback "
    "too), a named pipe, or lsl:NAME. Repeatable.",
)
@click.option(
    "--experiment",
    "more",
    multiple=True,
    metavar="PATH",
    help="One more experiment on the same volumes, in a process of its own. Repeatable. An experiment's NAME is that of its "
    "folder, or NAME-2 where that is taken.",
)
@click.option(
    "--deadline",
    type=Addressed(options.Seconds(0, min_open=True)),
    multiple=True,
    metavar="[NAME=]S",
    help="Feedback is due S seconds after a volume's last byte; by default one TR, and no deadline where the source waits "
    "(--speed max, files that were there before).",
)
@click.option(
    "--alternate",
    type=Addressed(AlternateType()),
    multiple=True,
    metavar="[NAME=]last|none|NUMBER",
    help="What is sent where the script's answer is not there in time; by default the last value.",
)
@click.option(
    "--backlog",
    type=Addressed(click.Choice(["skip", "all"])),
    multiple=True,
    metavar="[NAME=]skip|all",
    help="Whether a script that was slow is still asked about volumes that are overdue (all) or not (skip, the default).",
)
@click.option("--events", type=click.Path(path_type=Path), metavar="FILE", help="An events.tsv, in place of the run's own.")
@click.option(
    "--speed", type=options.SpeedType(), default=1.0, metavar="N|max", help="Pace of a replayed data set; by default 1."
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="[NAME.]KEY=VALUE",
    help="Change one of the script's settings, or another key of its config, such as rois.target=mask.nii; of several "
    "experiments the first's, or NAME's. Repeatable.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="DIR[:.EXT,...]",
    help="Let the scripts read, list and write files in this folder of the scanner's side, those that end in .EXT or any, by "
    "run.console; by default none. Repeatable.",
)
@click.option(
    "--on",
    metavar="ssh://[USER@]HOST[:PORT]",
    help="Run the scripts on this machine, which has the same version of rtbids; all else stays here. DICOM images are "
    "de-identified unless --no-deidentify says otherwise.",
)
@click.option(
    "--archive",
    type=click.Choice(["local", "remote", "both"]),
    default="local",
    help="With --on: keep the data set here, there, or here and there. It is made here, and copied when the run is over; "
    "sourcedata stays here.",
)
@click.option(
    "--remote-bids-dir",
    metavar="PATH",
    help="Where the data set is there, /PATH or a folder in the home folder there; by default named as --bids-dir.",
)
@click.option("--in-process", is_flag=True, help="Run the script in this process, so that a breakpoint works; no deadlines.")
@click.option(
    "--fill-gaps",
    type=click.Choice(["previous", "zero"]),
    help="What stands in the 4-D file for a volume that never came; by default nothing.",
)
@room_options
@options.overwrite
@click.option("--volumes", type=click.IntRange(1), metavar="N", help="End after N volumes.")
@options.entity_options
@options.keep
@options.session_options
@options.identified
@options.stage_options
@options.live_options
@options.open_timeout
@options.ssh_options
@options.common_options
def command(
    experiment: str,
    source: str,
    bids_dir: Path | None,
    destinations: tuple[str, ...],
    responses: tuple[str, ...],
    more: tuple[str, ...],
    deadline: tuple[tuple[str | None, float], ...],
    alternate: tuple[tuple[str | None, str | float], ...],
    backlog: tuple[tuple[str | None, str], ...],
    events: Path | None,
    speed: float | None,
    assignments: tuple[str, ...],
    allow: tuple[str, ...],
    on: str | None,
    archive: str,
    remote_bids_dir: str | None,
    in_process: bool,
    fill_gaps: Literal["previous", "zero"] | None,
    room: Room,
    overwrite: bool,
    volumes: int | None,
    entities: Mapping[str, str],
    keep: Literal["original", "corrected", "both"],
    others: Choice,
    identified: bool,
    wish: Wish,
    live: Live,
    open_timeout: float,
    ssh: SshOptions,
) -> None:
    """Run EXPERIMENT on the volumes of SOURCE and send feedback for each, on time.

    EXPERIMENT is a folder with an experiment.py, a script, or the name of a sample. SOURCE is the scanner's DICOM folder, a
    port that it sends to (dicom-scp://[AET@]host:port), a BIDS data set or one of its runs (replayed at the scanner's pace), or
    a stream: a named pipe, a .tar file, - for standard input.

    Feedback goes to every --feedback; without one, and without --bids-dir, to standard output. With --bids-dir the volumes, the
    feedback, the latencies and a report are kept in a BIDS data set that is valid at every moment.

    \b
    Example:
      rtbids run roi_feedback /data/export --set rois.target=mask.nii \\
          --events events.tsv --bids-dir study --feedback feedback.jsonl
      rtbids run roi_feedback /data/export --experiment ./mine --set mine.gain=2 \\
          --feedback mine=mine.tsv --bids-dir study
      rtbids run ./mine /data/export --bids-dir study --on ssh://me@cloud
    """
    from rtbids.cli import deid_stage, running
    from rtbids.cli.far_ends import Far
    from rtbids.cli.request import Request
    from rtbids.cli.withheld import withheld
    from rtbids.run.recipe.recipes import Wishes

    copying = _copying(archive, on, bids_dir, remote_bids_dir)
    if on and copying and copying.moves:
        bids_dir = copying.working_folder(on)
    request = Request(
        source,
        entities,
        live,
        keep,
        speed,
        open_timeout=open_timeout,
        withheld=withheld(identified=identified),
        deidentify=deid_stage.of_source(
            source, _leaving(wish, source) if on and not identified else wish, identified=identified
        ),
        far=Far(ssh),
        wish=wish,
    )
    order = running.Order(
        (experiment, *more),
        Wishes(assignments, {"deadline": deadline, "alternate": alternate, "backlog": backlog}),
        bids_dir=bids_dir,
        destinations=destinations or (() if bids_dir else ("-",)),
        events=events,
        responses=responses,
        allow=allow,
        in_process=in_process,
        fill_gaps=fill_gaps,
        room=room,
        overwrite=overwrite,
        volumes=volumes,
        others=others,
        on=on,
        ssh=ssh,
        copying=copying,
    )
    running.run(order, request)


def _leaving(wish: Wish, source: str) -> Wish:
    """Return the wish where what comes of images leaves this machine: they are de-identified unless it says otherwise."""
    from rtbids.cli.request import kind_of

    is_meant = wish.deidentify is not None or kind_of(source) != "dicom"
    return wish if is_meant else replace(wish, deidentify=True)


def _copying(archive: str, on: str | None, bids_dir: Path | None, named: str | None) -> Copying | None:
    """Return where the data set is copied to on the other machine, ``/~/`` being the home folder there; None for nowhere."""
    from rtbids.cli.mirroring import Copying

    if archive == "local":
        if named:
            raise UsageFault("--remote-bids-dir is for --archive remote or both")
        return None
    if on is None:
        raise UsageFault(f"--archive {archive} is for --on")
    if archive == "remote" and bids_dir is not None:
        raise UsageFault(
            "--archive remote keeps no data set here", "say --remote-bids-dir in place of --bids-dir, or --archive both"
        )
    place = named or (bids_dir.resolve().name if bids_dir else "")
    if not place:
        raise UsageFault(f"--archive {archive} needs --{'remote-' if archive == 'remote' else ''}bids-dir")
    return Copying(place if place.startswith("/") else f"/~/{place.removeprefix('~/')}", archive == "remote")
