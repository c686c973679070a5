"""From a raw file to a de-identified one on the disk: what a worker does with one image after the other."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rtbids.errors import BadData, ConnectionLost, LeftOut, NeedsPerson, RtbidsError
from rtbids.send import steps
from rtbids.send.backoff import LONGEST, delay, exhausted
from rtbids.send.claims import Raw, claim_images, owner_of, release
from rtbids.send.database import NoSpace
from rtbids.send.folder import Unfinished, begin, sync
from rtbids.send.header import identified, syntax_of
from rtbids.send.reach import AGAIN, AWAY, AWAY_LONGEST, GONE, GRACE, Reach
from rtbids.send.setting_aside import leads_out, place, put_back, set_aside
from rtbids.send.settings import Settings
from rtbids.send.steps import Cleaned
from rtbids.send.work import Work

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

logger = logging.getLogger("rtbids")
LINK = "a link that leads out of the folder"
_FLUSH = 0.25  # seconds of work that are written down together
_FOR_GOOD = (errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)


class Clean(Protocol):
    """What de-identification gives back."""

    @property
    def content(self) -> bytes: ...
    @property
    def sop_class(self) -> str: ...
    @property
    def instance(self) -> str: ...
    @property
    def series(self) -> str: ...
    @property
    def study(self) -> str: ...
    @property
    def patient(self) -> str: ...


Deidentify = Callable[[bytes], Clean]


class Cleaner:
    """One worker that takes raw images and leaves them de-identified, or as they are where `clean` is None."""

    def __init__(self, outbox: Outbox, clean: Deidentify | None, settings: Settings, work: Work) -> None:
        self._outbox = outbox
        self._clean = clean
        self._settings = settings
        self._work = work
        self._reach = Reach.of(settings.source)
        self._failures = 0  # of the service that gives identifiers, in a row
        self._held: dict[int, Raw] = {}
        self._done: list[tuple[Raw, Cleaned]] = []
        self._unfinished: list[Unfinished] = []

    def step(self) -> bool:
        """Do the images of one claim; say whether there were any."""
        self.give_back()
        raws = claim_images(self._outbox, self._settings.group)
        self._held = {raw.image: raw for raw in raws}
        begun = self._outbox.clock.now()
        for raw in raws:
            if self._work.over or not self._one(raw):
                break
            if self._outbox.clock.now() - begun >= _FLUSH:
                self._flush()
                begun = self._outbox.clock.now()
        self._flush()
        self.give_back()
        return bool(raws)

    def give_back(self) -> None:
        """Let go of what was claimed and is not done, also what an error left behind."""
        if self._held:
            release(self._outbox, list(self._held.values()))
        self._held, self._done = {}, []
        for file in self._unfinished:
            file.give_up()
        self._unfinished = []

    def _one(self, raw: Raw) -> bool:
        """Do one image; say whether the next may follow."""
        try:
            if raw.fault is not None:
                raise BadData(raw.fault)
            if leads_out(raw.path, raw.root):
                raise BadData(LINK)
            self._done.append((raw, self._cleaned(raw)))
            self._failures = 0
            self._work.resume("source")
        except NoSpace:
            raise
        except LeftOut as error:
            steps.skipped(self._outbox, raw, str(error))
            self._held.pop(raw.image)
        except BadData as error:
            self._fail(raw, str(error))
        except ConnectionLost as error:
            return self._wait_for_service(error)
        except FileNotFoundError:
            self._missing(raw)
        except OSError as error:
            self._unreadable(raw, error)
        except NeedsPerson as error:
            return self._wait_for_service(error, LONGEST)
        except RtbidsError:
            raise
        except Exception as error:  # of an image like no other: it may not stop the rest, and its words may identify
            if self._work.over:  # its process was ended with the work
                return False
            kind = getattr(error, "kind", type(error).__name__)
            if kind == MemoryError.__name__:
                self._postpone(raw, "there was not memory enough", delay(raw.tries + 1))
                return True
            logger.warning("batch %d, image %d: de-identification failed (%s)", raw.batch, raw.image, kind)
            self._fail(raw, f"de-identification failed ({kind}): please report this")
        return True

    def _cleaned(self, raw: Raw) -> Cleaned:
        content, look = self._read(raw)
        if self._clean is None:
            return identified(content, look)
        result = self._clean(content)
        relative = Path("clean", str(raw.batch), f"{raw.image}.dcm")
        target = self._outbox.folder.root / relative
        target.parent.mkdir(mode=0o700, exist_ok=True)
        self._unfinished.append(begin(target, result.content, str(owner_of(self._outbox))))
        return Cleaned(
            *(result.sop_class, result.instance, result.series, result.study, result.patient, syntax_of(result.content)),
            *(len(result.content), hashlib.sha256(result.content).hexdigest(), look, relative.as_posix()),
            original=any(kept and kept.encode() in content for kept in _identifiers(result)),
        )

    def _read(self, raw: Raw) -> tuple[bytes, tuple[int, int]]:
        try:
            return _content(raw.path)
        except FileNotFoundError:
            target = place(self._outbox.folder, raw)
            if not target.exists():
                raise
            put_back(self._outbox.folder, raw.path, os.fsencode(target.relative_to(self._outbox.folder.root)))
            return _content(raw.path)

    def _fail(self, raw: Raw, reason: str) -> None:
        moves = raw.spooled or (self._settings.raw != "keep" and not self._settings.mark_failed)
        quarantine = set_aside(self._outbox.folder, raw, reason, moves)
        steps.failed(self._outbox, raw, reason, quarantine)
        self._held.pop(raw.image)

    def _unreadable(self, raw: Raw, error: OSError) -> None:
        now = self._outbox.clock.now()
        reason = f"the file cannot be read: {error.strerror or type(error).__name__}"
        given_up = exhausted(raw.tries + 1, _since(raw, reason, now), now, self._settings.attempts, self._settings.age)
        if given_up or error.errno in _FOR_GOOD:
            self._fail(raw, reason)
        else:
            self._postpone(raw, reason, delay(raw.tries + 1))

    def _missing(self, raw: Raw) -> None:
        """Wait for a file that is not there: as long as its source is away, else a little, for its folder may be renamed."""
        now = self._outbox.clock.now()
        if not self._reach.has(raw):
            self._work.pause("source", AWAY)
            self._postpone(raw, AWAY, min(AWAY_LONGEST, delay(raw.tries + 1)))
            return
        self._work.resume("source")
        if raw.path.parent.exists() or now - _since(raw, GONE, now) >= GRACE:
            self._fail(raw, GONE)
        else:
            self._postpone(raw, GONE, AGAIN)

    def _postpone(self, raw: Raw, reason: str, seconds: float) -> None:
        steps.postponed(self._outbox, [raw], reason, seconds)
        self._held.pop(raw.image)

    def _wait_for_service(self, error: RtbidsError, seconds: float | None = None) -> bool:
        self._flush()
        self._failures += 1
        seconds = seconds or delay(self._failures)
        left: Sequence[Raw] = list(self._held.values())
        what = f"{error}: {error.hint}" if error.hint else str(error)
        logger.warning("%s; %d images wait, next try in %.0f s", what, len(left), seconds)
        steps.postponed(self._outbox, left, str(error), seconds)
        self._held = {}
        self._work.wait(seconds)
        return False

    def _flush(self) -> None:
        if not self._done:
            return
        unfinished, self._unfinished = self._unfinished, []
        together = [self._work.syncing.submit(file.finish) for file in unfinished]
        wait(together)  # also where one fails: nobody may begin a file anew that is just being finished
        for one in together:
            one.result()
        for folder in {self._outbox.folder.clean / str(raw.batch) for raw, result in self._done if not result.as_is}:
            sync(folder)
        clashes = steps.cleaned(self._outbox, self._done)
        done, self._done = self._done, []
        for raw in clashes:
            self._fail(raw, steps.OTHER_CONTENT)
        for raw, _ in done:
            self._held.pop(raw.image, None)


def _identifiers(made: Clean) -> tuple[str, ...]:
    return made.instance, made.series, made.study, made.patient


def _since(raw: Raw, reason: str, now: float) -> float:
    """Return since when an image has been put off for this reason."""
    return now if raw.first is None or raw.reason != reason else raw.first


def _content(path: Path) -> tuple[bytes, tuple[int, int]]:
    """Return a file, and how it looked when it was read."""
    with path.open("rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        return file.readall(), (status.st_size, status.st_mtime_ns)
