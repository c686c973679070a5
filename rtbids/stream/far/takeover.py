"""Who serves a place: one keeper at a time, and the next takes it over where that one's sender is gone."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rtbids.errors import CannotWrite
from rtbids.stream.far import registry

_PATIENCE = 20.0  # seconds for a keeper that was ended to be gone
_GENTLE = 5.0  # seconds for it to end by itself, with the volume that it writes
_LOOK = 0.05  # there is no event for a lock that becomes free
_SILENCE = 6.0  # seconds of looking after which a sender that was not heard of again is taken for dead
_ALIVE = 2.0  # seconds between two things heard of a sender, which says something every second, that show that it is there


def locked(path: Path, verb: str, place: str, arguments: Mapping[str, Any]) -> int:
    """Take a place over from the keeper of a sender that is no more; return the lock.

    One of the same source may be dead though its connection is up: it is waited for until it is silent, or is heard of again.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        asked: dict[int, float] = {}
        heard: dict[int, float] = {}
        began = time.monotonic()
        while not _try(descriptor):
            for other in _others(verb, place):
                if _is_over(other, place, arguments, heard, time.monotonic() - began):
                    _end(int(other["pid"]), asked)
            if time.monotonic() > began + _PATIENCE:
                raise CannotWrite(f"{place} is in use by another stream", "wait for its end")
            time.sleep(_LOOK)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def retire(verb: str, place: str, arguments: Mapping[str, Any]) -> None:
    """End what served an earlier near side of the same source that is gone, and waits for it to come back."""
    if (sender := arguments.get("sender")) is None:
        return
    asked: dict[int, float] = {}
    until = time.monotonic() + _PATIENCE
    while left := [other for other in _others(verb, place) if _is_waiting(other, sender)]:
        for other in left:
            _end(int(other["pid"]), asked)
        if time.monotonic() > until:
            return
        time.sleep(_LOOK)


def _is_waiting(other: Mapping[str, Any], sender: object) -> bool:
    return other.get("arguments", {}).get("sender") == sender and not _is_up(other)


def _others(verb: str, place: str) -> list[dict[str, Any]]:
    found = (other for other in registry.keepers() if other.get("verb") == verb and other.get("pid") != os.getpid())
    return [other for other in found if other.get("told", {}).get("place") == place]


def _is_up(other: Mapping[str, Any]) -> bool:
    return bool((other.get("link") or {}).get("is_up"))


def _is_over(
    other: Mapping[str, Any], place: str, arguments: Mapping[str, Any], heard: dict[int, float], looked: float
) -> bool:
    """Say whether a sender is no more, as far as `looked` seconds show; raise CannotWrite where it is at work.

    `heard` has when each was heard last as we began to look. Times of another process are compared with each other alone.
    """
    if not _is_up(other):
        return True
    theirs, since = other.get("arguments", {}), _clock_time(other)
    if theirs.get("sender") != arguments.get("sender") or _began(theirs) >= _began(arguments):
        raise CannotWrite(f"{place} is in use by another stream since {since}", "wait for its end, or name another place")
    last = float(other["link"].get("heard") or 0.0)
    if last > heard.setdefault(int(other["pid"]), last) + _ALIVE:
        raise CannotWrite(f"{place} has this stream already, since {since}", "end that one first, or leave it at that")
    return looked > _SILENCE


def _clock_time(other: Mapping[str, Any]) -> str:
    return time.strftime("%H:%M:%S", time.localtime(float(other.get("began", 0.0))))


def _end(pid: int, asked: dict[int, float]) -> None:
    """Have a keeper end behind what it is writing; one that does not is killed: what it has made safe is safe."""
    now = time.monotonic()
    number = signal.SIGTERM if now < asked.setdefault(pid, now) + _GENTLE else signal.SIGKILL
    if number == signal.SIGKILL or asked[pid] == now:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _began(arguments: Mapping[str, Any]) -> float:
    value = arguments.get("began")
    return float(value) if isinstance(value, int | float) else 0.0


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
