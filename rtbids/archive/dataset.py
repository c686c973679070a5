"""The archive: a BIDS data set to which runs are added while they are measured."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from rtbids import __version__
from rtbids.archive import belongings, claims, fieldmaps, finish, placing, waiting
from rtbids.archive.finish import Finisher, OnProgress
from rtbids.archive.growing import FillGaps, GrowingRun
from rtbids.archive.placing import Aside, Image
from rtbids.archive.study import DERIVATIVE, Study
from rtbids.archive.waiting import Room, Waiting
from rtbids.archive.writer import MOST_VOLUMES
from rtbids.bids import entities as bids_entities
from rtbids.bids.dataset import runs, same_but_run
from rtbids.clock import CLOCK, Clock
from rtbids.errors import BadData, CannotWrite, RtbidsError
from rtbids.volume import Entities, Item, RunEnd, Volume, run_key

logger = logging.getLogger("rtbids")


class Archive:
    """The BIDS data set at `root`, opened or made; a context manager.

    Parameters
    ----------
    root
        A BIDS data set, an empty folder, or one to be made.
    version
        Of rtbids, as written into a new data set.
    clock
        Paces the writing to the disk.
    fill_gaps
        What stands in the 4-D file for a volume that never came: nothing (None), the volume before it, or zeros.
    identified
        Whether sidecars keep what identifies a person, a place or a day.
    """

    def __init__(
        self,
        root: Path,
        *,
        version: str = __version__,
        clock: Clock = CLOCK,
        fill_gaps: FillGaps = None,
        identified: bool = False,
    ) -> None:
        self.root = root
        self._study = Study(root, version, identified=identified)
        self._clock = clock
        self._fill_gaps = fill_gaps
        self._finisher = Finisher(self._study)
        self._open: list[GrowingRun] = []
        self._begun: list[GrowingRun] = []
        self._given: list[Entities] = []
        self._to_overwrite: set[str] = set()
        self._last: list[Callable[[], object]] = []
        self._warned: set[str] = set()
        self._left: dict[str, claims.Claim] = {}

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.close()
        except RtbidsError as late:
            if error is None:
                raise
            logger.warning("%s", late)  # what went wrong first is what the user needs to hear

    @property
    def has_grown(self) -> bool:
        """Whether a run has been begun."""
        return bool(self._begun)

    def recover(self, on_progress: OnProgress | None = None) -> list[str]:
        """Finish the runs that a killed process left, changing none of their voxels; return their names."""
        for series in waiting.left(self._study):
            placing.undo(self._study, series)
        return finish.recover(self._study, on_progress)

    def take_up(self, names: Iterable[str]) -> list[str]:
        """Claim runs that a killed process left, so that they can go on; to be called before `recover`. Return which."""
        with self._study.locked():
            left = set(names) & set(claims.names(self._study.growing))
            for claim in claims.abandoned(self._study.growing, left):
                if finish.is_whole(self._study, claim):
                    self._left[claim.name] = claim
        return sorted(self._left)

    def leave(self) -> None:
        """Close the data set as a kill would: runs that are open stay so, for whoever takes them up."""
        for run in self._open:
            run.leave()
        for claim in self._left.values():
            claim.abandon()
        self._finisher.close()
        self._study.close()

    def waiting_room(self) -> Room:
        """Return the place where the files of other series than runs wait until each series is over."""
        return Room(self._study)

    def left_waiting(self) -> Iterator[Waiting]:
        """Take over the series that killed processes left waiting; to be called after `recover`."""
        return waiting.left(self._study)

    def place_images(self, images: Sequence[Image], series: Waiting, owner: Entities, aside: Aside | None = None) -> list[Path]:
        """Put the images of a whole series in place; see `rtbids.archive.placing.place`."""
        return placing.place(self._study, images, series, owner, aside)

    def set_aside(self, series: Waiting, owner: Entities, aside: Aside) -> Path:
        """Keep a series in ``sourcedata``; see `rtbids.archive.placing.set_aside`."""
        return placing.set_aside(self._study, series, owner, aside)

    def at_the_end(self, owner: Entities, choose: fieldmaps.Choose) -> None:
        """Have the field maps of a subject or session say what they are for when every run is compressed."""
        self._last.append(lambda: fieldmaps.intend(self._study, owner, choose))

    def number(self, entities: Entities) -> str:
        """Return the next free run label, of two digits, for a run of these entities; none is given out twice.

        It is free for every echo, unless `entities` names one.
        """
        entities = bids_entities.beside_magnitude(entities)
        taken = [run for run in [*self._all_runs(entities), *self._given] if same_but_run(_as_of(run, entities), entities)]
        numbers = [int(run.get("run", "1")) for run in taken if run.get("run", "1").isdigit()]
        label = f"{max(numbers, default=0) + 1:02d}"
        self._given.append({**entities, "run": label})
        return label

    def place(self, entities: Entities, *, overwrite: bool = False, explicit: bool = False) -> Entities:
        """Return the entities under which a run that calls itself `entities` is archived: its own, where they are free.

        Raises
        ------
        CannotWrite
            Where the user asked for this run (`explicit`), it is there already, and `overwrite` does not say to replace it.
        """
        there = self._same_run(entities)
        if there is None or bids_entities.stem(there) in self._left:
            return entities if there is None else there
        name = bids_entities.stem(there)
        if overwrite:
            self._to_overwrite.add(name)
            return there
        if explicit:
            raise _exists(name)
        placed = {**entities, "run": self.number(entities)}
        logger.warning("%s is in the data set already: this run becomes %s", name, bids_entities.stem(placed))
        return placed

    def begin(self, volume: Volume, events: str | None = None) -> GrowingRun:
        """Claim the run of `volume` and put its files in place, this first volume in them.

        Raises
        ------
        CannotWrite
            Where the run exists, another process is writing it, or the disk refuses.
        BadData
            Where the volume does not say what BIDS needs: subject, task and RepetitionTime.
        """
        _check(volume)
        if (left := self._left.pop(bids_entities.stem(volume.entities), None)) is not None:
            return self._gone_on_with(left, volume)
        with self._study.locked():
            claim = self._claim(volume.entities)
            try:
                run = self._behind_curtain(claim, volume, volume.events if events is None else events)
            except BaseException:
                claim.release()
                raise
        run.acknowledge(volume)
        self._to_overwrite.discard(run.name)
        self._open.append(run)
        self._begun.append(run)
        return run

    def _gone_on_with(self, claim: claims.Claim, volume: Volume) -> GrowingRun:
        """Go on with a run that a killed process left, with its next volume."""
        run = GrowingRun(
            self._study,
            claim,
            volume,
            fill_gaps=self._fill_gaps,
            clock=self._clock,
            finish=self._ended,
            earlier=self._ended_before(volume.entities),
            goes_on=True,
        )
        self._open.append(run)
        self._begun.append(run)
        run.append(volume)
        return run

    def _claim(self, entities: Entities) -> claims.Claim:
        name = bids_entities.stem(entities)
        free = name in self._to_overwrite or self._same_run(entities) is None
        claimed_by_others = name in claims.names(self._study.growing) and name not in [run.name for run in self._begun]
        if not free and not claimed_by_others:
            raise _exists(name)
        claim = claims.claim(self._study.growing, name)
        if not free:
            claim.abandon()
            raise _exists(name)
        return claim

    def _behind_curtain(self, claim: claims.Claim, volume: Volume, events: str | None) -> GrowingRun:
        study = self._study
        files = f"{bids_entities.folder(volume.entities)}/{claim.name}_*"
        if claim.name in self._to_overwrite:
            for image in study.folder(volume.entities).glob(f"{claim.name}_*.nii.gz"):
                study.unlist_scan(volume.entities, image)
        with study.curtain(*belongings.PATTERNS, files):
            if claim.name in self._to_overwrite:
                self._remove(claim)
            self._describe(volume)
            run = GrowingRun(
                study,
                claim,
                volume,
                fill_gaps=self._fill_gaps,
                clock=self._clock,
                finish=self._ended,
                earlier=self._ended_before(volume.entities),
            )
            try:
                if events is not None:
                    run.write_events(events, _event_fields(volume) if events == volume.events else None)
                study.list_participants()
                self._keep_belongings(volume)
            except BaseException:
                run.withdraw()
                raise
        return run

    def _ended_before(self, entities: Entities) -> list[str]:
        """Return the subject's runs but for those that grow: ours of which more may come, and those of others."""
        ended = {run.name for run in self._begun} - {run.name for run in self._open if not run.is_ending}
        growing = {*claims.names(self._study.growing), bids_entities.stem(entities)} - ended
        found = (bids_entities.stem(run.entities) for run in runs(self.root, {"subject": entities["subject"]}))
        return [name for name in found if name not in growing]

    def _describe(self, volume: Volume) -> None:
        if (there := volume.belongings) is not None:
            new = belongings.is_ours(self._study)
            self._warn_of(volume, lambda: belongings.describe(self._study, there, new=new))

    def _keep_belongings(self, volume: Volume) -> None:
        if (there := volume.belongings) is not None:
            self._warn_of(volume, lambda: belongings.keep(self._study, volume.entities, there))

    def _warn_of(self, volume: Volume, keep: Callable[[], list[str]]) -> None:
        """Say once what is to be said of what belongs to a run."""
        try:
            said = keep()
        except OSError as error:  # such as a table that nobody may read: not a reason to lose the run
            said = [f"what belongs to {bids_entities.stem(volume.entities)} is not all kept: {error}"]
        for warning in said:
            if warning not in self._warned:
                logger.warning("%s", warning)
            self._warned.add(warning)

    def _remove(self, claim: claims.Claim) -> None:
        """Remove a run that is overwritten, and all that was derived from it."""
        place = bids_entities.folder(claim.entities)
        for folder in (self.root / place, self.root / DERIVATIVE / place):
            for file in folder.glob(f"{claim.name}_*"):
                file.unlink()

    def _ended(self, run: GrowingRun) -> None:
        self._open.remove(run)
        self._finisher.add(run.claim)

    def _same_run(self, entities: Entities) -> Entities | None:
        """Return the entities, as written there, of the run that `entities` name; None where it is free."""
        wanted = entities.get("run", "")
        return next((run for run in self._runs_there(entities) if bids_entities.same_run(wanted, run.get("run", ""))), None)

    def _runs_there(self, entities: Entities) -> Iterator[Mapping[str, str]]:
        """Give the runs, finished or growing, that differ from `entities` in nothing but the run label."""
        wanted = bids_entities.beside_magnitude(entities)
        return (run for run in self._all_runs(entities) if same_but_run(bids_entities.beside_magnitude(run), wanted))

    def _all_runs(self, entities: Entities) -> list[Mapping[str, str]]:
        """Return the runs of a subject or session, finished or growing ones of others too."""
        files = [bids_entities.parse(file.name)[0] for file in self._study.folder(entities).glob("sub-*_bold.*")]
        growing = [claims.entities_of(name) for name in claims.names(self._study.growing)]
        return [*files, *growing]

    def close(self, on_progress: OnProgress | None = None) -> None:
        """End what is still open and wait until every run is compressed; `on_progress` hears (bytes done, bytes in all)."""
        self._finisher.on_progress = on_progress
        with ExitStack() as last:  # each of these is done, whatever the others raise
            last.callback(self._study.close)
            for call in self._last:
                last.callback(call)
            last.callback(self._finisher.close)
            for claim in self._left.values():
                last.callback(self._finisher.add, claim)
            for run in self._open:
                last.callback(run.end)
            for table in (table for run in self._begun for table in run.tables):
                last.callback(table.close)


