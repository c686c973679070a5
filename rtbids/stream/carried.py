"""Units that come over a link, their times carried over from the other machine's clock to ours."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rtbids.stream.branch import Units
from rtbids.stream.link import Link
from rtbids.stream.units import Unit, fields
from rtbids.stream.wire import Piece

logger = logging.getLogger("rtbids")


def on_our_clock(units: Units, link: Link) -> Units:
    """Carry the times of volumes and files over; where the other clock is not known by the first, all stay as they are."""
    is_known: bool | None = None
    for unit in units:
        if unit is None or not unit.is_image:
            yield unit
            continue
        if is_known is None and not (is_known := link.wait_for_clock()):
            logger.warning("%s: its clock is not known: the times of what comes are by that clock", link.where)
        yield _carried(unit, _difference(link)) if is_known else unit


def _difference(link: Link) -> float:
    """Return how far the other clock is ahead, seconds; 0 where that may be the way there and back."""
    state = link.state
    offset = state.offset or 0.0
    return offset if abs(offset) > (state.uncertainty or 0.0) else 0.0


def _carried(unit: Unit, offset: float) -> Unit:
    first, *others = [replace(piece, modified=_ours(piece.modified, offset)) for piece in unit.pieces]
    return replace(unit, pieces=(first if unit.is_file else _with_times(first, offset), *others))


def _with_times(piece: Piece, offset: float) -> Piece:
    said = fields(piece)
    times = said.get("times")
    if not isinstance(times, Mapping):
        return piece  # for the reader to refuse
    said["times"] = {stage: _ours(moment, offset) for stage, moment in times.items()}
    return replace(piece, parts=(json.dumps(said).encode(),))


def _ours(moment: Any, offset: float) -> Any:
    """Return a time on our clock; what is none, or 0 for none, as it is."""
    return moment - offset if moment and isinstance(moment, int | float) else moment
