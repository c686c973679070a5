"""What tests of experiments on another machine share: a link to their processes, which is cut and lost as a test says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from run.sessions import FAR, Lines, lane
from stream.link_ends import Keeper, Road, ends, wait_for

from rtbids.errors import RtbidsError
from rtbids.run.far.output_there import Output
from rtbids.run.far.scripts import Scripts
from rtbids.run.far.seats import FarLauncher
from rtbids.run.far.store import Store
from rtbids.run.lanes import Lane
from rtbids.run.process.experiment_process import ExperimentProcess
from rtbids.run.process.host import Host, IsOverdue, Recall
from rtbids.run.process.launcher import Launcher
from rtbids.run.recipe.recipe import Recipe
from rtbids.stream.link import FarLink, Hello, Link

ANSWERS = "def feedback(volume, run):\n    return volume.index + float(volume.data.mean())\n"


class FarSide(Keeper):
    """A far side that serves the scripts of each session."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def serve(self, link: FarLink, hello: Hello) -> None:
        with suppress(RtbidsError), closing(Output()) as output, closing(Launcher(output.end)) as launcher, link:
            Scripts(link, launcher, output, Store(self.folder / "store"), self.folder / "laid out").serve()


@contextmanager
def connected(folder: Path, **options: Any) -> Iterator[tuple[FarLauncher, Road, Link]]:
    with ends(keeper=FarSide(folder), **options) as (link, road):
        link.wait_up(20)
        launcher = FarLauncher(link)
        try:
            yield launcher, road, link
        finally:
            launcher.close()


def far_lane(
    launcher: FarLauncher, folder: Path, script: str, kept: Lines, deadline: float | None = FAR, **options: Any
) -> Lane:
    def make(recipe: Recipe, is_overdue: IsOverdue, recall: Recall) -> Host:
        return ExperimentProcess(recipe, is_overdue, recall, launcher=launcher, **options)

    made = lane(folder, script, kept, deadline)
    made._make_host = make
    return made


def rows(kept: Lines) -> list[tuple[object, object, object]]:
    return [(row["volume"], row["status"], row["value"]) for row in kept.rows]


def statuses(kept: Lines) -> list[tuple[object, object]]:
    return [(row["status"], row["reason"]) for row in kept.rows]


def wait_until_cut(link: Link) -> None:
    wait_for(link, lambda: link._shared.connection is None)


def wait_until_up(link: Link) -> None:
    wait_for(link, lambda: link._shared.connection is not None)
