"""Which of two runs of one subject was acquired first, as far as a data set tells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rtbids.bids import entities as bids_entities

_SAME_SCAN = ("echo", "part")  # images of these belong to one scan


@dataclass(frozen=True)
class Acquired:
    """What is known of when a run was acquired.

    Attributes
    ----------
    moment
        ``acq_time`` of the scans table, which may be shifted, but for all of a subject alike.
    row
        Its row in the scans table, where rows stand in the order of acquisition: in a data set that rtbids made.
    """

    entities: Mapping[str, str]
    moment: datetime | None = None
    row: int | None = None

    @property
    def name(self) -> str:
        return bids_entities.stem(self.entities)

    @property
    def session(self) -> str:
        return self.entities.get("session", "")

    @property
    def number(self) -> int:
        label = self.entities.get("run", "")
        return int(label) if label.isdecimal() else 0


def is_before(one: Acquired, other: Acquired) -> bool | None:
    """Say whether `one` was acquired before `other`; None where nothing tells, or both are of one scan."""
    if same_scan(one, other):
        return None
    if one.moment is not None and other.moment is not None and one.moment != other.moment:
        return one.moment < other.moment
    if one.session != other.session:
        return _is_less(_numbered(one.session), _numbered(other.session))
    if one.row is not None and other.row is not None:
        return one.row < other.row
    if _without(one, "run", *_SAME_SCAN) == _without(other, "run", *_SAME_SCAN):
        return _is_less(("", one.number), ("", other.number))
    return None


def same_scan(one: Acquired, other: Acquired) -> bool:
    """Say whether two runs are echoes or parts of one scan, or the same."""
    return _without(one, *_SAME_SCAN) == _without(other, *_SAME_SCAN)


def in_order(runs: Iterable[Acquired], there_before: Mapping[str, Sequence[str] | None]) -> list[Acquired]:
    """Return runs from the first to the latest.

    `there_before` has, by name, the runs that were there when a run began, None where nobody noted them. One that nobody noted
    came before the first run that lists it.
    """
    noted = {name: list(names) for name, names in there_before.items() if names is not None}

    def place(run: Acquired) -> tuple[object, ...]:
        listing = [len(names) - 0.5 for names in noted.values() if run.name in names]
        came = len(noted[run.name]) if run.name in noted else min(listing, default=float("inf"))
        moment = run.moment.isoformat() if run.moment else ""
        return came, moment, natural(run.session), run.row or 0, run.number, run.name

    return sorted(runs, key=place)


def moment(text: str) -> datetime | None:
    """Return an ``acq_time``, None where there is none."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None


def natural(label: str) -> tuple[tuple[str, int], ...]:
    """Return a key that puts ``2`` before ``10``."""
    return tuple((words, int(digits or 0)) for words, digits in re.findall(r"(\D*)(\d*)", label) if words or digits)


def _numbered(session: str) -> tuple[str, int] | None:
    """Return the words and the number of a session's label; None where it has no number at its end."""
    found = re.fullmatch(r"(\D*)(\d+)", session)
    return (found[1], int(found[2])) if found else None


def _is_less(one: tuple[str, int] | None, other: tuple[str, int] | None) -> bool | None:
    if one is None or other is None or one[0] != other[0] or one[1] == other[1]:
        return None
    return one[1] < other[1]


def _without(run: Acquired, *left_out: str) -> dict[str, str]:
    return {entity: label for entity, label in run.entities.items() if entity not in left_out}
