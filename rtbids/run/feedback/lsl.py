"""Lab Streaming Layer: feedback as streams that other programs find by name, and responses from such a stream.

Needs the extra ``lsl`` (pylsl). Two streams leave: NAME with the number, for whatever plots or records signals, and NAME-lines
with the whole line as JSON, for whatever takes markers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from rtbids.errors import StreamBroken, UsageFault
from rtbids.run.feedback.feedback import Row, as_json

SCHEME = "lsl:"


class Outlets:
    """Push each line to the streams NAME and NAME-lines."""

    def __init__(self, name: str) -> None:
        lsl = library(name)
        self._number = lsl.StreamOutlet(_described(lsl, name))
        self._line = lsl.StreamOutlet(lsl.StreamInfo(f"{name}-lines", "Markers", 1, 0, "string", f"rtbids-{name}-lines"))

    def write(self, row: Row) -> None:
        self._number.push_sample([number(row["value"])])
        self._line.push_sample([as_json(row).rstrip("\n")])

    def close(self) -> None:
        del self._number, self._line  # the library closes a stream with its object


def number(value: object) -> float:
    """Return a value as the one channel holds it: NaN where it is null or an object, which only the line can hold."""
    return float(value) if isinstance(value, int | float) else math.nan


def name_of(endpoint: str) -> str:
    """Return NAME of ``lsl:NAME``."""
    name = endpoint.removeprefix(SCHEME)
    if not name or name.startswith("/") or not name.isprintable():
        raise UsageFault(f"{endpoint}: expected lsl:NAME, the name of a stream")
    return name


def library(name: str) -> Any:
    """Return pylsl, which is imported only here."""
    try:
        import pylsl
    except (ImportError, RuntimeError) as error:  # RuntimeError: its shared library is not there
        raise UsageFault(
            f"lsl:{name} needs pylsl, which cannot be imported ({str(error).splitlines()[0]})", "pip install 'rtbids[lsl]'"
        ) from None
    return pylsl


def inlet(name: str, timeout: float) -> Any:
    """Return an open inlet of the stream `name`, which is waited for; StreamBroken where nobody offers it."""
    lsl = library(name)
    found = lsl.resolve_byprop("name", name, minimum=1, timeout=timeout)
    if not found:
        raise StreamBroken(f"nobody offers the LSL stream {name}: waited {timeout:g} s", "start the sending side too")
    opened = lsl.StreamInlet(found[0], max_buflen=60)
    try:
        opened.open_stream(timeout)
        opened.time_correction(timeout)  # asked for later it is there at once
    except RuntimeError:  # LostError, TimeoutError: whose place differs between versions of pylsl
        raise StreamBroken(f"the LSL stream {name} does not answer: waited {timeout:g} s") from None
    return opened


def text(sample: Sequence[object]) -> str:
    """Return what a sample says as a line: the one text or number, or all of several."""
    return str(sample[0]) if len(sample) == 1 else json.dumps(list(sample))


def _described(lsl: Any, name: str) -> Any:
    info = lsl.StreamInfo(name, "Feedback", 1, 0, "double64", f"rtbids-{name}")
    channel = info.desc().append_child("channels").append_child("channel")
    channel.append_child_value("label", "value")
    channel.append_child_value("type", "Feedback")
    return info
