"""Dates (DA) and moments (DT) moved by days: alone, several, in ranges, or of a month or a year only (PS3.5, 6.2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache

_LEAST_OF_OURS = -64_000  # days: who shifts by fewer has chosen so, and lands wherever that leads
LATEST = 1925  # the year that no shifted date goes beyond: BIDS wants them to be told from real ones
_DAY = re.compile(r"(\d{4})(\.?)(\d{2})\2(\d{2})")  # with points in ACR-NEMA, the standard before DICOM
_MOMENT = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)?([+-](?:0\d|1[0-4])\d{2})?")


@lru_cache(4096)
def shifted(value: bytes, days: int, representation: str) -> bytes:
    """Return the dates of a value moved by `days`; what is no date, or lands nowhere sensible, is left out."""
    text = value.decode("ascii", "replace").strip(" \0")
    move = _moved_moment if representation == "DT" else _moved_day
    return "\\".join(_range(one.strip(), days, move) for one in text.split("\\")).strip("\\").encode("ascii")


def _range(text: str, days: int, move: Callable[[str, int], str]) -> str:
    if whole := move(text, days):
        return whole
    for place in (match.start() for match in re.finditer("-", text)):  # the minus of a time zone is none of a range
        ends = [text[:place].strip(), text[place + 1 :].strip()]
        moved = [move(end, days) for end in ends]
        if any(ends) and all(bool(new) == bool(old) for new, old in zip(moved, ends, strict=True)):
            return "-".join(moved)
    return ""


def _moved_day(text: str, days: int) -> str:
    found = _DAY.fullmatch(text)
    moved = _moved(found[1], found[3], found[4], days) if found else None
    return found[2].join(_parts(moved)) if found and moved else ""


def _parts(day: date) -> tuple[str, str, str]:
    return f"{day.year:04d}", f"{day.month:02d}", f"{day.day:02d}"


def _moved_moment(text: str, days: int) -> str:
    found = _MOMENT.fullmatch(text)
    if not found or (found[4] and not found[3]) or (found[3] and not found[2]):
        return ""
    moved = _moved(found[1], found[2] or "07", found[3] or "01", days)
    if moved is None:
        return ""
    return "".join(_parts(moved)[: 1 + bool(found[2]) + bool(found[3])]) + (found[4] or "") + (found[5] or "")


def _moved(year: str, month: str, day: str, days: int) -> date | None:
    try:
        moved = date(int(year), int(month), int(day)) + timedelta(days)
    except (ValueError, OverflowError):
        return None
    return moved if moved.year <= LATEST or days > _LEAST_OF_OURS else None
