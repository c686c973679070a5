"""A folder: what disk it lies on, whether it can be read and written, and how long it takes to look through."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from rtbids.errors import CannotWrite, InputMissing, UsageFault
from rtbids.plural import counted
from rtbids.run.doctor.row import Row, cannot, look, ok
from rtbids.run.doctor.spread import amount, span
from rtbids.watch import mounts
from rtbids.watch.looks import walk

IN_MEMORY = ("tmpfs", "ramfs")
LOOKING = 1.5  # seconds that the folder is looked through at the most
SLOW_LOOK = 0.1  # seconds for which a look at the folder holds nothing up
PLENTY, TOO_LITTLE = 5e9, 2e8  # bytes free
VOLUME = 64 * 64 * 36 * 2  # bytes, of a usual volume
EXPECTED = "expected a folder of DICOM files, a data set, ssh://[user@]host or dicom-scp://host:port"


@dataclass(frozen=True)
class Place:
    """Bytes and seconds; `filesystem` is "" where nobody says, `files` is what was found in `looked` seconds."""

    path: str
    is_there: bool
    is_folder: bool = False
    is_readable: bool = False
    is_writable: bool = False
    is_dataset: bool = False
    filesystem: str = ""
    is_share: bool = False
    files: int = 0
    looked: float = 0.0
    is_counted: bool = True
    free: int | None = None


def place(folder: Path) -> Place:
    """Look at a folder without writing to it."""
    path = Path(os.path.realpath(folder))
    if not path.is_dir():
        return Place(str(folder), os.path.lexists(folder))
    kind = _filesystem(path)
    is_readable = os.access(path, os.R_OK | os.X_OK)
    files, looked, is_counted = _look(path) if is_readable else (0, 0.0, True)
    return Place(
        str(folder),
        is_there=True,
        is_folder=True,
        is_readable=is_readable,
        is_writable=os.access(path, os.W_OK | os.X_OK),
        is_dataset=(path / "dataset_description.json").exists(),
        filesystem=kind,
        is_share=mounts.is_share(kind),
        files=files,
        looked=looked,
        is_counted=is_counted,
        free=_free(path),
    )


def _filesystem(path: Path) -> str:
    try:
        return mounts.filesystem(path, mounts.MOUNTS.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""


def _look(path: Path) -> tuple[int, float, bool]:
    """Count the files as a watcher's look does, for so long; return how many, how long it took, and whether that is all."""
    begun = time.perf_counter()
    files = 0
    for _ in walk(str(path), lambda folder: None, lambda folder, error: None):
        files += 1
        if time.perf_counter() - begun > LOOKING:
            return files, time.perf_counter() - begun, False
    return files, time.perf_counter() - begun, True


def _free(path: Path) -> int | None:
    try:
        there = os.statvfs(path)
    except OSError:
        return None
    return there.f_bavail * there.f_frsize


def judge(found: Place, repetition_time: float) -> tuple[Row, ...]:
    if not found.is_there:
        return (cannot("folder", f"there is nothing at {found.path}", do=EXPECTED, code=InputMissing.exit_code),)
    if not found.is_folder:
        return (cannot("folder", f"{found.path} is no folder", do=EXPECTED, code=UsageFault.exit_code),)
    if not found.is_readable:
        do = "ask its owner for the right to read it"
        return (cannot("folder", f"{found.path} cannot be read by this user", do=do, code=InputMissing.exit_code),)
    return (_kind(found), *_rights(found), *_room(found, repetition_time))


def _kind(found: Place) -> Row:
    more = "" if found.is_counted else "more than "
    files = f"{more}{counted(found.files, 'file')}, looked through in {span(found.looked)}"
    text = f"{found.path}: {found.filesystem or 'disk of unknown kind'}, {files}"
    if found.is_share:
        why = "a network share: this machine is not told what others write there, so it is looked at every 0.2 s"
        return look("folder", text, why, "export to a disk of this machine, or receive by dicom-scp://")
    if not found.is_counted or found.looked > SLOW_LOOK:
        why = "so many files take long to look through, at the start and every 2 s"
        return look("folder", text, why, "name the folder of today's session")
    if found.filesystem in IN_MEMORY:
        return look(
            "folder", text, "in memory: what is written here is gone when the machine is off", "keep data sets on a disk"
        )
    return ok("folder", text)


def _rights(found: Place) -> tuple[Row, ...]:
    if found.is_writable:
        return ()
    if found.is_dataset:
        do = "ask its owner for the right to write, or name another folder"
        return (cannot("writing", "a data set that this user cannot write", do=do, code=CannotWrite.exit_code),)
    return (look("writing", "read only for this user", "it can be watched; its events and its disk are not tried"),)


def _room(found: Place, repetition_time: float) -> tuple[Row, ...]:
    if found.free is None:
        return ()
    text = f"{amount(found.free)} free, {found.free / VOLUME * repetition_time / 3600:,.0f} hours of scanning"
    if not found.is_writable:
        return ()
    if found.free < TOO_LITTLE:
        return (cannot("space", text, "a session would not fit", "make room", code=CannotWrite.exit_code),)
    if found.free < PLENTY:
        return (look("space", text, "a long session may not fit", "make room"),)
    return (ok("space", text),)
