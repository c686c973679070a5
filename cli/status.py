"""``rtbids status``: the runs in progress, and commands to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from rtbids.cli import options

_ALONE = ("pause", "resume", "end", "abort")  # requests that name no experiment


@click.command(name="status", short_help="Show the runs in progress, and command them.")
@click.option("--json", "as_json", is_flag=True, help="Print what there is to know as JSON, one line a run.")
@click.option("--follow", is_flag=True, help="Go on showing them, a second apart, until Ctrl-C; in a terminal as a screen.")
@click.option("--sources", is_flag=True, help="Show the sources that are connected: rtbids stream ... ssh://here/NAME --keep.")
@click.option("--process", type=click.IntRange(1), metavar="N", help="Of several runs, the one of process N.")
@click.option("--start", metavar="PATH", help="Start one more experiment: a folder, a script or a sample's name.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="With --start: a setting of it. Repeatable.")
@click.option(
    "--feedback",
    multiple=True,
    metavar="DEST",
    help="With --start: where its feedback goes; without it, where that of all experiments goes. Repeatable.",
)
@click.option("--deadline", type=options.Seconds(0, min_open=True), metavar="S", help="With --start: its deadline.")
@click.option("--stop", metavar="NAME", help="Stop an experiment; the run and the others go on.")
@click.option("--restart", metavar="NAME", help="Start an experiment again, its script read anew.")
@click.option("--pause", is_flag=True, help="Ask for no feedback: each volume is kept and analysed, its value is null.")
@click.option("--resume", is_flag=True, help="Ask for feedback again.")
@click.option("--end", is_flag=True, help="End the run in order, as Ctrl-C does.")
@click.option("--abort", is_flag=True, help="End the run at once, without waiting for scripts.")
@options.common_options
def command(
    as_json: bool,
    follow: bool,
    sources: bool,
    process: int | None,
    start: str | None,
    assignments: tuple[str, ...],
    feedback: tuple[str, ...],
    deadline: float | None,
    stop: str | None,
    restart: str | None,
    **alone: bool,
) -> None:
    """Show the runs of rtbids that are in progress on this machine, from another terminal; or command one of them.

    Without a command: for each run its source, how far it is, and for each experiment its latest value, how fast it is, and how
    many volumes were answered in time.

    \b
    Example:
      rtbids status
      rtbids status --follow
      rtbids status --json
      rtbids status --sources
      rtbids status --start ./quality_monitor --feedback quality.tsv
      rtbids status --restart roi_feedback
      rtbids status --end
    """
    from rtbids.cli import statuses

    requests: list[Mapping[str, Any]] = [{"do": name} for name in _ALONE if alone[name]]
    requests += [{"do": do, "experiment": name} for do, name in (("stop", stop), ("restart", restart)) if name is not None]
    if start is not None:
        requests.append(statuses.to_start(start, assignments, feedback, deadline))
    elif assignments or feedback or deadline is not None:
        raise click.UsageError("--set, --feedback and --deadline go with --start")
    if sources and (requests or follow or process):
        raise click.UsageError("--sources goes with --json only")
    if sources:
        from rtbids.cli import source_list

        source_list.show(as_json=as_json)
        return
    if len(requests) > 1:
        raise click.UsageError("one command at a time")
    if requests and follow:
        raise click.UsageError("--follow goes with no command")
    if requests:
        statuses.command(requests[0], process)
    elif follow:
        statuses.follow(process, as_json=as_json)
    elif as_json:
        for fields in statuses.found(process):
            click.echo(json.dumps(fields))
    else:
        statuses.show(statuses.found(process))
