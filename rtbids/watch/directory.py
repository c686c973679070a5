"""A folder that a scanner writes into, as a source of whole DICOM files, each as soon as it is complete.

Files that are there already come first, series by series in the order of acquisition; then each as it is closed, renamed,
linked or moved into the folder or any folder below it. Where events cannot be trusted (network shares) the folder is polled;
where they can it is still looked at from time to time, for those that got lost.
"""

from __future__ import annotations

import logging
import os
import select
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

from rtbids.clock import CLOCK, Clock
from rtbids.convert.dicom import Instance, read
from rtbids.errors import BadData, InputMissing, NothingMatched
from rtbids.plural import counted
from rtbids.wakeup import Wakeup
from rtbids.watch.assemble import in_order
from rtbids.watch.changes import LOOK_SECONDS, Changes, Kind, Looking
from rtbids.watch.faults import Faults
from rtbids.watch.intake import Intake, Told
from rtbids.watch.looks import Look, walk
from rtbids.watch.mounts import changes_of

logger = logging.getLogger("rtbids")

PATIENCE = 5.0  # seconds that an incomplete file may stay as it is before it is named
_TOLD = {Kind.WHOLE: Told.CLOSED, Kind.NAMED: Told.FOUND}
BITE = 200  # files looked at in one go: an event is not kept waiting by a folder of thousands


def instances(
    folder: Path,
    *,
    pattern: str = "*",
    existing: bool = True,
    since: int | None = None,
    wait: bool = True,
    idle_timeout: float | None = None,
    poll: bool | None = None,
    stop: Wakeup | None = None,
    on_mode: Callable[[str], None] | None = None,
    faults: list[str] | None = None,
    patience: float = PATIENCE,
    clock: Clock = CLOCK,
) -> Iterator[Instance]:
    """Hand out each DICOM file in `folder` and below once it is whole; `received` is the moment at which that was learnt.

    Parameters
    ----------
    folder
        A single file will do too.
    pattern
        Of file names (``*.dcm``). Hidden names and ``.tmp``, ``.part``, ``.partial`` are waited for until they are renamed.
    existing
        Whether to take the files that are there at the start.
    since
        Where they are left, those of them that changed later are taken all the same: see `latest_change`.
    wait
        Whether to wait for more; else the end comes after those that are there.
    idle_timeout
        End after so many seconds without a file.
    poll
        Look at the folder again and again, instead of trusting its events; None decides by its file system.
    stop
        Ends the watch: what is complete at that moment is still handed out.
    on_mode
        Is told once, in words, how changes are learnt.
    faults
        Gets a line for each file that could not be used: truncated, foreign, unreadable, a copy. Each is warned of once too.
    patience
        Seconds that an incomplete file may stay as it is before it is counted as a fault; should it grow whole later it is
        handed out all the same. A slice that is complete but may not be filled yet is held for less: see `rtbids.watch.zeros`.

    Raises
    ------
    InputMissing
        There is no such folder, or with ``wait=False`` nothing in it.
    NothingMatched
        With ``wait=False`` there are files, and none has a name of the pattern.
    BadData
        There were files, but not one that could be used.
    """
    if not folder.exists():
        raise InputMissing(f"expected a folder of DICOM files, found nothing at {folder}")
    if not folder.is_dir():
        yield read(_content(folder), folder.name, clock.now())
        return
    root = os.path.realpath(folder)
    noted = Faults(faults)
    intake = Intake(root, pattern, patience, noted, clock)
    stop = stop or Wakeup()
    with closing(changes_of(Path(root), poll) if wait else Looking("once")) as changes:
        watch = _Watch(root, changes, intake, stop, clock)
        present = watch.present(existing, since)
        if on_mode is not None:
            on_mode(changes.mode if wait else "what is there, once")
        if wait and existing and pattern != "*" and watch.passed_over and not present:
            logger.warning("%s, as yet", _nothing_there(folder, pattern, watch.passed_over))
        yield from watch.taken(present)
        if wait:
            yield from watch.live(idle_timeout)
    yield from intake.settle() if wait else map(_unpaced, intake.settle())
    noted.summarise()
    if intake.taken or stop.is_set():
        return
    if noted.bad:
        among = f"{counted(noted.bad, 'file')} (first: {noted.entries[0]})"
        raise BadData(f"{folder}: expected DICOM images, found none among {among}")
    if existing and not wait:
        raise _nothing_there(folder, pattern, watch.passed_over)


def latest_change(folder: Path) -> int:
    """Return when a file in `folder` or below changed last, by the clock of its disk (ns); 0 where there is none."""
    found = walk(os.path.realpath(folder), lambda path: None, lambda path, error: None)
    return max((look.changed for _, look in found if look is not None), default=0)


def _unpaced(instance: Instance) -> Instance:
    return replace(instance, paced=False)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadData(f"{path.name}: cannot be read ({error.strerror})") from error


def _nothing_there(folder: Path, pattern: str, passed_over: int) -> InputMissing | NothingMatched:
    """Return what is to be said where no file was read."""
    if not passed_over:
        return InputMissing(f"{folder}: expected DICOM files, found an empty folder")
    found = counted(passed_over, "file")
    if pattern == "*":
        return InputMissing(f"{folder}: expected DICOM files, found {found} with unfinished or hidden names only")
    return NothingMatched(f"{folder}: found {found}, and no name that matches {pattern}", "give another --pattern")


