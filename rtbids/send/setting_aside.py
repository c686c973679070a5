"""Quarantine: the untouched file of an image that cannot go on, with the reason beside it, for its owner only."""

from __future__ import annotations

import errno
import filecmp
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, count
from pathlib import Path

from rtbids.send.claims import Raw
from rtbids.send.folder import Folder, full, put, sync

_LONGEST = 150  # of a file's name, so that what is put before and behind it has room
_PIECE = 1 << 20


def place(folder: Folder, raw: Raw) -> Path:
    """Return where the file of an image would lie in quarantine, or lies there since it was set aside before."""
    aside = folder.quarantine / str(raw.batch)
    return raw.path if raw.path.parent == aside else aside / f"{raw.image}-{raw.path.name[-_LONGEST:]}"


class Unreadable(OSError):
    """The file that is to be carried cannot be read: its place is at fault, and not the one that it is to go to."""


def set_aside(folder: Folder, raw: Raw, reason: str, move: bool) -> bytes | None:
    """Put a raw file into quarantine; return where, relative to the outbox, or None where it is gone or cannot be read.

    May be called again when it was broken off.
    """
    try:
        target = unused(place(folder, raw), raw.path)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        put(reason_of(target), f"{reason}\n".encode(), "reason")
        if _is_ours(raw):
            _move_or_copy(raw.path, target, move)
            target.chmod(0o600)
        elif not target.exists():
            _remove_reason(target)
            return None
    except Unreadable:
        _remove_reason(target)
        return None
    except OSError as error:
        raise full(folder.quarantine, error) from error
    return os.fsencode(target.relative_to(folder.root))


def _is_ours(raw: Raw) -> bool:
    """Whether a file is there that was meant: no link to elsewhere, and no folder."""
    try:
        return raw.path.is_file() and not leads_out(raw.path, raw.root)
    except OSError as error:
        raise Unreadable(error.errno, error.strerror) from error


def _move_or_copy(source: Path, target: Path, move: bool) -> None:
    """Carry a file; where it may not be taken away a copy is carried."""
    try:
        carry(source, target, move)
    except Unreadable:
        raise
    except OSError:
        if not move:
            raise
        carry(source, target, move=False)


def _remove_reason(target: Path) -> None:
    """Remove the reason beside what is not there, and the folder where that was all."""
    reason_of(target).unlink(missing_ok=True)
    with suppress(OSError):
        target.parent.rmdir()


def reason_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.reason.txt")


def carry(source: Path, target: Path, move: bool) -> None:
    """Copy a file, whole or not at all, or move it, also to another disk; it is its owner's only."""
    if move:
        try:
            os.replace(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        else:
            return
    _copy(source, target)
    if move:
        sync(target.parent)  # or the power may go when it is neither here nor there
        source.unlink()


def _copy(source: Path, target: Path) -> None:
    """Copy a file with its times; what was begun goes where it fails."""
    unfinished = target.with_name(f"{target.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with unfinished.open("xb") as file:
            for piece in _pieces(source):
                file.write(piece)
            file.flush()
            shutil.copystat(source, unfinished)
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def _pieces(source: Path) -> Iterator[bytes]:
    try:
        with source.open("rb", buffering=0) as file:
            while piece := file.read(_PIECE):
                yield piece
    except OSError as error:
        raise Unreadable(error.errno, error.strerror) from error


def unused(target: Path, source: Path) -> Path:
    """Return a name that is no other file's than this; where it is a file's that is the same, it was being carried there."""
    names = chain([target], (target.with_name(f"{target.stem}.{number}{target.suffix}") for number in count(2)))
    return next(name for name in names if not os.path.lexists(name) or _is_same(name, source))


def _is_same(one: Path, other: Path) -> bool:
    """Whether two files hold the same; also where the other is gone, for then it was moved to the one."""
    try:
        return not os.path.lexists(other) or filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def leads_out(path: Path, root: Path) -> bool:
    """Whether a file that was found in a folder is a link to somewhere else."""
    real, inside = os.path.realpath(path), os.path.realpath(root)
    return path.is_relative_to(root) and not Path(real).is_relative_to(inside)


def put_back(folder: Folder, raw_path: Path, quarantine: bytes) -> bool:
    """Take a file out of quarantine, to where it was found; say whether it could: not where another file is now."""
    target = folder.root / os.fsdecode(quarantine)
    if target.exists() and not raw_path.exists():
        raw_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        carry(target, raw_path, move=True)
    elif target.exists() and not _is_same(raw_path, target):
        return False
    target.unlink(missing_ok=True)
    _remove_reason(target)
    return True
