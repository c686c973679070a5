"""Feedback as Lab Streaming Layer streams, read by the layer's own library."""

from __future__ import annotations

import json
import math
import sys
import uuid
from typing import Any

import pytest

from rtbids.errors import StreamBroken, UsageFault
from rtbids.run.feedback import destinations, lsl

PATIENCE = 20.0  # seconds


@pytest.fixture
def pylsl() -> Any:
    return pytest.importorskip("pylsl", reason="pylsl, the extra lsl, is not installed")


@pytest.fixture
def name() -> str:
    return f"rtbids-test-{uuid.uuid4().hex[:8]}"  # others on this network may test too


def row(volume: int, value: object, status: str = "ok") -> dict[str, object]:
    return {"experiment": "mine", "run": "sub-01_task-nf_run-01", "volume": volume, "value": value, "status": status}


def inlet(pylsl: Any, name: str) -> Any:
    (found,) = pylsl.resolve_byprop("name", name, timeout=PATIENCE)
    opened = pylsl.StreamInlet(found)
    opened.open_stream(timeout=PATIENCE)
    return opened


def test_the_number_and_the_line_are_a_stream_each(pylsl: Any, name: str):
    (destination,) = destinations.open_all([f"lsl:{name}"])
    numbers, lines = inlet(pylsl, name), inlet(pylsl, f"{name}-lines")
    rows = [row(0, 1.25), row(1, None, "alternate"), row(2, 9.0, "late"), row(3, {"left": 2.0})]
    for each in rows:
        destination.send(each)
    came = [numbers.pull_sample(timeout=PATIENCE)[0][0] for _ in range(3)]
    assert came[0] == 1.25
    assert all(math.isnan(number) for number in came[1:])
    assert [json.loads(lines.pull_sample(timeout=PATIENCE)[0][0]) for _ in range(3)] == [rows[0], rows[1], rows[3]]
    destination.close()


def test_a_stream_describes_itself(pylsl: Any, name: str):
    (destination,) = destinations.open_all([f"lsl:{name}"])
    info = inlet(pylsl, name).info(timeout=PATIENCE)
    assert (info.type(), info.nominal_srate(), info.channel_count()) == ("Feedback", 0.0, 1)
    assert info.desc().child("channels").child("channel").child_value("label") == "value"
    destination.close()


def test_without_pylsl_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pylsl", None)
    with pytest.raises(UsageFault, match="needs pylsl") as refusal:
        destinations.open_all(["lsl:mine"])
    assert refusal.value.hint == "pip install 'rtbids[lsl]'"


def test_a_stream_that_nobody_offers_is_waited_for_and_named(pylsl: Any, name: str):
    with pytest.raises(StreamBroken, match=f"nobody offers the LSL stream {name}: waited 0.2 s"):
        lsl.inlet(name, 0.2)