def _as_of(run: Mapping[str, str], entities: Entities) -> Mapping[str, str]:
    """Return the entities of a run, without its echo where `entities` names none."""
    run = bids_entities.beside_magnitude(run)
    return run if "echo" in entities else {entity: label for entity, label in run.items() if entity != "echo"}


def _event_fields(volume: Volume) -> bytes | None:
    return volume.belongings.files.get("events.json") if volume.belongings else None


def _check(volume: Volume) -> None:
    name = bids_entities.stem(volume.entities)
    for entity in ("subject", "task"):
        if not volume.entities.get(entity):
            raise BadData(f"{name or 'a run'}: a BOLD run in BIDS needs a {entity}, found none")
    if volume.repetition_time <= 0:
        raise BadData(f"{name}: expected a RepetitionTime above 0 s, found {volume.repetition_time:g}")
    if volume.index >= MOST_VOLUMES:
        raise BadData(f"{name}: NIfTI-1 holds up to {MOST_VOLUMES} volumes, found volume {volume.index}")


def _exists(name: str) -> CannotWrite:
    return CannotWrite(f"{name} is in the data set already", "take another run number, or say --overwrite to replace it")


def add(
    items: Iterable[Item],
    archive: Archive,
    *,
    on_item: Callable[[Item], None] | None = None,
    overwrite: bool = False,
    explicit: bool = False,
    leaves_open: bool = False,
) -> dict[str, int]:
    """Grow the data set from `items`; return how many volumes each run has got.

    Runs may interleave. Whatever `items` or the disk raises, every open run is closed cleanly before it goes on, but where it
    `leaves_open` runs that nobody ended: see `Archive.leave`.
    """
    runs: dict[tuple[tuple[str, str], ...], GrowingRun] = {}
    begun: list[GrowingRun] = []
    with ExitStack() as ends:
        for item in items:
            key = run_key(item.entities)
            if isinstance(item, RunEnd):
                if key in runs:
                    runs.pop(key).end(item)
                else:
                    logger.warning("%s: the run ended without a volume", bids_entities.stem(item.entities))
            elif key in runs:
                runs[key].append(item)
            else:
                placed = archive.place(item.entities, overwrite=overwrite, explicit=explicit)
                runs[key] = archive.begin(replace(item, entities=placed))
                if not leaves_open:
                    ends.callback(runs[key].end)
                begun.append(runs[key])
            if on_item is not None:
                on_item(item)
    return {run.name: run.count for run in begun}
