"""Places on the far side: what the near side may name, confined to where ``rtbids far --within`` says; and what comes there."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rtbids.errors import UsageFault
from rtbids.stream import fifo
from rtbids.stream.branch import Units
from rtbids.stream.far import keeper

_WITHIN = "RTBIDS_FAR_WITHIN"  # both are set by `rtbids far`, for the keeper that it starts
_DEIDENTIFIED_ONLY = "RTBIDS_FAR_DEIDENTIFIED_ONLY"
_SAYS = "the far side's authorized_keys says what is (rtbids far {})"
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
    if not _is_allowed(real):
        raise UsageFault(f"{text} is not allowed here", _SAYS.format("--within"))
    if not all(map(_is_allowed, _links(real))):
        raise UsageFault(f"{text} is not allowed here: a link in it leads elsewhere", _SAYS.format("--within"))
    return Path(real)


def _allowed() -> list[str]:
    found: list[str] = json.loads(os.environ.get(_WITHIN, "[]"))
    return found


def are_confined() -> bool:
    """Say whether not every place is allowed."""
    return bool(_allowed())


def _is_allowed(place: str) -> bool:
    real, allowed = os.path.realpath(place), _allowed()
    return not allowed or any(os.path.commonpath([real, one]) == one for one in allowed)


def _links(folder: str) -> Iterator[str]:
    """Give the links below a folder, where places are confined."""
    with suppress(OSError), os.scandir(folder if _allowed() else os.devnull) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield entry.path
            elif entry.is_dir():
                yield from _links(entry.path)


def allow(folders: Sequence[Path], *, deidentified_only: bool = False) -> None:
    """Confine what keepers that are started from here on may do; their places are confined where there are folders."""
    os.environ[_WITHIN] = json.dumps([os.path.realpath(folder) for folder in folders])
    os.environ[_DEIDENTIFIED_ONLY] = "1" if deidentified_only else ""


def check_name(name: str) -> None:
    """Raise UsageFault where places are confined: a connected source is in no folder that anybody has allowed."""
    if _allowed():
        raise UsageFault(f"{name[:80]!r}: no source can stay connected here", _SAYS.format("--within"))


def check_leaving(arguments: Mapping[str, Any]) -> None:
    """Raise UsageFault where the near side asks for what identifies, and this side lets nothing leave that does."""
    asks = arguments.get("identified") is True or arguments.get("deidentify") is False
    if asks and os.environ.get(_DEIDENTIFIED_ONLY):
        raise UsageFault("what identifies does not leave here", _SAYS.format("--deidentified-only"))


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
