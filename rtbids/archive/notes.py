"""Notes beside a data set that outlast a kill and a loss of power: small JSON files, replaced in one step."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtbids.archive import writer


def read(path: Path) -> dict[str, Any]:
    """Return what was written last; nothing where there is no note, or none that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(path: Path, fields: Mapping[str, Any]) -> None:
    """Put a note in place of the one that is there; it is on the disk when this returns. Raises OSError."""
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps(fields), encoding="utf-8")
    writer.sync(unfinished)
    os.replace(unfinished, path)
    writer.sync(path.parent)
