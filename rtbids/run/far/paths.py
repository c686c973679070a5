"""The paths in a script's first line: of the script, its masks, its reference and its events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from rtbids.run.process.channel import Message

Change: TypeAlias = Callable[[str], str]
_OF_A_REGION = ("mask", "weights")


def changed(load: Message, change: Change) -> Message:
    """Return the line with every path in it changed."""
    rois = {name: _changed(entry, _OF_A_REGION, change) for name, entry in load["rois"].items()}
    message = {**_changed(load, ("script", "events"), change), "rois": rois}
    if load["analysis"] and isinstance(motion := load["analysis"]["motion"], dict):
        message["analysis"] = {**load["analysis"], "motion": _changed(motion, ("reference",), change)}
    return message


def _changed(fields: Mapping[str, Any], keys: tuple[str, ...], change: Change) -> dict[str, Any]:
    return {**fields, **{key: change(fields[key]) for key in keys if fields[key] is not None}}
