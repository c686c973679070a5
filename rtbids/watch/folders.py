"""A folder of folders that a scanner or an export writes into, as a source of finished ones: each a batch of files.

Every folder below that holds files is one of its own; those that were there before come first. Nothing is remembered between
two starts: what was not handed on is found again, and what was is known by whoever took it.
"""

from __future__ import annotations

import heapq
import logging
import os
import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from rtbids.clock import CLOCK, Clock
from rtbids.errors import InputMissing
from rtbids.wakeup import Wakeup
from rtbids.watch import finished, listing
from rtbids.watch.changes import Changes, Kind, Looking
from rtbids.watch.finished import Finished, Held, Listing, Pending, Rule
from rtbids.watch.handed import Handed, Known
from rtbids.watch.mounts import changes_of
from rtbids.watch.unfinished import Unfinished

logger = logging.getLogger("rtbids")
BITE = 0.05  # seconds of a look at everything after which events are heard again
_USUAL = Rule()
SHARE = 10  # of so many seconds one is spent on listing folders at the most, however many there are


def batches(
    folder: Path,
    *,
    rule: Rule = _USUAL,
    existing: bool = True,
    wait: bool = True,
    idle_timeout: float | None = None,
    poll: bool | None = None,
    stop: Wakeup | None = None,
    on_mode: Callable[[str], None] = lambda mode: None,
    on_held: Callable[[Sequence[Held]], None] = lambda held: None,
    known: Known | None = None,
    clock: Clock = CLOCK,
) -> Iterator[Finished]:
    """Hand out each finished folder in `folder`, and the files that are added to it later as one more.

    Parameters
    ----------
    existing
        Whether to take the folders that are there at the start.
    wait
        Whether to wait for more; else the end comes when those that are there are finished, or cannot be yet.
    idle_timeout
        End after so many seconds without a finished folder or a change.
    poll
        Look again and again, instead of trusting events; None decides by the file system.
    stop
        Ends the watch at once: what was not handed out is found at the next start.
    on_held
        Is told of the folders that have been unfinished for too long, whenever these are others than before.
    known
        Says of the files of a folder whether an earlier process has handed out all of them.

    Raises
    ------
    InputMissing
        There is no such folder.
    """
    if not folder.is_dir():
        raise InputMissing(f"expected a folder of DICOM files, found nothing at {folder}")
    root = os.path.realpath(folder)
    stop = stop or Wakeup()
    with closing(changes_of(Path(root), poll) if wait else Looking("once")) as changes:
        by_times = not wait or changes.fileno() is not None
        watch = _Watch(root, changes, replace(rule, by_times=by_times), stop, Handed(known), Unfinished(root, on_held), clock)
        if not existing:
            watch.ignore_present()
        on_mode(changes.mode if wait else "what is there, once")
        yield from watch.live(idle_timeout) if wait else watch.once()


