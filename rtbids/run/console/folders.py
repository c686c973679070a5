"""Folders opened part by part, each by the descriptor of the one before: no link that is put in between leads anywhere."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from rtbids.errors import InputMissing
from rtbids.run.console.allowed import Allowed
from rtbids.run.console.call import Refused

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_THROUGH = getattr(os, "O_PATH", 0)  # enough for a folder whose names nobody may read


@contextmanager
def top(allowed: Allowed, asked: str) -> Iterator[int]:
    """Open an allowed folder, from the root of the file system on."""
    root = os.open("/", _FOLDER)
    try:
        with below(root, allowed.real.parts[1:], asked) as folder:
            yield folder
    finally:
        os.close(root)


@contextmanager
def below(folder: int, parts: tuple[str, ...], asked: str) -> Iterator[int]:
    """Open a folder below `folder`, which stays open."""
    own = os.dup(folder)
    try:
        for part in parts:
            above, own = own, _step(own, part, asked)
            os.close(above)
        yield own
    finally:
        os.close(own)


def _step(folder: int, part: str, asked: str) -> int:
    try:
        return _opened(folder, part)
    except OSError as error:
        if is_link(folder, part):
            raise Refused(f"{asked}: {part} is a link, and links are not followed") from None
        raise missing(asked, error) from None


def _opened(folder: int, part: str) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=folder)
    except PermissionError:
        return os.open(part, _FOLDER | _THROUGH, dir_fd=folder)


def is_link(folder: int, part: str) -> bool:
    try:
        return stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def check_regular(mode: int, asked: str) -> None:
    """Raise Refused for what is no file: a pipe would make whoever opens it wait, a device do something."""
    if stat.S_ISLNK(mode):
        raise Refused(f"{asked}: is a link, and links are not followed")
    if not stat.S_ISREG(mode):
        raise Refused(f"{asked}: is no file")


def missing(asked: str, error: OSError) -> InputMissing:
    """Say what kept a file from being read."""
    absent = error.errno in (errno.ENOENT, errno.ENOTDIR)
    return InputMissing(f"{asked}: {'no such file at the console' if absent else f'cannot be read ({error.strerror})'}")
