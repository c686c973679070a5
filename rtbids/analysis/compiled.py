"""What numba compiles for one process is kept for the next: in the user's cache folder, never in the package's own.

What somebody else than pip writes into a package's folder stays there when the package is removed or replaced, and the hollow
folder that is left is imported in its place.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba

logger = logging.getLogger("rtbids")


def compiled(signature: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function`, or take what an earlier process has compiled; where nothing can be kept, nothing is."""
    folder = _folder()
    if folder is not None:
        try:
            with _keeping_in(folder):
                return _jit(signature, function, cache=True)
        except Exception as error:  # a full disk, or a file there that is damaged, of whatever kind
            logger.debug("what is compiled is not kept in %s: %s", folder, error)
    return _jit(signature, function)


def _jit(signature: str, function: Callable[..., Any], *, cache: bool = False) -> Callable[..., Any]:
    made: Callable[..., Any] = numba.njit(signature, nogil=True, cache=cache)(function)
    return made


def _folder() -> Path | None:
    """Return the folder to keep it in, which is there and can be written; None without one.

    It is ``$NUMBA_CACHE_DIR``, or ``rtbids/numba`` below ``$XDG_CACHE_HOME`` or ``~/.cache``.
    """
    try:
        if chosen := getattr(numba.config, "CACHE_DIR", ""):
            return _writable(Path(chosen))
        cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
        return _private((cache if cache.is_absolute() else Path.home() / ".cache") / "rtbids" / "numba")
    except (OSError, RuntimeError) as error:  # a container that is read-only; a user without a home
        logger.debug("what is compiled is not kept: %s", error)
        return None


def _private(folder: Path) -> Path:
    """Make a folder that nobody else can write to: what lies there is run."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    there = folder.lstat()
    if there.st_uid != os.getuid() or there.st_mode & 0o022:
        raise PermissionError(f"{folder}: others than this user can write there")
    return _writable(folder)


def _writable(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()
    return folder


@contextmanager
def _keeping_in(folder: Path) -> Iterator[None]:
    """Have numba keep what it compiles in `folder` and nowhere else; what others compile goes where it did."""
    chosen = {"CACHE_DIR": str(folder), "CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    before = {name: getattr(numba.config, name, "") for name in chosen}
    try:
        vars(numba.config).update(chosen)
        yield
    finally:
        vars(numba.config).update(before)
