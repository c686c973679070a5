"""Feedback in words: a value, how it came about, and how many there were."""

from __future__ import annotations

from collections.abc import Mapping

from rtbids.plural import counted
from rtbids.run.report.curves import Tally, why
from rtbids.run.report.figures.scales import number
from rtbids.run.report.findings import Answer, Value
from rtbids.run.report.markup import percent


def told(value: Value) -> str:
    """Return a value as a line of text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_told_part(part)}" for key, part in value.items())
    return "no value" if value is None else number(value)


def _told_part(part: object) -> str:
    if isinstance(part, bool):
        return "yes" if part else "no"
    return number(part) if isinstance(part, int | float) else "n/a" if part is None else str(part)


def status(answer: Answer) -> str:
    """Return a line's status, with the reason where it has one."""
    return f"{answer.status} ({answer.reason})" if answer.reason else answer.status


def in_words(counts: Tally) -> str:
    """Say how many volumes were answered, and what became of the others."""
    words = [f"{counts.ok} of {counts.given} volumes ({percent(counts.ok, counts.given)}) answered in time"]
    if counts.alternate:
        words.append(f"{counted(counts.alternate, 'alternate')} went out instead ({why(counts.reasons)})")
    if counts.late:
        words.append(f"{counted(counts.late, 'late answer')} recorded, not shown to the participant")
    return "; ".join(words) + "."