class _Watch:
    """One folder of folders: what is waited for in it, and when to look again."""

    def __init__(
        self,
        root: str,
        changes: Changes,
        rule: Rule,
        stop: Wakeup,
        handed: Handed,
        unfinished: Unfinished,
        clock: Clock,
    ) -> None:
        self._root, self._changes, self._rule, self._stop, self._clock = root, changes, rule, stop, clock
        self._handed, self._unfinished = handed, unfinished
        self._pending: dict[str, Pending] = {}
        self._due: list[tuple[float, str]] = []  # a heap; what is out of date in it does no harm
        self._renamed: dict[str, str] = {}  # folder → its name when it was handed on
        self._looking: Iterator[str] | None = None
        self._spent, self._next_look = 0.0, clock.now()
        self._active = clock.now()

    def ignore_present(self) -> None:
        for folder in self._folders(self._root):
            if (there := self._listed(folder)) is not None:
                self._handed.add(folder, there[0])

    def live(self, idle_timeout: float | None) -> Iterator[Finished]:
        """Hand out each folder as it is finished, until stopped or idle for too long."""
        while not self._stop.is_set():
            yield from self._news()
            now = self._clock.now()
            ends = float("inf") if idle_timeout is None else self._active + idle_timeout
            if now >= ends and self._looking is None:
                return
            self._pause(min(ends, self._next_look, self._due[0][0] if self._due else ends) - now)

    def once(self) -> Iterator[Finished]:
        """Hand out what is there, waiting for quiet but for nothing else."""
        while not self._stop.is_set():
            yield from self._news()
            if self._looking is None:
                waited = [pending.due(self._rule) for pending in self._pending.values() if not pending.held]
                if not waited:
                    self._unfinished.tell(self._pending, self._clock.now())
                    return
                self._next_look = max(waited)
                self._stop.wait(max(0.0, min(waited) - self._clock.now()))

    def _news(self) -> Iterator[Finished]:
        self._listen()
        now = self._clock.now()
        while self._due and self._due[0][0] <= now and not self._stop.is_set():
            _, folder = heapq.heappop(self._due)
            if folder in self._pending and self._pending[folder].due(self._rule) <= now:
                yield from self._visit(folder)
        yield from self._look()

    def _pause(self, seconds: float) -> None:
        sources: list[Wakeup | int] = [self._stop]
        if (events := self._changes.fileno()) is not None:
            sources.append(events)
        select.select(sources, [], [], 0 if self._looking is not None else max(0.0, seconds))

    def _listen(self) -> None:
        """Note what the folder has told since the last time; what was written to is looked at when it is quiet again."""
        touched: set[str] = set()
        now = self._clock.now()
        for change in self._changes.read():
            self._active = now
            match change.kind:
                case Kind.LOST:
                    self._looking, self._next_look = None, now
                case Kind.MOVED | Kind.FOLDER:
                    self._expect(change.path, in_place=change.kind is Kind.MOVED)
                    if change.source is not None:
                        self._follow(change.source, change.path)
                case _:
                    touched.add(os.path.dirname(change.path))
        for folder in touched:
            self._wait(folder, finished.heard(self._pending.get(folder), now))

    def _expect(self, top: str, *, in_place: bool) -> None:
        """Wait for a folder that has appeared, and for those in it."""
        inner = os.path.relpath(top, self._root).split(os.sep)
        if not finished.unfinished(inner[:-1]) and self._is_wanted(top):
            for folder in self._folders(top):
                self._wait(folder, finished.heard(self._pending.get(folder), self._clock.now(), in_place=in_place))

    def _follow(self, source: str, path: str) -> None:
        """Remember what the folders in a renamed one were called, where they were handed on under that name."""
        for folder in self._pending:
            if folder == path or folder.startswith(path + os.sep):
                old = source + folder[len(path) :]
                old = self._renamed.pop(old, old)  # twice, before it could be handed on again
                if self._handed.has(old):
                    self._renamed[folder] = old

    def _wait(self, folder: str, pending: Pending) -> None:
        if self._pending.get(folder) != pending:
            self._pending[folder] = pending
            heapq.heappush(self._due, (pending.due(self._rule), folder))

    def _look(self) -> Iterator[Finished]:
        """Look at the next folders, for as long as a bite lasts."""
        begun = self._clock.now()
        if self._looking is None:
            if begun < self._next_look:
                return
            self._looking, self._spent = self._folders(self._root), 0.0
        for folder in self._looking:
            yield from self._visit(folder)
            if self._stop.is_set() or self._clock.now() - begun > BITE:
                return
        self._looked()

    def _looked(self) -> None:
        """A look at everything is over."""
        now = self._clock.now()
        self._looking, self._next_look = None, now + max(self._changes.interval, SHARE * self._spent)
        self._handed.forget_gone()
        for known in (self._pending, self._renamed):
            for folder in [folder for folder in known if not os.path.isdir(folder)]:
                del known[folder]
        self._unfinished.forget_gone()
        self._unfinished.tell(self._pending, now - self._rule.time_out)

    def _visit(self, folder: str) -> Iterator[Finished]:
        """Look at one folder, and hand it out where it is finished."""
        begun = self._clock.now()
        there = self._listed(folder)
        news = self._handed.news(folder, there[0]) if there else {}
        self._spent += self._clock.now() - begun
        if not there or not news:
            self._pending.pop(folder, None)
            return
        now, before = self._clock.now(), self._pending.get(folder)
        pending = finished.seen(before, news, there[1], now, self._rule)
        if before and before.looks != pending.looks:
            self._active = now
        self._wait(folder, pending)
        if now >= pending.due(self._rule):
            yield from self._judge(folder, news, pending, patient=now < pending.gives_up(self._rule))

    def _judge(self, folder: str, news: Listing, pending: Pending, *, patient: bool) -> Iterator[Finished]:
        """Hand out a folder that is quiet, unless something in it holds it back."""
        try:
            verdict = listing.judge(folder, self._root, news, self._stop.is_set, patient=patient)
        except listing.Gone:
            del self._pending[folder]
            return
        if self._stop.is_set():
            return
        if verdict.held:
            self._wait(folder, replace(pending, held=verdict.held))
            return
        del self._pending[folder]
        is_new = not self._handed.has(folder)
        self._handed.add(folder, news)
        here, self._active = Path(folder), self._clock.now()
        if is_new and verdict.notes:
            logger.warning("%s", listing.left_out(verdict.notes) if verdict.whole else listing.no_batch(verdict.notes))
        if not verdict.whole and not verdict.broken:
            return
        broken = tuple((here / name, why) for name, why in verdict.broken)
        label = here.name if folder != self._root else os.curdir
        files = tuple(here / name for name in verdict.whole)
        old = self._renamed.pop(folder, None)
        yield Finished(label, here, files, broken, renamed_from=Path(old) if old else None)

    def _listed(self, folder: str) -> tuple[Listing, float] | None:
        try:
            there = listing.listed(folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._unfinished.refuse(folder, error.strerror or str(error), self._clock.now())
            return None
        self._unfinished.forget(folder)
        return there

    def _folders(self, top: str) -> Iterator[str]:
        return listing.every(top, self._changes.enter, self._is_wanted)

    def _is_wanted(self, path: str) -> bool:
        return self._unfinished.is_wanted(path, self._clock.now())
