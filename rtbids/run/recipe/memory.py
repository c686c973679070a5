"""How much memory an experiment may take, so that a script that eats it ends before the run does."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from rtbids.errors import UsageFault

SHARE = 0.75  # of what there is
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container


def size(text: str, where: str = "memory") -> int:
    """Return bytes: ``4 GB`` is 4 000 000 000, ``512 MiB`` 536 870 912."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKMG]i?B)\s*", text)
    if not found or not float(found[1]) > 0:
        raise UsageFault(f"{where}: expected a size such as 4 GB or 512 MB, found {text!r}")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def most() -> int:
    """Return the bytes that a script may take where nobody says: a share of the machine's, or of the container's."""
    return int(SHARE * min(_totals()))


def _totals() -> Iterator[int]:
    yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in map(Path, _LIMITS):
        try:
            yield int(limit.read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
