"""What somebody should look at in a run, the gravest first, each with the section that shows it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rtbids.plural import counted
from rtbids.run.report.findings import Findings
from rtbids.run.report.markup import percent, seconds, shortened
from rtbids.run.report.pauses import PAUSED
from rtbids.run.report.promise import Promise, promise
from rtbids.run.report.sections.quality import measured, spikes_of
from rtbids.run.report.sections.responses import clock_difference

PUNCTUAL = 0.05  # seconds after the due time that nobody sees
CLOCKS = 1.0  # seconds between two clocks; the way of a message is some milliseconds
_BECAUSE = {
    "deadline": "no answer came in time",
    "error": "the script failed",
    "missing": "the volume never came",
    "link": "the connection was down",
}


@dataclass(frozen=True)
class Concern:
    """One thing to look at; `section` is the id of the place that shows it."""

    text: str
    section: str


def concerns(found: Findings) -> list[Concern]:
    """Return what is to be looked at; nothing is the best that can be."""
    return [*_faults(found), *_volumes(found), *_feedback(found), *_head(found), *_rest(found)]


def _faults(found: Findings) -> Iterator[Concern]:
    if found.faults:
        yield Concern(f"{counted(len(found.faults), 'fault')} in what came in", "warnings-and-faults")


def _volumes(found: Findings) -> Iterator[Concern]:
    if found.missing:
        yield Concern(f"{counted(len(found.missing), 'volume')} never came: {shortened(found.missing, 6)}", "volumes")


def _feedback(found: Findings) -> Iterator[Concern]:
    if not found.answers:
        yield Concern("no feedback was recorded", "feedback")
    for name in found.experiments:
        whose = f"{name}: " if len(found.experiments) > 1 else ""
        kept = promise(found.of(name), found.recorded.get(name))
        for text in (*_interrupted(kept), *_replaced(kept)):
            yield Concern(whose + text, "deadlines-and-alternates")
        if kept.ok and all(answer.value is None for answer in found.of(name) if answer.status == "ok"):
            yield Concern(f"{whose}every answer was without a value", "feedback")


def _interrupted(kept: Promise) -> Iterator[str]:
    if kept.failed:
        yield f"EVERY volume failed, there was no feedback but alternates: {kept.failed}"
    if kept.given_up:
        yield f"the script was given up after volume {kept.given_up[0]}: {kept.given_up[1]}"
    if kept.broken_off:
        yield kept.broken_off
    if kept.restarts:
        yield f"the script was started again {counted(len(kept.restarts), 'time')}"


def _replaced(kept: Promise) -> Iterator[str]:
    for reason, volumes in kept.alternates.items():
        if reason == PAUSED:
            yield f"feedback was paused for {'volume' if len(volumes) == 1 else 'volumes'} {shortened(volumes, 6)}"
        elif reason != "missing":
            because = _BECAUSE.get(reason, reason)
            yield f"{counted(len(volumes), 'volume')} had an alternate, as {because}: {shortened(volumes, 6)}"
    if kept.lateness.worst > PUNCTUAL:
        yield f"alternates left up to {seconds(kept.lateness.worst)} after they were due"


def _head(found: Findings) -> Iterator[Concern]:
    if (motion := found.derived.get("motion")) is not None:
        unknown = sorted(index for index, word in motion.texts("pose").items() if word != "known")
        if unknown:
            yield Concern(f"the head was not found in {counted(len(unknown), 'volume')}: {shortened(unknown, 6)}", "motion")
    if (quality := found.derived.get("quality")) is not None:
        spikes = sorted(spikes_of(quality))
        if spikes:
            share = percent(len(spikes), measured(quality))
            yield Concern(f"{counted(len(spikes), 'spike')} ({share} of volumes): {shortened(spikes, 6)}", "data-quality")


def _rest(found: Findings) -> Iterator[Concern]:
    ahead = clock_difference(found.responses)
    if abs(ahead) > CLOCKS:
        side = "ahead of" if ahead > 0 else "behind"
        yield Concern(f"the sender's clock was {seconds(abs(ahead))} {side} ours", "events-and-responses")
    if found.warnings:
        yield Concern(counted(len(found.warnings), "warning"), "warnings-and-faults")


def farthest(found: Findings) -> float:
    """Return the greatest displacement from one volume to the next in mm, NaN where it is not known."""
    motion = found.derived.get("motion")
    moved = motion.floats("framewise_displacement", motion.length) if motion is not None else np.empty(0)
    return float(np.nanmax(moved)) if np.isfinite(moved).any() else math.nan
