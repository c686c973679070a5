"""What the far side does to be looked at: send back what comes, and say what machine it is."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rtbids import __version__, private
from rtbids.cli import far_places
from rtbids.errors import ConnectionLost, UsageFault
from rtbids.stream.link import Link
from rtbids.stream.wire import Buffer

_ENDING = 30.0  # seconds for the near side to have taken all
_MOST, _DIGITS = 1 << 20, 7  # bytes that may be asked for at a time


def echo(link: Link, arguments: Mapping[str, Any]) -> None:
    """Send back what comes."""
    for arrived in link.members():
        if not arrived.dropped:
            link.send(arrived.member.name, arrived.member.content, modified=arrived.member.modified)
        link.settle(arrived.number)
    link.finish(_ENDING)


def probe(link: Link, arguments: Mapping[str, Any]) -> None:
    """Say what machine this is, as ``probe.json``, then answer what comes, for the way there and back to be timed apart.

    ``probe/take`` is answered by nothing, ``probe/give`` by as many bytes as it says, all else by itself.
    """
    with suppress(ConnectionLost):  # who only looked, and was stopped at it, is told nothing of that
        link.send("probe.json", json.dumps({**machine(), **_place(arguments)}).encode())
        for arrived in link.members():
            if not arrived.dropped:
                link.send(arrived.member.name, _answer(arrived.member.name, arrived.member.content))
            link.settle(arrived.number)
        link.finish(_ENDING)


def _place(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Say of the place that is asked after, where there is one, what can be done with it."""
    if arguments.get("path") in (None, "", "/"):
        return {}
    try:
        path = far_places.path(arguments)
    except UsageFault as error:
        return {"place": {"path": str(arguments["path"])[:200], "refused": str(error)}}
    nearest = next(one for one in (path, *path.parents) if os.path.exists(one))
    return {
        "place": {
            "path": str(path),
            "is_there": nearest == path,
            "is_readable": os.access(path, os.R_OK),
            "is_writable": os.access(nearest, os.W_OK),
        }
    }


def _answer(name: str, content: memoryview) -> Buffer:
    """Return what a member is answered by: noise where bytes are asked for, which nothing on the way can compress."""
    if name == "probe/take":
        return b""
    if name == "probe/give" and bytes(content[:_DIGITS]).isdigit():
        return os.urandom(min(int(content[:_DIGITS].tobytes()), _MOST))
    return content


def machine() -> dict[str, Any]:
    """Return versions, free space and memory in bytes, cores, and the time (POSIX seconds)."""
    state = private.lasting_folder()
    there = next(folder for folder in (state, *state.parents) if folder.is_dir())
    return {
        "version": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "node": platform.node(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": os.getloadavg()[0],
        "memory": _memory(),
        "free": {str(folder): shutil.disk_usage(folder).free for folder in dict.fromkeys((there, Path.home()))},
        "time": time.time(),
    }


def _memory() -> dict[str, int]:
    """Return memory in all and what is available (proc(5)); nothing where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    fields = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
    return {"total": fields["MemTotal"], "available": fields["MemAvailable"]}
