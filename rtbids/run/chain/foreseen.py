"""What the events that are known say of the models, before the scanner has begun."""

from __future__ import annotations

import logging
from pathlib import Path

from rtbids.analysis import known_design
from rtbids.bids import events as bids_events
from rtbids.errors import BadData
from rtbids.run.chain import models
from rtbids.run.recipe.analysis_config import Analysis

logger = logging.getLogger("rtbids")


def say(analysis: Analysis, table: Path) -> str | None:
    """Warn of conditions that no run can tell apart, by the events of `table`; return what was said.

    Raises
    ------
    BadData
        Where a contrast names what is no condition.
    UsageFault
        Where the text of one is malformed.
    """
    if not analysis.models:
        return None
    events = bids_events.read(table.read_text(encoding="utf-8"), str(table))
    known = known_design.of_events(events, analysis.conditions)
    try:
        contrasts = models.contrasts(analysis, known.columns, known.conditions)
    except BadData:
        if analysis.cleans:  # it may name a column that the first volume only will tell
            return None
        raise
    if remark := known.remark(contrasts):
        logger.warning("%s", remark)
    return remark
