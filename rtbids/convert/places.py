"""Where one image that dcm2niix made goes, given the rules and what is known of the session so far. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rtbids.bids import entities as bids_entities
from rtbids.convert.mapping import GRADIENTS, SOURCEDATA, Place, SessionMap
from rtbids.convert.session import Run

_OF_REFERENCE = re.compile(r"[_ -]*(sbref|single.?band)", re.IGNORECASE)
_SAME_ECHO = 1e-5  # s; headers hold milliseconds with two or three digits
_MAGNITUDES = {"magnitude1": 1, "magnitude2": 2}


@dataclass
class Known:
    """What the session has told so far: functional runs, and echo times (s) of field maps' magnitudes by echo."""

    owner: Mapping[str, str]  # subject and session
    task: str | None = None
    runs: list[Run] = field(default_factory=list)
    echo_times: dict[int, float] = field(default_factory=dict)

    def learn(self, place: Place, fields: Mapping[str, Any]) -> None:
        """Note what other images will need to know of an image."""
        echo = _MAGNITUDES.get(place.suffix)
        if echo and isinstance(fields.get("EchoTime"), int | float):
            self.echo_times[echo] = float(fields["EchoTime"])


@dataclass(frozen=True)
class Decision:
    """The place of an image with its sidecar, or why it has none; `wait` where what comes later may give it one."""

    place: Place | None
    fields: Mapping[str, Any]
    reason: str = ""
    wait: bool = False


def decide(fields: Mapping[str, Any], gradients: bool, rules: SessionMap, known: Known, *, last: bool) -> Decision:
    """Say where an image with these sidecar fields goes; with `last` nothing more will come, and nothing waits."""
    place = rules.place({**fields, GRADIENTS: "yes" if gradients else ""})
    if place is None:
        return Decision(None, fields, "no rule of the session map fits")
    if place.datatype == SOURCEDATA:
        return Decision(None, fields, "BIDS has no place for such images")
    fields = {**_completed(fields, place, known), **place.metadata}
    lacking = [name for name in place.requires if name not in fields]
    if lacking:
        return Decision(None, fields, f"{place.suffix} needs {', '.join(lacking)}", wait=not last)
    if (place.datatype, place.suffix) == ("dwi", "dwi") and not gradients:
        return Decision(None, fields, "diffusion needs bval and bvec")
    if place.datatype == "func":
        return _beside_run(place, fields, known, last=last)
    return Decision(replace(place, entities={**known.owner, **place.entities}), fields)


def _completed(fields: Mapping[str, Any], place: Place, known: Known) -> dict[str, Any]:
    """Return the sidecar with the echo times of a phase difference, where its magnitudes tell them."""
    found = dict(fields)
    echoes = known.echo_times
    own = fields.get("EchoTime")
    if place.suffix == "phasediff" and {1, 2} <= set(echoes) and (own is None or abs(own - echoes[2]) < _SAME_ECHO):
        found = {"EchoTime1": echoes[1], "EchoTime2": echoes[2], **found}
    slices = found.get("SliceTiming")
    if isinstance(slices, list) and slices and max(slices) > float(found.get("RepetitionTime") or 0):
        found.pop("SliceTiming")  # of a reference that is acquired more slowly than its run
    return found


def _beside_run(place: Place, fields: Mapping[str, Any], known: Known, *, last: bool) -> Decision:
    """Name a single-band reference as the run that it was acquired for: the next one of its protocol."""
    number, names = int(fields.get("SeriesNumber") or 0), _names(fields)
    following = [run for run in known.runs if run.number > number and _plain(run.protocol) in names]
    if not following and not last:
        return Decision(None, fields, "its run has not come", wait=True)
    if following:
        run = min(following, key=lambda run: run.number)
        entities = {entity: label for entity, label in run.entities.items() if entity not in ("echo", "part")}
    else:
        task = known.task or bids_entities.task_label(min(names, key=len))
        entities = {**known.owner, **place.entities, "task": task}
    if int(fields.get("EchoNumber") or 1) > 1:
        entities["echo"] = str(fields["EchoNumber"])
    return Decision(replace(place, entities=entities), {**fields, "TaskName": entities["task"]})


def _names(fields: Mapping[str, Any]) -> set[str]:
    named = {_plain(str(fields.get(key) or "")) for key in ("ProtocolName", "SeriesDescription")}
    return (named - {""}) or {"rest"}


def _plain(name: str) -> str:
    return _OF_REFERENCE.sub("", name).strip()
