"""Whether this machine's clock is kept right, as the kernel knows it (adjtimex(2)), else as timedatectl says."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from rtbids.run.doctor.row import Finding, Row, look, ok, plain
from rtbids.run.doctor.spread import span

_ERROR = 5  # TIME_ERROR: not synchronised
_PATIENCE = 2.0  # seconds for timedatectl
_FIELDS = ("offset", "freq", "maxerror", "esterror")


class _Timex(ctypes.Structure):
    """The head of ``struct timex`` (linux/timex.h), and room for the rest of it."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in _FIELDS),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    ]


@dataclass(frozen=True)
class Synchronised:
    """`is_kept` is None where nobody says; `most` is how far off it may be at the most, seconds."""

    is_kept: bool | None
    most: float | None = None


def examine() -> Finding:
    found = here()
    return Finding("clock", judge(found), plain(found))


def here() -> Synchronised:
    return next((found for found in _sayings() if found.is_kept is not None), Synchronised(None))


def _sayings() -> Iterator[Synchronised]:
    """Ask the kernel, then timedatectl: a kernel whose clock another keeps (of a container, of a virtual machine) says no."""
    said = _of_kernel()
    if said.is_kept:
        yield said
    yield _of_timedatectl()
    yield said


def _of_kernel() -> Synchronised:
    if sys.platform != "linux":
        return Synchronised(None)
    told = _Timex()
    with suppress(OSError, AttributeError):
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(told))
        if state >= 0:
            return Synchronised(state != _ERROR, told.maxerror / 1e6 if state != _ERROR else None)
    return Synchronised(None)


def _of_timedatectl() -> Synchronised:
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=True).stdout.strip()
        return Synchronised({"yes": True, "no": False}.get(said))
    return Synchronised(None)


def judge(found: Synchronised) -> tuple[Row, ...]:
    if found.is_kept is None:
        return (look("clock", "nobody says whether it is kept right", "a run needs it to compare times with other machines"),)
    if not found.is_kept:
        why = "times in the tables cannot be compared with those of the scanner or of another machine; deadlines are held"
        return (look("clock", "not synchronised", why, "start chrony or systemd-timesyncd"),)
    return (ok("clock", "synchronised" if found.most is None else f"synchronised, within {span(found.most)}"),)
