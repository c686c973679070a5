"""What a script may ask of the run that it is in."""

from __future__ import annotations

import numpy as np

from rtbids.bids import events
from rtbids.run.script.run import Run
from rtbids.volume import volume_of


def test_a_volume_has_the_events_of_its_own_tr() -> None:
    table = events.read("onset\tduration\ttrial_type\n0\t4\tgo\n4\t2\tstop\n", "events.tsv")
    run = Run({}, {"subject": "01", "task": "nf"}, 2.0, table)
    volumes = [volume_of(np.zeros((2, 2, 2), np.int16), np.eye(4), run.entities, {}, index) for index in range(4)]
    assert [[event.trial_type for event in run.events_of(volume)] for volume in volumes] == [["go"], ["go"], ["stop"], []]
