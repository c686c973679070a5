"""Places on the far side: what the near side may name, confined to where ``rtbids far --within`` says; and what comes there."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtbids.errors import UsageFault
from rtbids.stream import fifo
from rtbids.stream.branch import Units
from rtbids.stream.far import keeper

WITHIN = "RTBIDS_FAR_WITHIN"  # set by `rtbids far`, for the keeper that it starts
_HOME = "/~/"


def path(arguments: Mapping[str, Any], key: str = "path") -> Path:
    """Return the place that is asked for; ``/~/x`` is x in the home folder. Raise UsageFault where it is not allowed."""
    text = arguments.get(key)
    if not isinstance(text, str) or not text.startswith("/") or "\0" in text or text in ("/", _HOME):
        raise UsageFault(
            f"expected a path, found {str(text)[:200]!r}", "ssh://host/PATH; ssh://host/~/PATH is in the home folder"
        )
    found = Path.home() / text.removeprefix(_HOME) if text.startswith(_HOME) else Path(text)
    real = os.path.realpath(found)
    allowed = [one for one in os.environ.get(WITHIN, "").split(os.pathsep) if one]
    if allowed and not any(os.path.commonpath([real, one]) == one for one in allowed):
        raise UsageFault(f"{text} is not allowed here", "the far side's authorized_keys says what is (rtbids far --within)")
    return Path(real)


def allow(folders: tuple[Path, ...]) -> None:
    """Confine the places of keepers that are started from here on; nothing is confined where there are no folders."""
    os.environ[WITHIN] = os.pathsep.join(os.path.realpath(folder) for folder in folders)


def timeout(arguments: Mapping[str, Any]) -> float:
    value = arguments.get("open_timeout")
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e9 else fifo.OPEN_TIMEOUT


def told(coming: Units) -> Units:
    """Tell who asks for the keeper's status what went through its hands last."""
    count = 0
    for unit in coming:
        yield unit
        if unit is not None and unit.is_image:
            count += 1
            keeper.tell(images=count, last=unit.name, came=time.time())
