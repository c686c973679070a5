"""What a near side that takes a stream wants held of it on this side, within what this machine can spare."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtbids.stream.link.spool import MEMORY, Spool, lasting

MOST_MEMORY = 1 << 30  # bytes
SPARED = 0.5  # of the disk that is free


def wanted(arguments: Mapping[str, Any]) -> Spool:
    """Return the spool that ``spool`` of the arguments asks for; what is no size, or not there, is the default."""
    asked = arguments.get("spool")
    asked = asked if isinstance(asked, Mapping) else {}
    memory, disk = _size(asked.get("memory"), MEMORY), _size(asked.get("disk"), 0)
    return lasting(min(memory, MOST_MEMORY), min(disk, _free()) if disk else 0)


def _size(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default


def _free() -> int:
    try:
        return int(SPARED * shutil.disk_usage(Path.home()).free)
    except OSError:
        return 0