class _Watch:
    """One folder under watch: what was heard of, what is being looked at, and when to look again."""

    def __init__(self, root: str, changes: Changes, intake: Intake, stop: Wakeup, clock: Clock) -> None:
        self._root, self._changes, self._intake, self._stop, self._clock = root, changes, intake, stop, clock
        self._heard: deque[tuple[str, float, Told]] = deque()  # files that may be whole, since when, and how that is known
        self._looking: Iterator[tuple[str, Look | None]] | None = None
        self._next_look = clock.now() + changes.interval
        self._hurried = 0  # looks to come that do not wait for the interval
        self._active = clock.now()
        self.passed_over = 0  # files that were there and whose names are not wanted

    def present(self, existing: bool, since: int | None = None) -> list[str]:
        """List what is there and shall be taken; from here on whatever comes is new."""
        there = list(self._walk(self._root))
        files = [(path, look) for path, look in there if self._intake.wants(path)]
        self.passed_over = len(there) - len(files)
        if existing:
            return [path for path, _ in files]
        new = [path for path, look in files if since is not None and look is not None and look.changed > since]
        for _, look in files:
            if since is None or look is None or look.changed <= since:
                self._intake.ignore(look)
        return new

    def taken(self, paths: list[str]) -> Iterator[Instance]:
        """Hand out files that were there before, in the order of acquisition and at no pace; a stop leaves the rest."""
        for path in in_order(path for path in paths if not self._stop.is_set()):
            if self._stop.is_set():
                return
            yield from map(_unpaced, self._intake.take(path, self._clock.now(), Told.BEFORE))

    def live(self, idle_timeout: float | None) -> Iterator[Instance]:
        """Hand out each file as it becomes whole, until stopped or idle for too long."""
        if self._stop.is_set():
            return
        self._active = self._clock.now()
        while not self._stop.is_set():
            yield from self._news()
            now = self._clock.now()
            yield from self._given(self._intake.overdue(now))
            ends = float("inf") if idle_timeout is None else self._active + idle_timeout
            if now >= ends:
                break
            self._pause(min(ends, self._next_look, self._intake.due) - now)
        self._listen()
        self._expect(path for path, look in self._walk(self._root) if self._intake.unknown(path, look))
        yield from self._hand_out()

    def _news(self) -> Iterator[Instance]:
        self._listen()
        self._look()
        yield from self._hand_out()

    def _hand_out(self) -> Iterator[Instance]:
        while self._heard:
            yield from self._given(self._intake.take(*self._heard.popleft()))
            if not self._stop.is_set():
                self._listen()  # so that a file's `received` is when it came, not when the one before was dealt with

    def _given(self, images: Iterator[Instance]) -> Iterator[Instance]:
        for image in images:
            yield image
            self._active = self._clock.now()

    def _pause(self, seconds: float) -> None:
        """Wait for an event or the stop; not at all in the middle of a look."""
        sources: list[Wakeup | int] = [self._stop]
        if (events := self._changes.fileno()) is not None:
            sources.append(events)
        select.select(sources, [], [], 0 if self._looking is not None else max(0.0, seconds))

    def _listen(self) -> None:
        """Note what the folder has told since the last time."""
        for change in self._changes.read():
            now = self._clock.now()
            if change.kind is Kind.LOST:
                self._hurry(now)
            elif change.kind in (Kind.FOLDER, Kind.MOVED) and self._intake.visible(change.path):
                self._expect(path for path, _ in self._walk(change.path))
            elif change.source is not None:
                self._follow(change.source, change.path)
            if change.kind in _TOLD and self._intake.wants(change.path):
                self._heard.append((change.path, now, _TOLD[change.kind]))
                self._active = now
            elif change.kind is Kind.TOUCHED:
                self._hurry(now + LOOK_SECONDS)

    def _follow(self, source: str, path: str) -> None:
        """Forget the old name of a file, which may still be on the list."""
        self._heard = deque(heard for heard in self._heard if heard[0] != source)
        self._intake.moved(source, path)

    def _hurry(self, moment: float) -> None:
        """Look at everything at `moment`, and again soon after: what then looks the same is not being written."""
        self._next_look, self._hurried = min(self._next_look, moment), 2

    def _expect(self, paths: Iterable[str]) -> None:
        """Note files that are there all at once."""
        now = self._clock.now()
        self._heard.extend((path, now, Told.FOUND) for path in in_order(filter(self._intake.wants, paths)))

    def _look(self) -> None:
        """Look at the next bite of files; take note of those that no event told of and that have stopped changing."""
        now = self._clock.now()
        if self._looking is None:
            if now < self._next_look:
                return
            self._looking = self._walk(self._root)
        bite = list(islice(self._looking, BITE))
        settled = {path: since for path, look in bite if (since := self._intake.seen(path, look, now)) is not None}
        ordered = in_order(settled) if len(settled) > 1 else settled
        self._heard.extend((path, settled[path], Told.FOUND) for path in ordered)
        if len(bite) < BITE:
            self._looking = None
            self._intake.looked()
            self._next_look = now + (LOOK_SECONDS if self._hurried else self._changes.interval)
            self._hurried = max(0, self._hurried - 1)

    def _walk(self, folder: str) -> Iterator[tuple[str, Look | None]]:
        return walk(folder, self._changes.enter, self._intake.refuse)
