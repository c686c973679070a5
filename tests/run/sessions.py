"""What tests of a session share: volumes, destinations and archives in memory, and real experiments' processes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from rtbids import private
from rtbids.clock import CLOCK
from rtbids.errors import CannotWrite, RtbidsError
from rtbids.pipeline import Inbox
from rtbids.run.control.control import Control
from rtbids.run.lanes import Lane
from rtbids.run.process.experiment_process import ExperimentProcess
from rtbids.run.process.host import Host, IsOverdue, Recall
from rtbids.run.progress import Progress
from rtbids.run.recipe import recipe
from rtbids.run.recipe.recipe import Recipe
from rtbids.run.session import Session
from rtbids.volume import Item, RunEnd, Volume, volume_of
from rtbids.wakeup import Wakeup

FAR = 100.0  # seconds: a due time that no test lives to see
RUN = "sub-01_task-nf_run-01"
UNPACED = {"RepetitionTime": 1.0, "TaskName": "nf", "Paced": False}


class Lines:
    """A destination that keeps the lines, and lets a source wait for one of them."""

    def __init__(self) -> None:
        self.rows: list[Mapping[str, object]] = []
        self._came = threading.Condition()

    def send(self, row: Mapping[str, object]) -> None:
        with self._came:
            self.rows.append(row)
            self._came.notify_all()

    def close(self, timeout: float = 2.0) -> None:
        pass

    def wait_for(self, experiment: str, volume: int) -> None:
        with self._came:
            assert self._came.wait_for(lambda: (experiment, volume) in self.given(), 30)

    def given(self) -> list[tuple[object, object]]:
        return [(row["experiment"], row["volume"]) for row in self.rows if row["status"] != "late"]

    def of(self, experiment: str) -> list[Mapping[str, object]]:
        return [row for row in self.rows if row["experiment"] == experiment]


class Table:
    """A table in memory."""

    def __init__(self) -> None:
        self.rows: list[list[object]] = []

    def row(self, values: list[object]) -> None:
        self.rows.append(values)

    def close(self) -> None:
        pass


class SmallDisk:
    """An archive that holds so many volumes of a run and no more."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.volumes: list[Volume] = []
        self.tables: dict[str, Table] = {}
        self.file, self.fills_gaps, self.earlier = Path("nowhere.nii"), False, ()
        self.described: dict[str, Mapping[str, object]] = {}  # what the sidecars say that were written anew

    def begin(self, volume: Volume, events: str | None) -> SmallDisk:
        self.volumes = [volume]
        return self

    def append(self, volume: Volume) -> None:
        if len(self.volumes) == self.room:
            raise CannotWrite("no space left")
        self.volumes.append(volume)

    def end(self, end: RunEnd | None) -> None:
        pass

    def describe(self, description: str, sidecar: Mapping[str, object]) -> None:
        self.described[description] = sidecar

    def table(self, description: str, columns: object, sidecar: object) -> Table:
        return self.tables.setdefault(description, Table())


def apart(recipe: Recipe, is_overdue: IsOverdue, recall: Recall) -> Host:
    return ExperimentProcess(recipe, is_overdue, recall)


def volume(index: int, run: str = "01", received: float | None = None) -> Volume:
    voxels = np.full((4, 3, 2), index, np.int16)
    entities = {"subject": "01", "task": "nf", "run": run}
    metadata = {"RepetitionTime": 1.0, "TaskName": "nf"}
    return volume_of(voxels, np.eye(4), entities, metadata, index, times={"received": received or CLOCK.now()})


def unpaced(index: int, received: float | None = None) -> Volume:
    """Return a volume of a source that waits for the answer."""
    return replace(volume(index, received=received), metadata=UNPACED)


def lane(folder: Path, script: str, kept: Lines, deadline: float | None = FAR) -> Lane:
    """Return a lane for `script`, by the name of `folder`."""
    folder.mkdir(exist_ok=True)
    (folder / "experiment.py").write_text(script)
    read = recipe.read(str(folder))
    return Lane(replace(read, config=replace(read.config, deadline=deadline)), apart, {"kept": kept}, CLOCK)


def session(lanes: list[Lane], archive: SmallDisk | None = None, stop: Wakeup | None = None, **options: bool) -> Session:
    return Session(lanes, archive, clock=CLOCK, stop=stop or Wakeup(), progress=Progress(), **options)


class Loop:
    """Has things done in the loop of a session, as a client of its control socket does, and waits for them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._control = session.control = Control(*private.listening(), lambda request, reply: None)

    def do(self, action: Callable[[], None]) -> None:
        done = threading.Event()
        self._control.later(action)
        self._control.later(done.set)
        assert done.wait(30)

    def join(self, late: Lane) -> RtbidsError | None:
        """Add an experiment and wait until its script is loaded; return what keeps it from that."""
        told: queue.SimpleQueue[RtbidsError | None] = queue.SimpleQueue()
        late.is_added, late.on_begun = True, told.put
        self.do(lambda: self._session.add(late))
        return told.get(timeout=30)


def lines(
    script: str,
    folder: Path,
    items: Iterator[Item],
    deadline: float | None = None,
    *,
    archive: SmallDisk | None = None,
    stop: Wakeup | None = None,
    kept: Lines | None = None,
) -> list[Mapping[str, object]]:
    """Run `script` on `items` and return what left."""
    kept = kept or Lines()
    session([lane(folder, script, kept, deadline)], archive, stop).run(Inbox(items))
    return kept.rows
