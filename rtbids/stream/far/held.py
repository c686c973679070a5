"""Connected sources: streams that stay up between runs, each under a name, a named pipe that whoever runs here reads."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from rtbids import private
from rtbids.errors import UsageFault, cannot_write
from rtbids.stream import fifo
from rtbids.stream.far import registry

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def pipe(name: str) -> Path:
    return private.lasting_folder().parent / "sources" / name


def make(name: str) -> Path:
    """Return the pipe of a source, made where there is none."""
    if not is_name(name):
        raise UsageFault(f"{name[:80]!r}: expected a name of letters and digits", "ssh://host/NAME with --keep")
    path = pipe(name)
    try:
        private.make_folder(path.parent.parent)
        private.make_folder(path.parent)
        if not fifo.is_fifo(path):
            os.mkfifo(path, 0o600)
    except OSError as error:
        raise cannot_write(path, error) from None
    return path


def found(source: str) -> Path | None:
    """Return the pipe of a connected source, None where SOURCE is none of that name."""
    path = pipe(source)
    return path if is_name(source) and not Path(source).exists() and fifo.is_fifo(path) else None


def sources() -> list[dict[str, Any]]:
    """Return what there is to know of each connected source; times are POSIX seconds, of this machine's clock."""
    keepers = (one for one in registry.keepers() if one.get("verb") == "receive" and one["arguments"].get("keep") is True)
    return [_source(one) for one in keepers]


def _source(keeper: dict[str, Any]) -> dict[str, Any]:
    told, link = keeper.get("told", {}), keeper.get("link") or {}
    return {
        "name": told.get("name"),
        "from": keeper["arguments"].get("from"),
        "since": keeper.get("began"),
        "is_up": link.get("is_up"),
        "up_or_down_since": link.get("since"),
        "images": told.get("images"),
        "last": told.get("last"),
        "last_came": told.get("came"),
        "round_trip": link.get("round_trip"),
        "cuts": link.get("cuts"),
        "process": keeper.get("pid"),
    }
