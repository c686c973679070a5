"""The models of a run as an experiment's config asks for them: the design, its length, its contrasts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rtbids.analysis.contrasts import weights
from rtbids.analysis.design import Design, Model
from rtbids.analysis.space import Grid
from rtbids.bids.events import Events
from rtbids.errors import BadData, UsageFault
from rtbids.run.chain.outcome import GlmSoFar
from rtbids.run.recipe import analysis_config
from rtbids.run.recipe.analysis_config import Analysis

AFTER_LAST_EVENT = 16.0  # seconds that a run is taken to go on, while the last response goes down
ENDLESS = 1_000_000  # volumes, where nothing depends on how many there are to be


def planned(analysis: Analysis, events: Events, repetition_time: float, length: int | None = None) -> int:
    """Return how many volumes the run is to have, by which drift is fixed; `length` is what the source says of it.

    Raises
    ------
    UsageFault
        Where drift is to be taken out, and neither the config nor an event nor the source tells.
    """
    if analysis.volumes is not None:
        return analysis.volumes
    if analysis.drift == "none":
        return ENDLESS
    if not events.rows:
        if length is not None:
            return length
        raise analysis_config.without_length(analysis)
    return max(1, math.ceil((max(event.end for event in events.rows) + AFTER_LAST_EVENT) / repetition_time))


def design(analysis: Analysis, events: Events, repetition_time: float, length: int | None) -> Design:
    drift = "dct" if analysis.drift == "cosine" else analysis.drift
    model = Model(analysis.conditions, drift, motion=analysis.motion_terms, signals=analysis.nuisance)
    return Design(model, events, repetition_time, planned(analysis, events, repetition_time, length))


def contrasts(analysis: Analysis, columns: Sequence[str], conditions: Sequence[str]) -> dict[str, Mapping[str, float]]:
    """Return the weight of each column in the contrasts.

    Raises
    ------
    BadData
        Where one names what is not there.
    UsageFault
        Where the text is no contrast of these names.
    """
    found: dict[str, Mapping[str, float]] = {}
    for name, contrast in analysis.contrasts.items():
        try:
            found[name] = weights(contrast, columns, conditions)
        except BadData as error:
            hint = "where its events come during the run, name them in analysis.conditions"
            raise BadData(f"analysis.contrasts.{name}: {error}", hint) from None
        except UsageFault as fault:
            raise UsageFault(f"analysis.contrasts.{name}: {fault}") from None
    return found


def glm(analysis: Analysis, design: Design | None, grid: Grid, settle: Any) -> GlmSoFar | None:
    if not analysis.contrasts:
        return None
    assert design is not None
    return GlmSoFar(design, contrasts(analysis, design.columns, design.conditions), grid.shape, settle)
