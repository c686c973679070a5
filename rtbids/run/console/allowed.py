"""``--allow DIR[:.EXT,...]``: a folder that a script may use, and which names there."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rtbids.errors import InputMissing, UsageFault
from rtbids.run.console.call import LONGEST, NOT_ALLOWED, OtherEnding, Refused

_WITH_ENDINGS = re.compile(r"(.+?):(\.[^/:]*)", re.DOTALL)
_CONTROL = {"Cc", "Cs", "Zl", "Zp"}  # of Unicode: control characters, half characters, separators of lines and paragraphs


@dataclass(frozen=True)
class Allowed:
    """A folder, as it was named and as it really lies, and the endings that files there may have: none is any."""

    folder: PurePosixPath
    real: PurePosixPath
    endings: tuple[str, ...] = ()

    def permits(self, name: str) -> bool:
        """Say whether a file may have this name, capitals or not."""
        return not self.endings or any(name.lower().endswith(ending) and len(name) > len(ending) for ending in self.endings)

    def check(self, name: str, asked: str) -> None:
        """Raise OtherEnding where a file may not have this name."""
        if not self.permits(name):
            raise OtherEnding(f"{asked}: only {', '.join(self.endings)} are allowed in {self.folder}")


@dataclass(frozen=True)
class Place:
    """What a name stands for: `parts` below an allowed folder; `start` goes before the names of what is found there."""

    allowed: Allowed
    parts: tuple[str, ...]
    asked: str
    start: str = ""


def parse(text: str) -> Allowed:
    """Return what an option says.

    Examples
    --------
    >>> parse("/tmp:.txt,.nii.gz").endings
    ('.txt', '.nii.gz')
    """
    found = _WITH_ENDINGS.fullmatch(text)
    name, endings = (found[1], found[2].split(",")) if found else (text, [])
    if any(len(ending) < 2 or not ending.startswith(".") for ending in endings):
        raise UsageFault(f"--allow {text}: expected DIR or DIR:.EXT,.EXT", "such as --allow /data/export:.txt,.csv")
    if not os.path.isdir(name):
        hint = "endings begin with a dot, as in --allow /data/export:.txt" if ":" in name else None
        raise InputMissing(f"--allow {text}: no such folder: {name}", hint)
    folder = PurePosixPath(os.path.abspath(name))
    return Allowed(folder, PurePosixPath(Path(name).resolve()), tuple(ending.lower() for ending in endings))


def places(allowed: Sequence[Allowed], name: str) -> list[Place]:
    """Return what a name may stand for, the first choice first.

    An absolute name belongs to the longest of the folders that it begins with; any other may lie in each of them.

    Raises
    ------
    Refused
        It leads out of the folders, or is hidden.
    """
    if not allowed:
        raise Refused(NOT_ALLOWED)
    if len(name) > LONGEST:
        raise Refused(f"{name[:60]}…: a name has at most {LONGEST} characters")
    path = PurePosixPath(name)
    if not path.is_absolute():
        return [Place(each, checked(path.parts, name), name) for each in allowed]
    above = [(folder, each) for each in allowed for folder in (each.folder, each.real) if path.is_relative_to(folder)]
    if not above:
        raise Refused(f"{name}: lies in no allowed folder ({', '.join(str(each.folder) for each in allowed)})")
    folder, each = max(above, key=lambda one: len(one[0].parts))
    return [Place(each, checked(path.relative_to(folder).parts, name), name, start=f"{folder}/")]


def checked(parts: tuple[str, ...], asked: str) -> tuple[str, ...]:
    """Return the parts of a name; raise Refused where one may not be used."""
    for part in parts:
        if part == "..":
            raise Refused(f"{asked}: a name has no '..'")
        if not is_plain(part):
            raise Refused(f"{asked}: hidden names, and names with control characters, are not used")
    return parts


def is_plain(part: str) -> bool:
    """Say whether one part of a name is neither hidden nor has control characters."""
    return not part.startswith(".") and not any(unicodedata.category(character) in _CONTROL for character in part)
