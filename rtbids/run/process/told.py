"""What a run tells its experiment's process, and what it makes of the answers: the messages of their channel."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from rtbids.errors import (
    BadData,
    CannotWrite,
    ConnectionLost,
    ExperimentFault,
    InputMissing,
    RtbidsError,
    StreamBroken,
    UsageFault,
)
from rtbids.run.past.sent import Sent
from rtbids.run.process.channel import Message, encoded
from rtbids.run.process.host import Answer, Heard, Mapped, Measured, Reply
from rtbids.run.process.shared import Shared, mapped
from rtbids.run.recipe import analysis_config
from rtbids.run.recipe.recipe import Recipe
from rtbids.run.record.statistical_maps import StatMap
from rtbids.volume import Entities

_KINDS = (UsageFault, BadData, InputMissing, ExperimentFault, CannotWrite, StreamBroken, ConnectionLost)
_FAULTS: dict[object, type[RtbidsError]] = {kind.exit_code: kind for kind in _KINDS}


def load(recipe: Recipe, offset: float) -> bytes:
    """Return the first message: the script, all that its config says, what the run's clock is ahead of the system's, and from
    which level on it wants to know what is logged.
    """
    config = recipe.config
    rois = {name: region.to_json() for name, region in recipe.regions.items()}
    fields: dict[str, Any] = {"do": "load", "name": recipe.name, "script": str(recipe.script)}
    fields |= {"settings": config.settings, "rois": rois}
    fields |= {"analysis": analysis_config.to_json(config.analysis), "offset": offset, "memory": recipe.memory}
    fields |= {"events": None if recipe.events is None else str(recipe.events)}
    fields |= {"deadline": config.deadline}
    return encoded({**fields, "log": logging.getLogger("rtbids").getEffectiveLevel()})


def volume(shared: Shared, *, ask: bool, is_new: bool) -> bytes:
    """Return the message that goes with a volume's voxels; sidecar and events go with it where they are new."""
    volume = shared.volume
    message = {
        "do": "volume",
        "ask": ask,
        "entities": dict(volume.entities),
        "index": volume.index,
        "shape": volume.shape,
        "dtype": volume.data.dtype.str,
        "affine": volume.affine.ravel().tolist(),
        "slope": volume.slope,
        "inter": volume.inter,
        "times": dict(volume.times),
        "where": asdict(shared.where),
        "stored": shared.is_stored,
    }
    if is_new:
        message |= {"metadata": dict(volume.metadata), "events": volume.events}
    return encoded(message)


def response(heard: Heard) -> bytes:
    """Return the message of a response."""
    fields = {"entities": dict(heard.entities), "response": asdict(heard.response)}
    return encoded({"do": "response", "ask": heard.ask, **fields})


def sent(entities: Entities, sent: Sent) -> bytes:
    """Return the message of feedback that has left."""
    fields = {"volume": sent.volume, "value": sent.value, "status": sent.status}
    return encoded({"do": "sent", "entities": dict(entities), **fields})


def end(entities: Entities) -> bytes:
    """Return the message that ends a run."""
    return encoded({"do": "end", "entities": dict(entities)})


def answer(message: Message, given: float | None) -> list[Reply]:
    """Return what a message says of a volume: the analysis' numbers, and the script's answer or what it raised."""
    fields: dict[str, Any] = {key: message.get(key) for key in ("value", "came", "analysed", "answered", "error")}
    return [*measured(message), Answer(message["entities"], message["volume"], given=given, **fields)]


def measured(message: Message) -> list[Reply]:
    """Return what a message says of the analysis of a volume."""
    measures = message.get("measures")
    return [Measured(message["entities"], message["volume"], measures)] if measures else []


def found(message: Message, descriptor: int) -> Mapped:
    """Return the map that comes with a message."""
    values, affine = mapped(descriptor, "<f4", tuple(message["shape"])), np.array(message["affine"]).reshape(4, 4)
    return Mapped(message["entities"], StatMap(message["contrast"], message["statistic"], values, affine, message["fields"]))


def fault(message: Message) -> RtbidsError:
    """Return the error that the experiment's process reports."""
    return _FAULTS.get(message["code"], ExperimentFault)(message["error"], message.get("hint"))


def logged(experiment: str, message: Message) -> None:
    """Log what an experiment's process has logged."""
    logging.getLogger("rtbids").log(message["level"], "%s: %s", experiment, message["text"])


def farewell(ended: Mapping[str, Any]) -> str:
    """Say how a process ended that has closed its channel."""
    code = ended["code"]
    if why := ended.get("why"):
        return str(why)
    if code is None:
        return "the experiment's process closed its channel"
    if code < 0:
        return f"the experiment's process was ended by {signal.Signals(-code).name}"
    return f"the experiment's process ended by itself (exit code {code})"
