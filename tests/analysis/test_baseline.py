"""What is said of a baseline that is all of a run, or none of it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rtbids.analysis.decode import Decoder
from rtbids.analysis.roi import Roi
from rtbids.analysis.space import Grid
from rtbids.bids.events import Event, Events, EventsSoFar

MASK = np.ones((1, 1, 1), bool)
GRID = Grid((1, 1, 1), np.eye(4))
BEFORE = Event(-30.0, 20.0, "go")


def asked(events: Events, baseline: str, **options) -> None:
    """Ask two regions of a run for their signal change, volume by volume."""
    regions = [Roi(MASK, events, 2.0) for _ in range(2)]
    for index in range(4):
        for region in regions:
            region.add_values(index, np.array([100.0 + index]))
            region.percent_signal_change(baseline, **options)
            region.scaled_signal_change(baseline)


@pytest.mark.parametrize(
    ("rows", "baseline", "said"),
    [
        ((), "rest", "no event is known, so that every volume counts as rest, .*--events"),
        (
            (Event(0.0, 1000.0, "go"),),
            "rest",
            "no volume before volume 500 is rest, .* at 1000 s",
        ),
        (
            tuple(Event(n + 0.5, 0.3, "go") for n in range(9)),
            "rest",
            "before volume 5 is rest, .* at 8.8 s",
        ),
        ((BEFORE,), "rest", "all events lie before the run, the last ends at -10 s: every volume counts as rest"),
        ((BEFORE,), "go", "no volume is 'go', the baseline: its events lie before the run"),
        ((BEFORE, Event(0.0, 4.0, "other")), "go", "no volume is 'go', the baseline"),
    ],
    ids=["none", "one without end", "no gaps", "rest, all before", "all before", "one of two before"],
)
@pytest.mark.parametrize("kind", [Events, EventsSoFar])
def test_a_baseline_that_is_all_or_none_is_said_once_a_run_when_it_is_asked_for(rows, baseline, said, kind, caplog):
    events = kind(rows)
    region = Roi(MASK, events, 2.0)
    region.add_values(0, np.array([1.0]))
    region.mean()
    assert caplog.messages == []  # nobody has asked
    asked(events, baseline)
    (message,) = caplog.messages
    assert re.search(said, message)


@pytest.mark.parametrize(
    ("events", "baseline"),
    [
        (Events((Event(4.0, 4.0, "go"),)), "rest"),
        (Events((Event(0.0, 4.0, "go"), Event(6.0, 4.0, "go"))), "rest"),
        (Events((Event(90.0, 4.0, "go"),)), "go"),
        (Events((Event(4.0, 0.0, "go"),)), "go"),
        (Events((Event(0.0, 4.0, "rest"), Event(4.0, 4.0, "go"))), "rest"),
        (EventsSoFar((), ("go",)), "rest"),
        (EventsSoFar((), ("go",)), "go"),
    ],
    ids=["rest first", "a gap", "later", "without duration", "named", "events will come", "they are the baseline"],
)
def test_a_baseline_that_some_volumes_show_is_not_spoken_of(events, baseline, caplog):
    asked(events, baseline)
    assert caplog.messages == []


@pytest.mark.parametrize(("against", "count"), [("baseline", 1), ("run", 0), ("training", 0)])
def test_a_decoder_that_is_measured_against_a_baseline_asks_for_it(against, count, caplog):
    one = np.ones(1)
    decoder = Decoder(("a", "b"), one[None], one, one, one, "logistic", np.zeros(1, int), GRID, against, "rest", 5.0)
    decoder.begin(Events(), 2.0)
    assert len(caplog.messages) == count
