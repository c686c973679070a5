"""The last step of a run: from ``.nii`` to ``.nii.gz`` in the background, also for runs that a killed process left."""

from __future__ import annotations

import gzip
import logging
import os
import queue
from collections.abc import Callable
from pathlib import Path

from rtbids.archive import claims, tables, writer
from rtbids.archive.claims import Claim
from rtbids.archive.study import DERIVATIVE, Study
from rtbids.bids import entities as bids_entities
from rtbids.errors import BadData, CannotWrite, RtbidsError, cannot_write
from rtbids.priority import give_way
from rtbids.threads import Answerable

logger = logging.getLogger("rtbids")
LEVEL = 4  # of a 70 MB run: 24.8 MB in 0.9 s; level 6 makes 24.2 MB in 2.1 s, level 1 26.4 MB in 0.6 s
_CHUNK = 1 << 20
OnProgress = Callable[[int, int], None]


def compress(plain: Path, packed: Path, on_bytes: Callable[[int], None]) -> None:
    """Write `packed`, the gzip of `plain`; the same voxels give the same bytes, as neither name nor time is in it."""
    with plain.open("rb") as source, packed.open("wb") as destination:
        with gzip.GzipFile(filename="", mode="wb", fileobj=destination, compresslevel=LEVEL, mtime=0) as archive:
            while chunk := source.read(_CHUNK):
                archive.write(chunk)
                on_bytes(len(chunk))
        destination.flush()
        os.fsync(destination.fileno())


def finish(study: Study, claim: Claim, on_bytes: Callable[[int], None]) -> None:
    """Compress a run that has ended and put the result in place; a kill at any point leaves a valid data set.

    Raises
    ------
    CannotWrite
        Where there is no room; the ``.nii`` stays, and the next recovery tries again.
    """
    plain = study.path(claim.entities, "bold", ".nii")
    packed = plain.with_suffix(".nii.gz")
    try:
        compress(plain, study.staged(packed.name), on_bytes)
        with study.locked():
            os.replace(study.staged(packed.name), packed)
            study.list_scan(claim.entities, packed)
        for path in (plain.with_suffix(".json"), packed.parent):
            writer.sync(path)  # not within the lock: a run that begins would wait for the disk
        with study.locked():
            plain.unlink()
            claim.release()
    except (OSError, RtbidsError) as error:
        study.staged(packed.name).unlink(missing_ok=True)
        claim.abandon()
        raise error if isinstance(error, RtbidsError) else cannot_write(packed, error) from error


class Finisher:
    """A thread of low priority that finishes runs one after the other."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._waiting: queue.SimpleQueue[Claim | None] = queue.SimpleQueue()
        self._thread: Answerable | None = None
        self._faults: list[RtbidsError] = []
        self._total = self._done = 0
        self.on_progress: OnProgress | None = None

    def add(self, claim: Claim) -> None:
        self._total += self._study.path(claim.entities, "bold", ".nii").stat().st_size
        if self._thread is None:
            # A daemon: after a second Ctrl-C nobody waits for it, and the next recovery finishes its work.
            self._thread = Answerable(self._run, "finisher", "the next rtbids on this data set finishes its work")
            self._thread.start()
        self._waiting.put(claim)

    def _run(self) -> None:
        give_way()
        while (claim := self._waiting.get()) is not None:
            try:
                finish(self._study, claim, self._count)
            except RtbidsError as fault:
                self._faults.append(fault)

    def _count(self, size: int) -> None:
        self._done += size
        if self.on_progress is not None:
            self.on_progress(self._done, self._total)

    def close(self) -> None:
        """Wait for the last run; raise CannotWrite where one could not be compressed."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
        if self._faults:
            raise CannotWrite(str(self._faults[0]), "the run is whole as .nii; the next run on this data set compresses it")


def recover(study: Study, on_progress: OnProgress | None = None) -> list[str]:
    """Finish the runs whose process died; return their names. No voxel changes."""
    with study.locked():
        left = list(claims.abandoned(study.growing))
        whole = [claim for claim in left if _settled(study, claim)]
        study.list_participants()
        study.lift_curtain()
        study.discard_leftovers()
    total, done = sum(study.path(claim.entities, "bold", ".nii").stat().st_size for claim in whole), 0

    def on_bytes(size: int) -> None:
        nonlocal done
        done += size
        if on_progress is not None:
            on_progress(done, total)

    waiting = list(whole)
    try:
        while waiting:
            finish(study, waiting.pop(0), on_bytes)
    finally:
        for claim in waiting:
            claim.abandon()
    return [claim.name for claim in whole]


def _settled(study: Study, claim: Claim) -> bool:
    """Cut what was half written and say whether there is something to compress."""
    _cut_tables(study, claim)
    plain = study.path(claim.entities, "bold", ".nii")
    if plain.exists():
        try:
            writer.settle(plain)
        except BadData as error:  # not as we left it: for its owner to look at
            logger.warning("%s; this run is left as it is", error)
            claim.abandon()
            return False
        return True
    if not plain.with_suffix(".nii.gz").exists():  # killed before its first volume was in place
        plain.with_suffix(".json").unlink(missing_ok=True)
    claim.release()
    return False


def is_whole(study: Study, claim: Claim) -> bool:
    """Cut what was half written of a run and say whether it can go on; where it cannot, the claim is let go."""
    return _settled(study, claim) and study.path(claim.entities, "bold", ".nii").exists()


def _cut_tables(study: Study, claim: Claim) -> None:
    place = study.root / DERIVATIVE / bids_entities.folder(claim.entities)
    for table in place.glob(f"{claim.name}_desc-*_timeseries.tsv"):
        tables.cut_partial_line(table)
