"""From instances to runs: which series are functional, which images belong together, when a run is over.

`Assembler` is a pure machine: instances and the time go in, volumes and ends of runs come out. `volumes` makes a stage of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from rtbids.bids import entities as bids_entities
from rtbids.clock import CLOCK, Clock
from rtbids.convert import dicom, functional, pixels
from rtbids.convert.beforehand import NOTHING_KNOWN, Foreseen
from rtbids.convert.dicom import Instance
from rtbids.convert.labels import Labels, Number, counter
from rtbids.convert.one_series import MOST_WAITING, Keep, Series, key_of, number_of
from rtbids.convert.run import Run
from rtbids.convert.session import Others
from rtbids.convert.stack import MALFORMED, malformed
from rtbids.errors import BadData
from rtbids.receipt import abandon, settle
from rtbids.volume import Entities, Item

logger = logging.getLogger("rtbids")

__all__ = ["Assembler", "Keep", "Number", "counter", "volumes"]

_SAID = ("acquisition", "ceagent", "direction")  # what a protocol's name may say of a run besides its task


OnHeld: TypeAlias = Callable[[Entities, int, float], None]


def volumes(
    instances: Iterable[Instance | None],
    assembler: Assembler,
    clock: Callable[[], float] = CLOCK.now,
    on_held: OnHeld = lambda entities, index, received: None,
) -> Iterator[Item]:
    """Turn instances into volumes and ends of runs; None is a tick. At the end every run is ended.

    With a `clock` that stands still nothing is given up before the end: for a recording, whose images are all there. `on_held`
    is told, once, of each volume that is whole and waits for one before it: its run, its index, and when it was received.
    """
    told: set[tuple[str, int]] = set()
    for instance in instances:
        now = clock()
        yield from assembler.tick(now) if instance is None else assembler.add(instance, now)
        for run in assembler.waiting_runs:
            for stack in run.order.held:
                if (run.stem, stack.index) not in told:
                    told.add((run.stem, stack.index))
                    on_held(run.entities, stack.index, stack.received)
    yield from assembler.finish()


class Assembler:
    """Sorts instances by series, and gives the volumes of the functional ones in order.

    Parameters
    ----------
    entities
        What the user gave. Without `subject` it is ``01``, without `task` the protocol's name; what else that says in BIDS's
        own way (``func_task-nf_acq-fast``) is taken as well.
    number
        Called with the other entities once per functional series, unless `entities` has a run; returns the run's label.
    keep
        Which images to take where the scanner sends raw and motion-corrected ones. With ``both`` the corrected ones get
        ``rec-moco``.
    series
        Series numbers to take, functional or not; without it every functional series.
    others
        Takes the series that are not functional; without it they are left alone.
    foreseen
        What the source is known to hold, where all of it is there, series by series.
    hurry
        Whether somebody waits for the volumes: one that lacks images is then given up soon. Else it is waited for until the
        series is over, no image of it has come for 5 s (two TRs where that is longer), or what waits takes `most_waiting`
        bytes of memory.
    """

    def __init__(
        self,
        entities: Mapping[str, str],
        number: Number,
        *,
        keep: Keep = "original",
        series: frozenset[int] | None = None,
        others: Others | None = None,
        clock: Clock = CLOCK,
        foreseen: Foreseen = NOTHING_KNOWN,
        hurry: bool = True,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._entities = {"subject": "01", **entities}
        self._keep = keep
        self._picked = series
        self._others = others
        self._clock = clock
        self._foreseen = foreseen
        self._hurry, self._most_waiting = hurry, most_waiting
        self._labels = Labels(number)
        self._seen: set[str] = set()
        self._series: dict[str, Series] = {}
        self._begun: list[Series] = []  # functional series in the order in which they began
        self._stems: set[str] = set()
        self._said_left: set[str] = set()  # places in which images are left
        self.left_out = 0  # images that were to be converted and are in no volume

    @property
    def waiting_runs(self) -> list[Run]:
        """The runs in which whole volumes wait for one before them."""
        return [run for series in self._begun if not series.over for run in series.runs if run.order.held]

    @property
    def wake(self) -> float | None:
        """The moment (POSIX seconds) at which `tick` wants to be called; None while nothing is waited for."""
        moments = [series.wake(overtaken=series is not self._begun[-1]) for series in self._begun]
        moments.append(self._others.wake if self._others else None)
        return min((moment for moment in moments if moment is not None), default=None)

    def add(self, instance: Instance, now: float) -> list[Item]:
        """Take one image; return what may leave."""
        try:
            leaving = self._add(instance, now)
        except (BadData, *MALFORMED) as error:
            reason = str(error) if isinstance(error, BadData) else malformed(error, (instance,))
            logger.warning("%s: left out: %s", instance.name, reason)
            self._keep_unsorted(instance, reason)
            leaving = []
        settle(instance.receipts)  # whoever needs it still is a holder too
        return leaving + self.tick(now)

    def tick(self, now: float) -> list[Item]:
        """Return what leaves because time has passed: volumes held for one that did not come, ends of runs."""
        if self._others:
            self._others.tick(now)
        leaving = [item for series in self._begun for item in series.tick(now, overtaken=series is not self._begun[-1])]
        self._begun = [series for series in self._begun if not series.over or series is self._begun[-1]]
        return leaving

    def finish(self) -> list[Item]:
        """End every run; return what was held."""
        leaving = [item for series in dict.fromkeys(self._series.values()) for item in series.finish()]
        if self._others:
            self._others.finish()
        return leaving

    def _add(self, instance: Instance, now: float) -> list[Item]:
        dataset = instance.dataset
        uid = dicom.instance_uid(dataset)
        if uid in self._seen:
            logger.warning("%s: the same image has come before, and this one is dropped", instance.name)
            return []
        self._seen.add(uid)
        series = self._series_of(dataset)
        if series.other and self._others:
            self._others.add(series.key, series.number, instance, now)
        if not series.wanted:
            return []
        if not series.keeps(dataset):
            if self._others:
                self._others.add(f"{series.key} dropped", series.number, instance, now)
            return []
        pixels.check_tail(dataset)
        leaving = self._end_whole(series) + series.add(instance, now)
        if series.begun and series not in self._begun:
            self._begun.append(series)
        return leaving

    def _end_whole(self, but: Series) -> list[Item]:
        """End the runs of which every image has come, when one of another series does."""
        whole = [one for one in self._begun if one is not but and not one.over and one.is_whole]
        return [item for series in whole for item in series.finish()]

    def _series_of(self, dataset: Any) -> Series:
        key = key_of(dataset)
        if key not in self._series:
            self._series[key] = self._same_series(dataset) or self._new_series(dataset)
        series = self._series[key]
        series.counts(dataset)
        return series

    def _same_series(self, dataset: Any) -> Series | None:
        """Find the series of an image whose series UID is its own: some anonymisers give every file a new one."""
        for series in reversed(self._series.values()):
            if series.scrambled(dataset):
                series.keys += 1
                return series
        return None

    def _new_series(self, dataset: Any) -> Series:
        number = number_of(dataset)
        series = Series(dataset, lambda *asked: self._entities_of_run(number, *asked), self._keep, self._clock)
        series.key = key_of(dataset)
        series.also = self._also
        series.hurry, series.most_waiting = self._hurry, self._most_waiting
        self._foresee(series)
        series.aside = lambda instance, reason: self._keep_aside(series, instance, reason)
        if self._picked is not None:
            series.wanted = series.number in self._picked
        elif not functional.is_functional(dataset):
            series.wanted, series.other = False, True
            if self._others is None:
                hint = f"; {functional.hint(series.number)}" if _has_many_volumes(dataset) else ""
                logger.warning("%s is not functional: left alone%s", series.title, hint)
        if self._others:
            self._others.begun(series.key)
        return series

    def _foresee(self, series: Series) -> None:
        picked = self._picked
        has_parts = self._foreseen.has_parts(series.key, lambda number: picked is None or number in picked)
        series.foresee(self._foreseen.kinds(series.key), self._foreseen.images(series.key), has_parts=has_parts)

    def _keep_aside(self, series: Series, instance: Instance, reason: str) -> None:
        """Give an image of a functional series that is in no volume to where the other series go."""
        self._give_away(series.key, series.number, instance, reason)

    def _keep_unsorted(self, instance: Instance, reason: str) -> None:
        """Give an image whose series cannot be told, or not be used, to where the other series go."""
        try:
            key, number = dicom.series_key(instance.dataset), number_of(instance.dataset)
        except MALFORMED:
            key, number = "", 0
        self._give_away(key, number, instance, reason)

    def _give_away(self, key: str, number: int, instance: Instance, reason: str) -> None:
        """Give an image that is in no volume away; where nobody takes it, it stays where its source keeps it."""
        self.left_out += 1
        if self._others:
            self._others.add(f"{key} left out", number, instance, self._clock.now(), reason)
            return
        abandon(instance.receipts)
        for place in {receipt.place for receipt in instance.receipts} - self._said_left:
            self._said_left.add(place)
            logger.warning("images that are in no volume stay in %s, as they are kept nowhere else", place)

    def _entities_of_run(self, number: int, protocol: str, title: str, own: Mapping[str, str]) -> dict[str, str]:
        """Return the entities of a new run without its `own` ones; one of phases has the run label of its magnitudes."""
        task = self._entities.get("task") or bids_entities.task_label(protocol)
        if not (self._entities.get("task") or any(map(str.isalnum, protocol))):
            logger.warning("%s has no protocol name that tells its task: it is called %s; --task names it", title, task)
        said = {entity: label for entity in _SAID if (label := bids_entities.said(protocol, entity))}
        base = {**said, **self._entities, "task": task, **own}
        given = base.pop("run", None)
        named = {**base, "run": given or self._labels.of(number, protocol, base, own)}
        if bids_entities.stem(named) in self._stems:
            taken, named["run"] = named["run"], self._labels.new(base)
            logger.warning("%s becomes %s: run %s is taken", title, bids_entities.stem(named), taken)
        self._stems.add(bids_entities.stem(named))
        if self._others:
            self._others.named(number, protocol, named)
        return {entity: label for entity, label in named.items() if entity not in own}

    def _also(self, entities: Mapping[str, str], protocol: str, own: Mapping[str, str]) -> None:
        """Hear what else a series with these entities has."""
        self._stems.add(bids_entities.stem({**entities, **own}))
        self._labels.also(entities["run"], protocol, own)


def _has_many_volumes(dataset: Any) -> bool:
    """Say whether the header announces more volumes than an anatomical series, a field map or a reference has."""
    return pixels.whole(dataset, "NumberOfTemporalPositions") >= functional.MANY
