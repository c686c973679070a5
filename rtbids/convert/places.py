"""Where one image that dcm2niix made goes, given the rules and what is known of the session so far. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from rtbids.bids import entities as bids_entities
from rtbids.convert.mapping import BESIDE, ECHOES, GRADIENTS, SOURCEDATA, Place, SessionMap
from rtbids.convert.session import Run

_OF_REFERENCE = re.compile(r"[_ -]*(sbref|single.?band)", re.IGNORECASE)
_SAME_ECHO = 1e-5  # s; headers hold milliseconds with two or three digits
_MAGNITUDES = {"magnitude1": 1, "magnitude2": 2}
_OF_PHASE = ("phasediff", "phase1", "phase2")


@dataclass(frozen=True)
class Magnitude:
    """A magnitude image of a field map: series and names, echo and its time (s), and the run that it is placed as."""

    number: int
    names: frozenset[str]
    echo: int
    seconds: float | None
    run: str | None


@dataclass
class Known:
    """What the session has told so far: functional runs, and the magnitudes of field maps."""

    owner: Mapping[str, str]  # subject and session
    task: str | None = None
    runs: list[Run] = field(default_factory=list)
    magnitudes: list[Magnitude] = field(default_factory=list)

    def learn(self, place: Place, fields: Mapping[str, Any], run: str | None = None) -> None:
        """Note what other images will need to know of an image that is placed under this run label."""
        if echo := _MAGNITUDES.get(place.suffix):
            seconds = fields.get("EchoTime")
            time = float(seconds) if isinstance(seconds, int | float) else None
            self.magnitudes.append(Magnitude(_number(fields), frozenset(_names(fields)), echo, time, run))

    def magnitudes_of(self, fields: Mapping[str, Any]) -> dict[int, Magnitude]:
        """Return the magnitudes by echo of the series that a phase image belongs to: its own, or the last of its name."""
        number, names = _number(fields), _names(fields)
        of_name = [one for one in self.magnitudes if one.names & names and one.number <= number]
        latest = max((one.number for one in of_name), default=None)
        return {one.echo: one for one in of_name if one.number == latest}


@dataclass(frozen=True)
class Decision:
    """The place of an image with its sidecar, or why it has none; `wait` where what comes later may give it one."""

    place: Place | None
    fields: Mapping[str, Any]
    reason: str = ""
    wait: bool = False
    rule: str = ""


def decide_all(
    images: Sequence[tuple[Mapping[str, Any], bool]], rules: SessionMap, known: Known, *, last: bool
) -> list[Decision]:
    """Say where the images of a series go, each with its sidecar and whether it has gradients."""
    kinds = [_kind(fields) for fields, _ in images]
    decisions = []
    for place, (fields, gradients) in enumerate(images):
        echoes = {_echo(other) for (other, _), kind in zip(images, kinds, strict=True) if kind == kinds[place]}
        others = {kind for number, kind in enumerate(kinds) if number != place}
        series = {ECHOES: " ".join(map(str, sorted(echoes))), BESIDE: " ".join(sorted(others))}
        decisions.append(decide(fields, gradients, rules, known, last=last, series=series))
    return decisions


def decide(
    fields: Mapping[str, Any],
    gradients: bool,
    rules: SessionMap,
    known: Known,
    *,
    last: bool,
    series: Mapping[str, str] = MappingProxyType({}),
) -> Decision:
    """Say where an image with these sidecar fields goes; with `last` nothing more will come, and nothing waits.

    `series` is what the rules can ask of the other images of the series.
    """
    place = rules.place({**fields, **series, GRADIENTS: "yes" if gradients else ""})
    if place is None:
        return Decision(None, fields, "no rule of the session map fits")
    if place.datatype == SOURCEDATA:
        return Decision(None, fields, place.reason, rule=place.rule)
    several = " " in series.get(ECHOES, "")
    if place.datatype == "anat" and several and "EchoNumber" in fields:
        place = replace(place, entities={**place.entities, "echo": str(fields["EchoNumber"])})
    decision = _placed(place, fields, gradients, known, last=last)
    if decision.place is not None and place.datatype == "func" and several:
        decision = replace(decision, place=_of_echo(decision.place, fields))
    return replace(decision, rule=place.rule)


def _placed(place: Place, fields: Mapping[str, Any], gradients: bool, known: Known, *, last: bool) -> Decision:
    partners = known.magnitudes_of(fields) if place.suffix in _OF_PHASE else {}
    fields = {**_completed(fields, place, partners), **place.metadata}
    lacking = [name for name in place.requires if name not in fields]
    if lacking:
        return Decision(None, fields, f"{place.suffix} needs {', '.join(lacking)}", wait=not last)
    if place.suffix in _OF_PHASE and not partners and not last:
        return Decision(None, fields, "its magnitudes have not come", wait=True)
    if (place.datatype, place.suffix) == ("dwi", "dwi") and not gradients:
        return Decision(None, fields, "diffusion needs bval and bvec")
    if place.datatype == "func":
        return _beside_run(place, fields, known, last=last)
    return Decision(replace(place, entities={**known.owner, **place.entities, **_run_of(partners)}), fields)


def _kind(fields: Mapping[str, Any]) -> str:
    """Return what the voxels of an image are: the scanner's signal, its phase, or frequencies."""
    types = {str(kind).upper() for kind in fields.get("ImageType") or ()}
    if "FIELDMAPHZ" in types:
        return "Hz"
    return "phase" if types & {"P", "PHASE"} else "other" if types & {"R", "REAL", "I", "IMAGINARY"} else "magnitude"


