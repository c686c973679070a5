"""A tar that is not whole yet lies beside its name to be; those of processes that were killed go."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from rtbids.stream import endpoints


def begun(path: Path) -> tuple[Path, BinaryIO]:
    """Return where the tar `path` is written until it is whole, and that file: ours for as long as it is open."""
    _remove_abandoned(path)
    part = path.with_name(f".{path.stem}.{os.getpid()}.tar")
    while True:
        file = endpoints.open_destination(str(part))
        with suppress(OSError):  # some network file systems have no locks: there nobody takes it for abandoned
            fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):  # whoever looked for abandoned ones had it before us
            if os.path.samestat(os.fstat(file.fileno()), part.stat()):
                return part, file
        file.close()


def _remove_abandoned(path: Path) -> None:
    """Remove what processes left that were killed while they wrote the same tar; it is never whole."""
    name = re.compile(rf"\.{re.escape(path.stem)}\.\d+\.tar")
    folder = path.absolute().parent
    for part in folder.iterdir() if os.access(folder, os.R_OK) else ():
        if name.fullmatch(part.name) and part.is_file():
            with suppress(OSError), part.open("rb") as file:  # somebody is writing it, or it is somebody else's
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()
