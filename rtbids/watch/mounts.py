"""Whether a folder's events can be trusted: which file system it lies on, and what follows from that."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from rtbids.watch.changes import Changes, Looking

# Their kernel does not see what other machines write.
SHARES = re.compile(
    r"9p|afs|beegfs|ceph|cifs|davfs|fakeowner|glusterfs|gpfs|grpcfuse|lustre|ncpfs|nfs\d?|osxfs|prl_fs|smb\d|smbfs"
    r"|vboxsf|virtiofs|vmhgfs|fuse\..+"
)
MOUNTS = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")


def filesystem(folder: Path, mountinfo: str) -> str:
    """Return the type of the file system that `folder` (absolute, resolved) lies on, "" where it is not told (proc(5))."""
    best, found = -1, ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        point = Path(_ESCAPE.sub(lambda code: chr(int(code[1], 8)), before.split(" ")[4]))
        depth = len(point.parts)
        if depth >= best and (folder == point or point in folder.parents):
            best, found = depth, after.split(" ")[0]
    return found


def is_share(kind: str) -> bool:
    """Say whether files on a file system of this type may be written by another machine."""
    return SHARES.fullmatch(kind) is not None


def reason_to_look(folder: Path, poll: bool | None = None) -> str | None:
    """Return why a folder has to be polled, None where its events can be trusted; `poll` decides where it is given."""
    if poll is not None:
        return "asked for" if poll else None
    try:
        kind = filesystem(folder, MOUNTS.read_text())
    except OSError:
        return None
    return f"network share: {kind}" if is_share(kind) else None


def changes_of(folder: Path, poll: bool | None = None) -> Changes:
    """Return the best way to learn of changes in `folder`."""
    reason = reason_to_look(folder, poll)
    if reason is not None:
        return Looking(reason)
    try:
        return _events(folder)
    except OSError as error:
        return Looking(f"no folder events here: {error.strerror or error}")


def _events(folder: Path) -> Changes:
    if platform.system() == "Linux":
        from rtbids.watch.inotify import Inotify

        return Inotify(str(folder))
    from rtbids.watch.observer import Observed

    return Observed(str(folder))