def _echo(fields: Mapping[str, Any]) -> int:
    return int(fields.get("EchoNumber") or 1)


def _of_echo(place: Place, fields: Mapping[str, Any]) -> Place:
    """Return the place of one of several echoes, of the first too; dcm2niix may write no number of that one."""
    return replace(place, entities={**place.entities, "echo": str(_echo(fields))})


def _run_of(magnitudes: Mapping[int, Magnitude]) -> dict[str, str]:
    """Return the run label that a field map's magnitudes have, where they have one: they belong together by it."""
    run = next((one.run for one in magnitudes.values()), None)
    return {"run": run} if run else {}


def _completed(fields: Mapping[str, Any], place: Place, magnitudes: Mapping[int, Magnitude]) -> dict[str, Any]:
    """Return the sidecar with the echo times of a phase difference, where its magnitudes tell them."""
    found = dict(fields)
    first, second = (magnitudes[echo].seconds if echo in magnitudes else None for echo in (1, 2))
    own = fields.get("EchoTime")
    if place.suffix == "phasediff" and first and second and (own is None or abs(own - second) < _SAME_ECHO):
        found = {"EchoTime1": first, "EchoTime2": second, **found}
    slices = found.get("SliceTiming")
    if isinstance(slices, list) and slices and max(slices) > float(found.get("RepetitionTime") or 0):
        found.pop("SliceTiming")  # of a reference that is acquired more slowly than its run
    return found


def _beside_run(place: Place, fields: Mapping[str, Any], known: Known, *, last: bool) -> Decision:
    """Name a single-band reference as the run that it was acquired for: the next one of its protocol."""
    number, names = _number(fields), _names(fields)
    following = [run for run in known.runs if run.number > number and _plain(run.protocol) in names]
    if not following and not last:
        return Decision(None, fields, "its run has not come", wait=True)
    if following:
        run = min(following, key=lambda run: run.number)
        entities = {entity: label for entity, label in run.entities.items() if entity not in ("echo", "part")}
    else:
        task = known.task or bids_entities.task_label(min(names, key=len))
        entities = {**known.owner, **place.entities, "task": task}
    if _echo(fields) > 1:
        entities["echo"] = str(fields["EchoNumber"])
    return Decision(replace(place, entities=entities), {**fields, "TaskName": entities["task"]})


def _number(fields: Mapping[str, Any]) -> int:
    return int(fields.get("SeriesNumber") or 0)


def _names(fields: Mapping[str, Any]) -> set[str]:
    named = {_plain(str(fields.get(key) or "")) for key in ("ProtocolName", "SeriesDescription")}
    return (named - {""}) or {"rest"}


def _plain(name: str) -> str:
    return _OF_REFERENCE.sub("", name).strip()
