"""The keepers on this machine: where each one listens, and what it says of itself."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from rtbids import private
from rtbids.errors import CannotWrite, RtbidsError
from rtbids.stream.far import passing

_PATIENCE = 2.0  # seconds for a keeper to say how it stands
_LOGS_KEPT = 7 * 24 * 3600.0  # seconds


def folders() -> list[Path]:
    """Return where keepers may be: first the place that outlives a login, for that is what they do.

    Machines that share a home have a folder each. The last is for homes of a name that is too long for a socket.
    """
    machine = hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:6]
    places = dict.fromkeys([private.lasting_folder(), *private.folders()])
    return [*(place / f"far-{machine}" for place in places), Path(tempfile.gettempdir()) / f"rtbids-{os.getuid()}-{machine}"]


def listening(session: str) -> tuple[socket.socket, Path]:
    """Listen for the relays of a session."""
    try:
        return private.listening(folders(), lambda folder: folder / f"{_name(session)}.sock")
    except OSError as error:
        raise CannotWrite(f"no place for the socket of a session: {error}", "XDG_STATE_HOME may name another") from None


def connected(session: str) -> socket.socket | None:
    """Return a connection to the keeper of a session, None where there is none."""
    return next((end for folder in folders() if (end := _connect(folder / f"{_name(session)}.sock"))), None)


def _name(session: str) -> str:
    """Return what its files are called: a socket's path must be short."""
    return session[:16]


def count() -> int:
    """Return how many keepers this user has on this machine."""
    return sum(private.is_alive(path) for path in _sockets())


def _sockets() -> list[Path]:
    return [path for folder in folders() for path in sorted(folder.glob("*.sock"))]


def _connect(path: Path) -> socket.socket | None:
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        end.connect(str(path))
    except OSError:
        end.close()
        return None
    return end


@contextmanager
def alone(session: str) -> Iterator[None]:
    """Keep other relays of the same session from starting a keeper too."""
    with _locked(f"{_name(session)}.lock"):  # which a keeper that is started meanwhile does not inherit
        yield


def _locked(name: str) -> TextIO:
    """Return a locked file of that name, in the first folder where that can be."""
    refused: OSError | None = None
    for folder in folders():
        try:
            private.make_folder(folder)
            return _lock(folder / name)
        except OSError as error:  # also a file system without locks
            refused = error
    raise CannotWrite(f"no place for sessions: {refused}")


def _lock(path: Path) -> TextIO:
    while True:
        file = path.open("w")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):  # not removed while we waited for it
                    return file
        except BaseException:
            file.close()
            raise
        file.close()


def log(path: Path) -> int:
    """Open the log of the keeper that listens on `path`, for the owner only, and forget those of long ago."""
    for old in path.parent.glob("*.log"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > _LOGS_KEPT:
                old.unlink()
    file = path.with_suffix(".log")
    try:
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotWrite(f"{file}: {error.strerror}") from None


def forget(path: Path, number: int, failed: bool) -> None:
    """Remove what a keeper leaves whose socket has this inode's `number`: its log only where nothing went wrong."""
    with suppress(OSError):
        if path.stat().st_ino != number:
            return  # another has come in its place
    for suffix in (".sock", ".json", ".lock", *(() if failed else (".log",))):
        with suppress(OSError):
            path.with_suffix(suffix).unlink()


def keepers() -> list[dict[str, Any]]:
    """Return what all keepers of this user on this machine say of themselves."""
    return [said for path in _sockets() if (said := _asked(path))]


def _asked(path: Path) -> dict[str, Any] | None:
    end = _connect(path)
    if end is None:
        return None
    with end:
        end.settimeout(_PATIENCE)
        try:
            passing.send(end, {"do": "status"})
            return passing.receive(end)[0]
        except (OSError, RtbidsError):
            return None
