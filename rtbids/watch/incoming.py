"""Series that come image by image, over the network or in a stream: files of ours, each series a batch when it is over.

An image is on the disk before its sender is answered. A process has a folder of its own, locked for as long as it lives, and in
it one for each series; what a process that was killed has left is taken up by the next that starts.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from rtbids.clock import CLOCK, Clock
from rtbids.errors import BadData, cannot_write
from rtbids.stream.wire import Buffer
from rtbids.watch import complete, durable
from rtbids.watch.finished import QUIET, Finished

_LOCK = ".lock"
_ROOM_EVERY = 1.0  # seconds between two looks at the room on the disk


class NoRoom(Exception):
    """The disk is so full that no more is taken in."""


@dataclass
class _Series:
    folder: Path
    label: str
    last: float  # POSIX seconds
    taken: int = 0
    under_way: int = 0
    kept: int = 0
    broken: tuple[tuple[Path, str], ...] = ()


class Incoming:
    """The series that come in now, below `folder`; images may be kept from several threads.

    Parameters
    ----------
    quiet
        Seconds without an image after which a series is over. Not the end of an association: some scanners have one an image.
    room
        Bytes that stay free on the disk: when there are fewer nothing is kept.
    """

    def __init__(self, folder: Path, *, quiet: float = QUIET, room: int = 0, clock: Clock = CLOCK) -> None:
        self._folder, self._quiet, self._room, self._clock = folder, quiet, room, clock
        self._lock = threading.Lock()
        self._series: dict[str, _Series] = {}
        self._count = 0
        self._full_until = self._roomy_until = 0.0
        self._own, self._held = _own_folder(folder, clock.now())
        self._together = durable.names_come_with_data(self._own)

    def keep(self, content: Buffer, *, broken: bool = False) -> bool:
        """Write an image to the disk, to the others of its series; with `broken` also what is none, for its sender to be told.

        Returns
        -------
        bool
            Whether it is the first of its series: those after it let `due` only come later.

        Raises
        ------
        BadData
            It is no whole DICOM image, and such are not to be kept.
        NoRoom
            The disk is too full.
        OSError
            The disk did not take it.
        """
        key, label, reason = "", "files that are no images", ""
        try:
            dataset = complete.check_file(BytesIO(content), "an image")
            key, label = str(dataset.get("SeriesInstanceUID")), f"series {dataset.get('SeriesNumber') or 'without a number'}"
        except BadData as error:
            if not broken:
                raise
            reason = str(error)
        self._check_room()
        series, number = self._place(key, label)
        path, is_kept = series.folder / durable.name(number, 6, content), False
        try:
            durable.write(content, path, fsync=True, together=self._together)
            is_kept = True
        finally:
            is_first = self._written(series, path, reason, is_kept)
        return is_first

    def finished(self, *, everything: bool = False) -> Iterator[Finished]:
        """Hand out the series that are over; with `everything` also those that are not."""
        now = self._clock.now()
        with self._lock:
            over = [key for key, one in self._series.items() if everything or (now >= self._ends(one) and not one.under_way)]
            series = [self._series.pop(key) for key in over]
        for one in series:
            bad = {path for path, _ in one.broken}
            files = tuple(path for path in sorted(one.folder.glob("*.dcm")) if path not in bad)
            if files or bad:  # else the disk took none of them
                yield Finished(one.label, one.folder, files, one.broken, spooled=True)

    @property
    def due(self) -> float:
        """When the next series may be over (POSIX seconds)."""
        with self._lock:
            return min(map(self._ends, self._series.values()), default=float("inf"))

    def leftovers(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Finished]:
        """Hand out what processes have left that live no more; what was taken in by the outbox already does no harm."""
        for folder in sorted(path for path in self._folder.iterdir() if path.is_dir() and path != self._own):
            if (lock := _locked(folder)) is None:
                continue
            try:
                for series in sorted(path for path in folder.iterdir() if path.is_dir()):
                    if stop():
                        return
                    yield from _left(series)
                if not any(path.is_dir() for path in folder.iterdir()):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)

    def close(self) -> None:
        """Let go of the folder; it goes if there is nothing in it."""
        for path in self._own.iterdir():
            with suppress(OSError):
                path.rmdir()
        if not any(path.is_dir() for path in self._own.iterdir()):
            shutil.rmtree(self._own, ignore_errors=True)
        os.close(self._held)

    def _ends(self, series: _Series) -> float:
        return series.last + self._quiet

    def _place(self, key: str, label: str) -> tuple[_Series, int]:
        with self._lock:
            series = self._series.get(key)
            if series is None:
                self._count += 1
                folder = self._own / f"{self._count:06d}"
                folder.mkdir(mode=0o700)
                durable.sync_folder(self._own)
                series = self._series[key] = _Series(folder, label, self._clock.now())
            series.taken += 1
            series.under_way += 1
            return series, series.taken

    def _written(self, series: _Series, path: Path, reason: str, is_kept: bool) -> bool:
        with self._lock:
            series.last = self._clock.now()
            series.under_way -= 1
            series.kept += is_kept
            if reason and is_kept:
                series.broken += ((path, reason),)
            return is_kept and series.kept == 1

    def _check_room(self) -> None:
        if not self._room:
            return
        now = self._clock.now()
        if now >= self._roomy_until:
            if shutil.disk_usage(self._folder).free < self._room:
                raise NoRoom
            self._roomy_until = now + _ROOM_EVERY


def _own_folder(folder: Path, now: float) -> tuple[Path, int]:
    """Make a folder for this process; return it and the descriptor of its lock.

    Its name was no other's before: an outbox knows files by their paths, also those that are not there any more.
    """
    while True:
        own = folder / f"{now:010.0f}-{secrets.token_hex(4)}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            own.mkdir(mode=0o700)
            durable.sync_folder(folder)
        except FileExistsError:
            continue
        except OSError as error:
            raise cannot_write(folder, error) from None
        if (lock := _locked(own)) is not None:
            return own, lock


def _locked(folder: Path) -> int | None:
    """Return the descriptor of a folder's lock, None where a process that lives has it, or the folder has just gone."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _left(series: Path) -> Iterator[Finished]:
    """Hand out a series that a process has left: its files, without those that were never finished or acknowledged."""
    durable.sweep(series)
    files, broken = [], []
    for path in sorted(series.glob("*.dcm")):
        try:
            durable.check(path)
            complete.check(str(path))
            files.append(path)
        except (BadData, OSError) as error:
            broken.append((path, str(error)))
    if files or broken:
        yield Finished("a series that was left", series, tuple(files), tuple(broken), spooled=True)
    else:
        with suppress(OSError):
            series.rmdir()
