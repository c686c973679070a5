"""What the runs in progress say of themselves, in words, and which of them a command is for."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from rtbids.cli import console, screen
from rtbids.cli.screen_words import link, span
from rtbids.errors import InputMissing, UsageFault
from rtbids.plural import counted
from rtbids.run.control import status
from rtbids.run.recipe import recipe

EVERY = 1.0  # seconds between two looks of --follow
STARTING = 150.0  # seconds that a script may take until it is there
_DONE = {
    "stop": "{experiment} is stopped",
    "restart": "{experiment} is started again",
    "pause": "feedback is paused",
    "resume": "feedback goes on",
    "end": "the run is ending",
    "abort": "the run is broken off",
}


def found(process: int | None = None) -> Iterator[Mapping[str, Any]]:
    """Yield the status of every run in progress, or of the one of `process`."""
    for _, fields in status.runs():
        if process in (None, fields["process"]):
            yield fields


def command(request: Mapping[str, Any], process: int | None) -> None:
    """Send a request to the one run in progress, and say what was done."""
    path = _only([path for path, fields in status.runs() if process in (None, fields["process"])], process)
    reply = status.ask(path, request, STARTING if request["do"] == "start" else status.PATIENCE)
    done = _DONE.get(request["do"], "{experiment} is started").format(**{**request, **reply})
    console.say(done)


def to_start(experiment: str, assignments: Sequence[str], feedback: Sequence[str], deadline: float | None) -> Mapping[str, Any]:
    """Return the request to start `experiment`, its paths as the run finds them, which may be in another folder."""
    recipe.read(experiment, assignments)  # what is wrong with it is said before anybody is asked
    script = experiment if not Path(experiment).exists() else str(Path(experiment).resolve())
    return {
        "do": "start",
        "experiment": script,
        "set": [_absolute(text) for text in assignments],
        "feedback": [_absolute_place(text) for text in feedback],
        "deadline": deadline,
    }


def _absolute(assignment: str) -> str:
    key, _, value = assignment.partition("=")
    first, _, rest = key.partition(".")
    is_path = key == "events" or (first == "rois" and ("." not in rest or rest.endswith(recipe.PATHS)))
    return f"{key}={Path(value).resolve()}" if is_path else assignment


def _absolute_place(text: str) -> str:
    if text == "-":
        raise UsageFault("the standard output of a run that goes on cannot be had", "name a file or a port")
    return text if ":" in text else os.path.abspath(text)


def _only(paths: list[Path], process: int | None) -> Path:
    if not paths:
        raise InputMissing("no run is in progress" + (f" in process {process}" if process else ""))
    if len(paths) > 1:
        numbers = ", ".join(path.stem for path in paths)
        raise UsageFault(f"{len(paths)} runs are in progress: {numbers}", "say which with --process N")
    return paths[0]


def show(runs: Iterable[Mapping[str, Any]]) -> None:
    """Print the runs for a person."""
    shown = [text(fields) for fields in runs]
    click.echo("\n\n".join(shown) if shown else "no run is in progress")


def follow(process: int | None, *, as_json: bool) -> NoReturn:
    """Show the runs again and again: as JSON lines, as a screen in a terminal, else as text."""
    if as_json or not sys.stdout.isatty():
        while True:
            for fields in found(process):
                click.echo(json.dumps(fields) if as_json else f"{text(fields)}\n")
            sys.stdout.flush()
            time.sleep(EVERY)
    terminal = Console()
    with Live(console=terminal, auto_refresh=False, screen=True) as view:
        while True:
            view.update(_screen(list(found(process)), terminal), refresh=True)
            time.sleep(EVERY)


def _screen(runs: list[Mapping[str, Any]], terminal: Console) -> Text:
    width, height = terminal.size
    if not runs:
        return Text("no run is in progress")
    each = max(1, (height - len(runs) + 1) // len(runs))
    return Text("\n\n").join([screen.draw(fields, width, each, time.time()) for fields in runs])


def text(fields: Mapping[str, Any], now: float | None = None) -> str:
    """Return the status of a run in lines."""
    if "error" in fields:
        return f"process {fields['process']}: {fields['error']}"
    run = fields["run"] or ("between runs" if fields["runs"] else "waiting for the first volume")
    age = span((time.time() if now is None else now) - fields["began"])
    heading = [f"process {fields['process']}", run, *(word for word in ("paused", "ending") if fields[word])]
    rows = [
        ("source", fields["source"]),
        ("data set", fields["data_set"] or "none"),
        ("volumes", ", ".join(_volumes(fields))),
        *([("link", f"{fields['link']['place']}   {link(fields['link'])}")] if fields["link"] else []),
        ("since", age),
    ]
    lines = ["  ".join(heading), *(f"  {name:<9} {value}" for name, value in rows)]
    return "\n".join([*lines, *(f"  {line}" for each in fields["experiments"] for line in _experiment(each))])


def _volumes(fields: Mapping[str, Any]) -> Iterator[str]:
    yield str(fields["volumes"])
    if fields["repetition_time"] is not None:
        yield f"TR {fields['repetition_time']:g} s"
    for name in ("missing", "unwritten"):
        if fields[name]:
            yield f"{fields[name]} {name}"


def _experiment(each: Mapping[str, Any]) -> Iterator[str]:
    yield f"{each['experiment']}: {', '.join(_now(each))}"
    if each["in_time"] is not None:
        yield f"  {', '.join(_counts(each))}"
    if quality := ", ".join(_quality(each)):
        yield f"  {quality}"
    if each["advice"]:
        yield f"  {each['advice']}"
    if each["destinations"]:
        yield f"  to {', '.join(each['destinations'])}"


def _now(each: Mapping[str, Any]) -> Iterator[str]:
    yield each["state"]
    if isinstance(each["value"], int | float):
        yield f"latest value {each['value']:.4g}"
    if each["latency"] is not None:
        yield f"{1000 * each['latency']:.0f} ms after its volume"
    if each["deadline"] is not None:
        yield f"deadline {each['deadline']:g} s"
    if each["expects_miss"]:
        yield "the next answer is expected late"
    if each["memory"] is not None:
        yield f"{each['memory'] / 1e6:.0f} MB"


_COUNTED = (
    ("alternates", "alternate", "alternates"),
    ("late", "late", "late"),
    ("restarts", "restart", "restarts"),
    ("backlog", "waiting", "waiting"),
)


def _counts(each: Mapping[str, Any]) -> Iterator[str]:
    yield f"{100 * each['in_time']:.1f} % in time"
    for name, one, many in _COUNTED:
        if each[name]:
            yield counted(each[name], one, many)


def _quality(each: Mapping[str, Any]) -> Iterator[str]:
    if each["displacement"] is not None:
        yield f"moved {each['displacement']:.2f} mm"
    if each["dvars"] is not None:
        yield f"DVARS {each['dvars']:.1f} %"
    if each["tsnr"] is not None:
        yield f"tSNR {each['tsnr']:.0f}"
    if each["spikes"]:
        yield counted(each["spikes"], "spike")
    if each["good_minutes"] is not None:
        yield console.good_data(each["good_minutes"], each["minutes_to_criterion"])
