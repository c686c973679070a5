"""Files of experiments of another machine: kept by their content, and laid out anew for each start of a script."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rtbids import private
from rtbids.errors import CannotWrite, StreamBroken
from rtbids.run.far.parcel import MOST_FILES
from rtbids.stream.wire import Member, is_confined

UNUSED = 60 * 24 * 3600.0  # seconds after which a content that nobody asked for is forgotten
_SHA256 = re.compile(r"[0-9a-f]{64}")
PREFIX = "file/"


def cache() -> Path:
    """Return the folder of this user's that contents are kept in."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rtbids" / "experiments"


class Store:
    """Contents by their hash, for the owner alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wanted: set[str] = set()
        try:
            private.make_folder(folder)
        except OSError as error:
            raise CannotWrite(f"{folder}: {error.strerror}") from None
        self._forget_old()

    def lacking(self, manifest: Iterable[Mapping[str, Any]]) -> list[str]:
        """Return the hashes of a manifest whose contents are neither here nor on their way."""
        asked = dict.fromkeys(checked(manifest).values())
        found = [sha256 for sha256 in asked if sha256 not in self._wanted and not self._has(sha256)]
        self._wanted.update(found)
        return found

    def take(self, member: Member) -> bool:
        """Take a member that is a content; say whether it was."""
        if not member.name.startswith(PREFIX):
            return False
        sha256 = member.name.removeprefix(PREFIX)
        if sha256 not in self._wanted or hashlib.sha256(member.content).hexdigest() != sha256:
            raise StreamBroken(f"{member.name} is not what was asked for")
        self._wanted.discard(sha256)
        self._write(sha256, member.content)
        return True

    def lay_out(self, manifest: Iterable[Mapping[str, Any]], folder: Path) -> None:
        """Make `folder` what a manifest says, and nothing else."""
        try:
            shutil.rmtree(folder, ignore_errors=True)
            for name, sha256 in checked(manifest).items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                shutil.copyfile(self._folder / sha256, folder / name)
        except OSError as error:
            raise CannotWrite(f"{folder}: {error.strerror}") from None

    def _has(self, sha256: str) -> bool:
        """Say whether a content is here and whole; it counts as used today."""
        path = self._folder / sha256
        try:
            is_whole = hashlib.sha256(path.read_bytes()).hexdigest() == sha256
            os.utime(path)
        except OSError:
            return False
        return is_whole

    def _write(self, sha256: str, content: memoryview) -> None:
        unfinished = self._folder / f"{sha256}.{os.getpid()}"
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            unfinished.replace(self._folder / sha256)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink()
            raise CannotWrite(f"{self._folder}: {error.strerror}", "make room there") from None

    def _forget_old(self) -> None:
        for path in self._folder.iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > UNUSED:
                    path.unlink()


def checked(manifest: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return hashes by name; raise StreamBroken for what leads anywhere else, or is too much."""
    found: dict[str, str] = {}
    for entry in manifest:
        name, sha256 = entry.get("name"), entry.get("sha256")
        if not (isinstance(name, str) and is_confined(name) and isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
            raise StreamBroken(f"expected a file's name and hash, found {str(name)[:80]!r}")
        found[name] = sha256
        if len(found) > MOST_FILES:
            raise StreamBroken(f"more than {MOST_FILES} files")
    return found
