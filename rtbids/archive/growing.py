"""A run that grows: its 4-D file, its sidecar, its events and its tables."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from rtbids.archive import fields
from rtbids.archive.claims import Claim
from rtbids.archive.study import Study
from rtbids.archive.syncer import Syncer
from rtbids.archive.tables import Table
from rtbids.archive.writer import MOST_VOLUMES, GrowingFile, sync
from rtbids.bids import sidecar
from rtbids.clock import Clock
from rtbids.errors import BadData, cannot_write
from rtbids.receipt import Receipt, settle
from rtbids.volume import Metadata, RunEnd, Volume, difference, voxels

logger = logging.getLogger("rtbids")
FillGaps: TypeAlias = Literal["previous", "zero"] | None


class GrowingRun:
    """One run of an `Archive` from its first volume to its end; made by ``Archive.begin``.

    A volume for which `append` has returned survives the death of this process. On the disk, so that it survives a loss of
    power too, it is within a second or at the next volume, whichever comes later, and at `end` in any case.

    Attributes
    ----------
    name
        As in ``sub-01_task-nf_run-01``.
    entities
        Those it is archived under.
    file
        The 4-D file as long as it grows (``.nii``).
    count
        How many volumes the file holds.
    missing
        The indices up to now that never came.
    earlier
        The subject's runs that had ended when this one began, by name.
    is_ending
        Whether its last volume has come; some may be on their way to the file.
    """

    def __init__(
        self,
        study: Study,
        claim: Claim,
        first: Volume,
        *,
        fill_gaps: FillGaps,
        clock: Clock,
        finish: Callable[[GrowingRun], None],
        earlier: Sequence[str] = (),
        goes_on: bool = False,
    ) -> None:
        self.claim = claim
        self.name = claim.name
        self.entities = dict(first.entities)
        self.file = study.path(self.entities, "bold", ".nii")
        self.missing: list[int] = []
        self.earlier = tuple(earlier)
        self.is_ending = False
        self.tables: list[Table] = []
        self._study = study
        self._fill_gaps = fill_gaps
        self._finish = finish
        self._events: str | None = None
        self._event_files: set[Path] = set()  # those of this run: one that was there before is somebody's
        self._kept_others = False  # whether that was said of the events
        self._sidecar_text = ""
        self._metadata: Metadata = first.metadata
        self._last = replace(first, receipts=())
        self._ended = False
        self._names_synced = False
        self._unsynced: list[Receipt] = []
        self._syncing = threading.Lock()
        self._reopen(first) if goes_on else self._create(first)
        self._syncer = Syncer(self._sync, self.file.name, clock)

    @property
    def count(self) -> int:
        return self._growing.count

    @property
    def fills_gaps(self) -> bool:
        """Whether the file has a volume for each index, also where none came."""
        return self._fill_gaps is not None

    def _create(self, first: Volume) -> None:
        """Put the files of the run in place; behind a curtain, as a sidecar and its image cannot appear in one step."""
        self.missing += range(first.index)
        try:
            self._growing = self._begun(first)
            try:
                self._study.folder(self.entities).mkdir(parents=True, exist_ok=True)
                self._write_sidecar()
                self._growing.move(self.file)
            except BaseException:
                self._remove()
                raise
        except OSError as error:
            raise cannot_write(self.file, error) from error

    def _reopen(self, volume: Volume) -> None:
        """Go on with the files that a killed process left; `volume` is the next one, which is not in them yet."""
        self._growing = GrowingFile.reopened(self.file)
        self._sidecar_text = self._sidecar.read_text(encoding="utf-8")
        told = json.loads(self._sidecar_text)
        self.missing = [int(index) for index in told.get("MissingVolumes", ())]
        events = self._study.events_path(self.entities)
        self._event_files = {path for path in (events, events.with_suffix(".json")) if path.exists()}
        self._events = events.read_text(encoding="utf-8") if events.exists() else None
        self._metadata = told
        header = self._growing.header
        self._last = replace(
            volume,
            data=np.zeros(header.shape[:3], header.dtype),
            affine=header.affine,
            slope=header.slope,
            inter=header.inter,
            metadata=told,
            index=self._growing.count + len(self.missing) - 1,
            receipts=(),
        )

    def leave(self) -> None:
        """Let go of the files as they are: whoever claims the run next goes on with it or finishes it."""
        self._ended = True
        self._syncer.close()
        self._growing.close()
        self.claim.abandon()

    def _begun(self, first: Volume) -> GrowingFile:
        """Prepare the 4-D file with its first volume, and before it what stands in for the ones that never came."""
        contents = [*([_blank(first)] * first.index if self._fill_gaps else ()), first]
        growing = GrowingFile(self._study.staged(self.file.name), contents[0])
        for volume in contents[1:]:
            growing.append(voxels(volume))
        return growing

    def _remove(self) -> None:
        self._growing.close()
        for path in (self._growing.path, self._sidecar):
            path.unlink(missing_ok=True)
        for path in self._event_files:
            path.unlink(missing_ok=True)

    def withdraw(self) -> None:
        """Take the run back as if it had never begun."""
        self._ended = True
        self._syncer.close()
        self._remove()

    @property
    def _sidecar(self) -> Path:
        return self._study.path(self.entities, "bold", ".json")

    def append(self, volume: Volume) -> None:
        """Add `volume` at the end of the 4-D file, having noted the indices before it that never came.

        Raises
        ------
        BadData
            Where its grid, type, scale or index does not fit those before it; the run may go on with the next one.
        CannotWrite
            Where there is no room; what was appended before stays, and a later volume may be appended when there is room again.
        """
        self._check_place(volume)
        if found := difference(self._last, volume):
            raise BadData(f"{self.name}, volume {volume.index}: {found}")
        self._pass_over(range(self._last.index + 1, volume.index))
        self._learn(volume)
        self._growing.append(voxels(volume))
        self._last = replace(volume, receipts=())
        self.acknowledge(volume)
        self._syncer.appended()

    def _check_place(self, volume: Volume) -> None:
        if volume.index <= self._last.index:
            raise BadData(f"{self.name}: expected a volume after {self._last.index}, found volume {volume.index}")
        if volume.index >= MOST_VOLUMES:
            raise BadData(f"{self.name}: NIfTI-1 holds up to {MOST_VOLUMES} volumes, found volume {volume.index}")

    def _pass_over(self, indices: Sequence[int]) -> None:
        """Note `indices` as missing, in the sidecar first: it is true from now on, whatever happens next."""
        new = [index for index in indices if index not in self.missing]
        if new:
            self.missing += new
            self._write_sidecar()
        if self._fill_gaps and indices:
            self._fill(indices[-1] + 1)

    def _fill(self, count: int) -> None:
        stand_in = self._last if self._fill_gaps == "previous" else _blank(self._last)
        while self.count < count:
            self._growing.append(voxels(stand_in))

    def _learn(self, volume: Volume) -> None:
        """Write down what became known about the run since its first volume."""
        if volume.metadata is not self._metadata:
            self._metadata = volume.metadata
            self._write_sidecar()
        if volume.events is not None and volume.events != self._events:
            self.write_events(volume.events, volume.belongings.files.get("events.json") if volume.belongings else None)

    def _write_sidecar(self) -> None:
        missing, filled = ([], self.missing) if self._fill_gaps else (self.missing, [])
        text = sidecar.dumps(fields.of_run(self._metadata, self.entities, missing, filled, identified=self._study.identified))
        if text != self._sidecar_text:
            self._study.write(self._sidecar, text)
            self._sidecar_text = text

    def write_events(self, text: str, fields: bytes | None = None) -> None:
        """Write the run's ``events.tsv``, and `fields`, its sidecar; those that were there before the run are kept.

        Echoes and parts of one run share it.
        """
        path = self._study.events_path(self.entities)
        self._events = text
        if path in self._event_files or not path.exists():
            self._write_event_file(path, text)
            self._write_event_fields(path.with_suffix(".json"), fields)
        elif path.read_bytes() != text.encode():
            logger.warning(
                "%s was there before the run and is kept; the events that came with the run are not written", path.name
            )

    def merge_events(self, text: str, fields: bytes) -> None:
        """Write `text`, the run's events and others among them, in place of its events, and `fields`, its sidecar.

        Events that were there before the run are kept.
        """
        path = self._study.events_path(self.entities)
        if path in self._event_files or not path.exists():
            self._write_event_file(path, text)
            self._write_event_fields(path.with_suffix(".json"), fields)
        elif not self._kept_others:
            self._kept_others = True
            logger.warning("%s was there before the run and is kept: what came in is in the table of responses", path.name)

    def _write_event_file(self, path: Path, text: str) -> None:
        self._study.write(path, text)
        self._event_files.add(path)

    def _write_event_fields(self, path: Path, fields: bytes | None) -> None:
        if fields is None or (path.exists() and path not in self._event_files):
            return
        try:
            told = json.loads(fields)
            if isinstance(told, dict) and told != sidecar.inherited(self._study.root, path, "events"):
                self._write_event_file(path, fields.decode())
        except (ValueError, BadData) as error:
            logger.warning("%s is not kept: %s", path.name, error)

    def acknowledge(self, volume: Volume) -> None:
        """Let the source go of the images of a volume that is kept: now, or when it is on the disk itself."""
        settle(receipt for receipt in volume.receipts if not receipt.durable)
        self._unsynced += [receipt for receipt in volume.receipts if receipt.durable]

    def _sync(self) -> None:
        if not self._names_synced:  # a new file is there after a loss of power only if its folder was synced as well
            for path in (self._sidecar, self.file.parent):
                sync(path)
            self._names_synced = True
        with self._syncing:
            count = len(self._unsynced)
            self._growing.sync()
            settle(self._unsynced[:count])
            del self._unsynced[:count]

    def table(self, description: str, columns: Sequence[str], sidecar_fields: Mapping[str, Any]) -> Table:
        """Begin ``*_desc-DESCRIPTION_timeseries.tsv`` of this run, with its sidecar, in ``derivatives/rtbids``."""
        path = self.derivative(description, "timeseries", ".tsv")
        self.describe(description, sidecar_fields)
        table = Table(path, columns)
        self.tables.append(table)
        return table

    def describe(self, description: str, sidecar_fields: Mapping[str, Any]) -> None:
        """Write the sidecar of ``*_desc-DESCRIPTION_timeseries.tsv``, in place of an earlier one."""
        self._study.write(self.derivative(description, "timeseries", ".json"), sidecar.dumps(sidecar_fields))

    def derivative(self, description: str, suffix: str, extension: str) -> Path:
        """Return where a derivative of this run stands; its folder is made."""
        return self._study.derivative(self.entities, description, suffix, extension)

    def end(self, end: RunEnd | None = None) -> None:
        """Close the file and leave its compression to the archive's thread; without `end` the run was cut short."""
        if self._ended:
            return
        self._ended = True
        try:
            if end is not None:
                self._pass_over([index for index in end.missing if index > self._last.index])
            self._sync()
        except OSError as error:
            raise cannot_write(self.file, error) from error
        finally:
            self._syncer.close()
            self._growing.close()
            self._finish(self)


def _blank(like: Volume) -> Volume:
    return replace(like, data=np.zeros_like(like.data))
