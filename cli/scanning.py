"""``replay --as dicom``: options of the simulated scanner, and the way of its files to a folder or a receiver."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rtbids.cli import options
from rtbids.errors import BadData, CannotWrite, UsageFault, cannot_write
from rtbids.plural import counted

if TYPE_CHECKING:
    from rtbids.replay.arrival import Receiver
    from rtbids.replay.forms import Form
    from rtbids.replay.plan import Course
    from rtbids.replay.simulator import Exported
    from rtbids.wakeup import Wakeup

F = TypeVar("F", bound=Callable[..., Any])
logger = logging.getLogger("rtbids")

_NAMES = ("form", "write", "spread", "jitter", "seed", "pause", "drop", "duplicate", "truncate", "short", "zero")


@dataclass(frozen=True)
class Simulation:
    """What was asked of the scanner, by the names of the options; what was not asked for is absent."""

    given: Mapping[str, Any]

    @property
    def form(self) -> Form:
        form: Form = self.given.get("form", "mosaic")
        return form

    @property
    def course(self) -> Course:
        from rtbids.replay.plan import Course

        given = self.given
        return Course(
            jitter=given.get("jitter", 0.0),
            seed=given.get("seed", 0),
            pauses=dict(_pause(text) for text in given.get("pause", ())),
            drop=_volumes("--drop", given.get("drop")),
            duplicate=_volumes("--duplicate", given.get("duplicate")),
            truncate=_volumes("--truncate", given.get("truncate")),
            short=_volumes("--short", given.get("short")),
            preallocate=_volumes("--zero", given.get("zero")),
            slow=given.get("write") == "slow",
            spread="spread" in given,
        )

    def check(self, volumes: int) -> None:
        """Name the volumes asked for that a replay of `volumes` did not have; raise UsageFault where every one was dropped."""
        course = self.course
        if course.drop >= frozenset(range(volumes)):
            raise UsageFault(f"--drop left out all {volumes} volumes of the replay, so that none has left")
        for option, asked in course.volumes.items():
            if beyond := sorted(volume for volume in asked if volume >= volumes):
                numbers = ", ".join(map(str, beyond))
                logger.warning("--%s %s: the replay had volumes 0 to %d only", option, numbers, volumes - 1)

    def refuse(self, names: tuple[str, ...], why: str) -> None:
        """Raise UsageFault where one of these options was given."""
        for name in names:
            if name in self.given:
                raise UsageFault(f"--{name}: {why}")


def simulation_options(function: F) -> F:
    """Add the options of the simulated scanner; the command receives what was given of them as `simulation`."""

    @functools.wraps(function)
    def command(*args: Any, **arguments: Any) -> Any:
        asked = {name: arguments.pop(name) for name in _NAMES}
        given = {name: value for name, value in asked.items() if value is not None and value is not False and value != ()}
        return function(*args, simulation=Simulation(given), **arguments)

    decorated: Any = command
    listed = "N[,N...]"
    for option in (
        click.option(
            "--zero",
            metavar=listed,
            help="Write these volumes in full length, and fill them half a TR later; over the network, stall.",
        ),
        click.option("--short", metavar=listed, help="Let the last file of these volumes lack the second half of its pixels."),
        click.option(
            "--truncate",
            metavar=listed,
            help="End the last file of these volumes in the middle; over the network, cut the connection there.",
        ),
        click.option("--duplicate", metavar=listed, help="Let the last file of these volumes come twice."),
        click.option("--drop", metavar=listed, help="Leave out these volumes, counted from 0 over the whole replay."),
        click.option("--pause", multiple=True, metavar="N:S", help="Stand still for S seconds before volume N; repeatable."),
        click.option("--seed", type=int, metavar="N", help="Another N is another jitter; 0 by default."),
        click.option("--jitter", type=options.Seconds(0), metavar="S", help="Let volumes be late by up to S seconds."),
        click.option("--spread", is_flag=True, help="Spread the files of a volume over the TR."),
        click.option(
            "--write",
            type=click.Choice(["rename", "in-place", "slow"]),
            help="How files appear: by a rename (default), growing under their names, or slowly so, for half a TR; "
            "over the network, at once or slowly.",
        ),
        click.option(
            "--form",
            type=click.Choice(["mosaic", "enhanced", "slices"]),
            help="DICOM to write from BIDS: Siemens mosaic (default), enhanced multi-frame (XA), or a file a slice (GE).",
        ),
    ):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Played:
    """What is to leave, and how: see the options of ``replay``."""

    source: str
    destination: str
    entities: Mapping[str, str]
    speed: float | None
    volumes: int | None
    patience: float


def play(order: Played, simulation: Simulation, stop: Wakeup) -> None:
    """Let a run, or the files of a DICOM folder, leave as from the scanner."""
    from rtbids.replay import simulator

    course = simulation.course
    numbers = itertools.count()
    scan = (volume for volume, _ in zip(islice(_scan(order, simulation, stop), order.volumes), numbers, strict=False))
    with _receiver(order, simulation, stop) as receive:
        sent = simulator.play(scan, course, receive, speed=order.speed, stop=stop)
    logger.info("%d files have left for %s", sent, order.destination)
    volumes = next(numbers)
    if volumes and not stop.is_set():
        simulation.check(volumes)


def _scan(order: Played, simulation: Simulation, stop: Wakeup) -> Iterator[Exported]:
    from rtbids.cli import sources
    from rtbids.cli.request import Request, kind_of
    from rtbids.clock import CLOCK
    from rtbids.convert import bids
    from rtbids.replay import folder, simulator
    from rtbids.volume import run_key

    match kind_of(order.source):
        case "bids":
            items = sources.items(Request(order.source, order.entities, speed=None, stop=stop))
            runs = bids.runs_of(Path(order.source), order.entities)
            volumes = {run_key(run.entities): bids.volume_count(run) for run in runs}
            return simulator.exported(items, simulation.form, int(CLOCK.now() * 1000), volumes)
        case "dicom":
            simulation.refuse(("form",), "the files of a DICOM folder leave as they are")
            if order.entities:
                raise UsageFault("--subject, --task, --run …: pick runs of a BIDS data set, not DICOM files")
            return folder.exported(Path(order.source), stop)
    raise UsageFault(f"{order.source}: expected a BIDS data set, one of its runs, or a DICOM folder")


@contextmanager
def _receiver(order: Played, simulation: Simulation, stop: Wakeup) -> Iterator[Receiver]:
    from rtbids.replay import arrival

    write = simulation.given.get("write", "rename")
    if not order.destination.startswith("dicom://"):
        yield arrival.into(_folder(order), "rename" if write == "rename" else "in place")
        return
    from rtbids import dicomnet
    from rtbids.replay.network import Modality

    if write == "in-place":
        raise UsageFault("--write in-place: for files in a folder")
    with Modality(dicomnet.parse(order.destination), patience=order.patience, stop=stop) as modality:
        yield modality.receive
    if modality.refused and not modality.stored:
        raise BadData(f"{order.destination}: took none of {counted(len(modality.refused), 'file')}")
    if modality.refused:
        logger.warning("%d of %d files were not stored", len(modality.refused), len(modality.refused) + modality.stored)


def _folder(order: Played) -> Path:
    """Return the folder to write into, made where it is not there."""
    if order.destination == "-" or "://" in order.destination:
        raise UsageFault(f"--to {order.destination}: expected, with --as dicom, a folder or dicom://AET@host:port")
    path = Path(order.destination)
    if path.exists() and not path.is_dir():
        raise CannotWrite(f"{path}: expected a folder to write DICOM files into, found a file")
    if path.resolve() == Path(order.source).resolve():
        raise UsageFault(f"--to {path}: expected another folder than the source")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def _volumes(option: str, text: str | None) -> frozenset[int]:
    """Read ``3,17``."""
    if text is None:
        return frozenset()
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UsageFault(f"{option}: expected volumes counted from 0, such as 3,17, found {text!r}")
    return frozenset(int(part) for part in parts)


def _pause(text: str) -> tuple[int, float]:
    """Read ``20:5``."""
    volume, _, seconds = text.partition(":")
    try:
        found = int(volume), float(seconds)
    except ValueError:
        found = -1, 0.0
    if found[0] < 0 or not 0 <= found[1] < float("inf"):
        raise UsageFault(f"--pause: expected a volume counted from 0 and seconds, such as 20:5, found {text!r}")
    return found
