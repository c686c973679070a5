"""One file of a watched folder: whether it is there, whether it is whole, and what is the matter where it is not."""

from __future__ import annotations

import errno
import os
import stat

from rtbids.convert.dicom import ELEMENT_FIRST, Incomplete, Instance, read, shown
from rtbids.errors import BadData
from rtbids.watch.faults import Fault
from rtbids.watch.looks import Look, look_at

HEAD = 132  # bytes up to the end of the mark DICM


def look(path: str) -> Look:
    """Return how a file looks now; raise OSError where there is none."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    return look_at(status)


def read_image(path: str, name: str, received: float) -> Instance:
    """Read a file, of a foreign one no more than its beginning: it may be very long."""
    with open(path, "rb", buffering=0) as file:
        check_beginning(file.read(HEAD), name)
        file.seek(0)
        try:
            content = file.readall()
        except MemoryError:
            raise BadData(f"{name}: too large for the memory of this computer") from None
        return read(content, name, received)


def name_of(path: str) -> str:
    """Return what a message may say of a file; one whose name may tell a patient is found by its inode (``find -inum``)."""
    name = shown(path)
    if not name.startswith("…"):
        return name
    try:
        return f"{name} (inode {os.lstat(path).st_ino})"
    except OSError:
        return name


def check_beginning(head: bytes, name: str) -> None:
    """Raise Incomplete where nothing is written yet, BadData for what does not begin as DICOM does."""
    if not head:
        raise Incomplete(f"{name}: empty")
    if not any(head):
        raise Incomplete(f"{name}: nothing is written yet")
    if 128 <= len(head) < HEAD and b"DICM".startswith(head[128:]):
        raise Incomplete(f"{name}: {len(head)} bytes, not even all of the mark DICM")
    if head[128:] != b"DICM" and head[:2] not in ELEMENT_FIRST:
        raise BadData(f"{name}: not a DICOM file")


def reason(error: OSError | BadData, path: str, name: str) -> tuple[Fault, str]:
    """Say what is the matter with a file that could not be read."""
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
