"""A line of what was looked at: whether it will do, and where not, why and what to do."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rtbids.errors import RtbidsError


class Mark(enum.StrEnum):
    OK = "ok"
    LOOK = "look here"
    CANNOT = "cannot"


@dataclass(frozen=True)
class Row:
    """`code` is the exit code that a command would end with here: 0 but for what cannot work."""

    name: str
    mark: Mark
    text: str
    why: str = ""
    do: str = ""
    code: int = 0


@dataclass(frozen=True)
class Cost:
    """What one step between a volume and its feedback takes: seconds, at the median and at the 99th percentile."""

    name: str
    median: float
    p99: float


@dataclass(frozen=True)
class Finding:
    """What came of looking at one thing; `facts` are in SI units."""

    key: str
    rows: tuple[Row, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    costs: tuple[Cost, ...] = ()


def ok(name: str, text: str) -> Row:
    return Row(name, Mark.OK, text)


def look(name: str, text: str, why: str, do: str = "") -> Row:
    return Row(name, Mark.LOOK, text, why, do)


def cannot(name: str, text: str, why: str = "", do: str = "", *, code: int) -> Row:
    return Row(name, Mark.CANNOT, text, why, do, code)


def refused(name: str, error: RtbidsError) -> Row:
    """Return the row of what a command would end with."""
    return cannot(name, str(error), "", error.hint or "", code=error.exit_code)


def plain(facts: Any) -> dict[str, Any]:
    """Return a frozen dataclass as what JSON holds."""
    return asdict(facts)
