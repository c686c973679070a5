"""Places for this user alone: folders, and sockets that processes of his find one another by."""

from __future__ import annotations

import errno
import itertools
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

_LONGEST = 107 if sys.platform == "linux" else 103  # bytes of a socket's path, unix(7)
_BACKLOG = 8  # connections that wait to be accepted


def folders() -> list[Path]:
    """Return the folders that sockets may be in, the best first."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    found = [Path(runtime) / "rtbids"] if runtime else []
    return [*found, lasting_folder()]


def lasting_folder() -> Path:
    """Return the folder that stays when the user has logged out, as ``XDG_RUNTIME_DIR`` does not."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "rtbids" / "run"


def make_folder(folder: Path) -> None:
    """Make a folder that nobody else can look into, or make one so; raise OSError where that cannot be."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    there = folder.lstat()
    if there.st_uid != os.getuid():
        raise PermissionError(f"{folder} is another user's")
    if there.st_mode & 0o077:
        folder.chmod(0o700)


def own_name(folder: Path) -> Path:
    """Return the name of this process, with a number where a run in another container has the same."""
    names = itertools.chain([str(os.getpid())], (f"{os.getpid()}-{number}" for number in itertools.count(2)))
    return next(path for name in names if not is_alive(path := folder / f"{name}.sock"))


def listening(places: Iterable[Path] | None = None, name: Callable[[Path], Path] = own_name) -> tuple[socket.socket, Path]:
    """Listen on a socket which nobody but the owner can open; raise OSError where there is no place.

    Its name is there when it listens and no sooner: who asks meanwhile would take its process for dead. `name` gives it in
    a folder, by default one of this process's own; a socket of that name is replaced.
    """
    refused: OSError | None = None
    for folder in folders() if places is None else places:
        try:
            return _listening_in(folder, name)
        except OSError as error:
            refused = error
    raise refused or OSError("no folder for a socket")


def _listening_in(folder: Path, name: Callable[[Path], Path]) -> tuple[socket.socket, Path]:
    make_folder(folder)
    unnamed, path = folder / f"{os.getpid()}.{secrets.token_hex(2)}", name(folder)
    for one in (unnamed, path):  # renaming goes well with a name of any length, connecting to it does not
        if not fits(one):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(one))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(unnamed))
        unnamed.chmod(0o600)
        listener.listen(_BACKLOG)
        unnamed.rename(path)
    except OSError:
        listener.close()
        unnamed.unlink(missing_ok=True)
        raise
    return listener, path


def fits(path: Path) -> bool:
    """Say whether a socket can have that path."""
    return len(os.fsencode(path)) <= _LONGEST


def is_alive(path: Path) -> bool:
    """Say whether somebody listens there; what a killed process left is nobody's."""
    if not fits(path):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.setblocking(False)
        try:
            end.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # many are waiting for it
            return True
    return True
