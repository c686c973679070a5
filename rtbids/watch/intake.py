"""Which files are taken, which are waited for and which are given up: the decisions of a watch, one file at a time."""

from __future__ import annotations

import errno
import math
import os
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rtbids.clock import Clock
from rtbids.convert.dicom import Incomplete, Instance, instance_uid, read, shown, zero_tail
from rtbids.errors import BadData
from rtbids.watch.faults import Fault, Faults
from rtbids.watch.looks import Content, Look, look_at

UNFINISHED = (".tmp", ".part", ".partial")  # endings of names that a writer will change when the file is whole
HEAD = 132  # bytes up to the end of the mark DICM
ELEMENT_FIRST = (b"\x02\x00", b"\x08\x00", b"\x00\x08")  # beginnings of DICOM without a preamble


@dataclass(frozen=True)
class _Waiting:
    """A file that is not whole yet, as it was `since` (POSIX seconds)."""

    look: Look | None
    since: float
    fault: Fault
    text: str


class Intake:
    """Take whole files once each; wait `patience` seconds for others to change, then name them."""

    def __init__(self, folder: str, pattern: str, patience: float, faults: Faults, clock: Clock) -> None:
        self.taken = 0
        self._folder, self._pattern, self._patience = folder, pattern, patience
        self._faults, self._clock = faults, clock
        self._files: dict[str, tuple[Content, str]] = {}  # path → what was taken from it, and which image it was
        self._contents: set[Content] = set()
        self._images: set[str] = set()  # SOP Instance UIDs
        self._waiting: dict[str, _Waiting] = {}
        self._refused: dict[str, Look | None] = {}
        self._ignored: set[Content] = set()
        self._looks: dict[str, tuple[Look, float]] = {}
        self._fresh: dict[str, tuple[Look, float]] = {}

    def wants(self, path: str) -> bool:
        """Say whether the name is that of a finished file of ours."""
        name = os.path.basename(path)
        return self.visible(path) and not name.lower().endswith(UNFINISHED) and fnmatchcase(name, self._pattern)

    def visible(self, path: str) -> bool:
        """Say whether neither the name nor that of a folder above it, up to the watched one, begins with a dot."""
        return os.sep + "." not in path[len(self._folder) :]

    def ignore(self, look: Look | None) -> None:
        """Leave out a file that was there before, under whatever name, until it is written to."""
        if look is not None:
            self._ignored.add(look.content)

    def unknown(self, path: str, look: Look | None) -> bool:
        """Say whether there is anything to gain from reading this file, as it looks now."""
        if path in self._waiting:
            return self._waiting[path].look != look or self._waiting[path].fault is Fault.UNREADABLE
        if path in self._refused:
            return self._refused[path] != look
        return look is None or not (look.content in self._contents or look.content in self._ignored)

    def seen(self, path: str, look: Look | None, now: float) -> float | None:
        """Return since when (POSIX seconds) a file that no event told of looks as it does, None as long as it may change."""
        if not self.wants(path) or not self.unknown(path, look):
            return None
        if look is None:
            return now
        before, since = self._looks.get(path, (None, now))
        if before == look:
            return since
        self._fresh[path] = look, now
        return None

    def looked(self) -> None:
        """A look at everything is over: forget files that it did not see."""
        self._looks, self._fresh = self._fresh, {}

    def take(self, path: str, received: float) -> Instance | None:
        """Return what the file holds where it is whole and new; remember what is the matter where it is not."""
        look = None
        try:
            look = _look(path)
            if look.content in self._ignored or self._files.get(path, (None, ""))[0] == look.content:
                return None
            instance = self._read(path, received)
        except (OSError, BadData) as error:
            if isinstance(error, FileNotFoundError) and path in self._files:
                return None  # taken before, and moved on since
            self._wait(path, look, *_reason(error, path, self._name(path)))
            return None
        return self._admit(path, look, instance)

    def moved(self, source: str, path: str) -> None:
        """Follow a file to its new name."""
        self._waiting.pop(source, None)
        self._pardon(source)
        if source in self._files:
            self._files[path] = self._files.pop(source)

    def refuse(self, folder: str, error: OSError) -> None:
        """Name a folder that cannot be listed, once; of a subfolder that is gone nobody needs to hear."""
        if folder in self._refused or (isinstance(error, FileNotFoundError) and folder != self._folder):
            return
        self._refused[folder] = None
        name = "the watched folder itself" if folder == self._folder else "a folder in it"
        self._faults.note(Fault.UNREADABLE, folder, f"{name}: cannot be listed ({error.strerror or error})")

    @property
    def due(self) -> float:
        """When patience with a file next ends (POSIX seconds)."""
        return min((waiting.since for waiting in self._waiting.values()), default=math.inf) + self._patience

    def overdue(self, now: float) -> None:
        """Name the files that have not changed for as long as patience lasts; they are still taken should they become whole."""
        for path, waiting in list(self._waiting.items()):
            if now - waiting.since >= self._patience:
                del self._waiting[path]
                self._refused[path] = waiting.look
                self._faults.note(waiting.fault, path, waiting.text)

    def settle(self) -> None:
        """Name all that is still waited for: there is no more time to become whole."""
        self.overdue(math.inf)

    def _read(self, path: str, received: float) -> Instance:
        """Read a file, of a foreign one no more than its beginning: it may be very long."""
        name = self._name(path)
        with open(path, "rb", buffering=0) as file:
            _check_beginning(file.read(HEAD), name)
            file.seek(0)
            instance = read(file.readall(), name, received)
        if zero_tail(instance):
            raise Incomplete(f"{name}: never filled, its last slice is all zero")
        return instance

    def _name(self, path: str) -> str:
        """Return what a message may say."""
        return shown(path)

    def _wait(self, path: str, look: Look | None, fault: Fault, text: str) -> None:
        if path in self._waiting and self._waiting[path].look == look:
            return
        if path in self._refused:
            if self._refused[path] == look:
                return
            self._pardon(path)
        self._waiting[path] = _Waiting(look, self._clock.now(), fault, text)

    def _pardon(self, path: str) -> None:
        if path in self._refused:
            del self._refused[path]
            self._faults.withdraw(path)

    def _admit(self, path: str, look: Look, instance: Instance) -> Instance | None:
        """Count the file as taken; return None where its image was taken before, with a word where another file held it."""
        self._waiting.pop(path, None)
        self._pardon(path)
        uid = instance_uid(instance.dataset)
        same_file = look.content in self._contents or self._files.get(path, (None, ""))[1] == uid
        self._files[path] = look.content, uid
        self._contents.add(look.content)
        if uid not in self._images:
            self._images.add(uid)
            self.taken += 1
            return instance
        if not same_file:
            self._faults.note(Fault.DUPLICATE, path, f"{self._name(path)}: a copy of an image already taken")
        return None


def _look(path: str) -> Look:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    return look_at(status)


def _check_beginning(head: bytes, name: str) -> None:
    if not head:
        raise Incomplete(f"{name}: empty")
    if not any(head):
        raise Incomplete(f"{name}: nothing is written yet")
    if head[128:] != b"DICM" and head[:2] not in ELEMENT_FIRST:
        raise BadData(f"{name}: not a DICOM file")


def _reason(error: OSError | BadData, path: str, name: str) -> tuple[Fault, str]:
    match error:
        case FileNotFoundError() if os.path.islink(path):
            return Fault.UNREADABLE, f"{name}: a link to nothing"
        case FileNotFoundError():
            return Fault.GONE, f"{name}: gone before it could be read"
        case OSError():
            return Fault.UNREADABLE, f"{name}: cannot be read ({error.strerror or error})"
        case Incomplete():
            return Fault.INCOMPLETE, str(error)
    return Fault.FOREIGN, str(error)
