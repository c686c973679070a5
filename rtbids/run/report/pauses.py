"""The volumes that feedback was paused for, told by a report from those whose answer did not come in time.

The table of feedback gives both one reason; the run keeps in its sidecar which is which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rtbids.run.report.findings import Answer

PAUSED = "paused"  # in place of the reason of such a line


def told_apart(answers: Iterable[Answer], recorded: Mapping[str, Mapping[str, Any]]) -> tuple[Answer, ...]:
    """Return the lines, those of pauses with PAUSED as their reason; `recorded` is what the sidecar says of each experiment."""
    pauses = {name: _pauses(about.get("Paused")) for name, about in recorded.items()}
    return tuple(
        replace(answer, reason=PAUSED) if _is_of(answer, pauses.get(answer.experiment, ())) else answer for answer in answers
    )


def _is_of(answer: Answer, pauses: Sequence[tuple[int, int]]) -> bool:
    is_empty = answer.status == "alternate" and answer.reason == "deadline" and answer.value is None
    return is_empty and any(first <= answer.volume <= last for first, last in pauses)


def _pauses(found: object) -> list[tuple[int, int]]:
    """Return the pauses of a sidecar, which somebody may have changed."""
    pairs = [one for one in found if isinstance(one, list) and len(one) == 2] if isinstance(found, list) else []
    return [(first, last) for first, last in pairs if isinstance(first, int) and isinstance(last, int)]
