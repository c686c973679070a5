"""Why columns are left out, in a few words however many there are."""

from __future__ import annotations

import numpy as np

from rtbids.analysis.glm import Glm


def test_a_reason_names_what_comes_first_and_counts_the_rest():
    """30 cosines that nothing tells apart: the conditions are named, and the sentence can be read."""
    columns = ("face", "house", "constant", *(f"cosine{n:02}" for n in range(1, 31)))
    rng = np.random.default_rng(1)
    model = Glm(columns, 1)
    rows = np.zeros((40, 33))
    rows[:, :6] = rng.normal(size=(40, 6))
    rows[:, 6:] = rows[:, :6] @ rng.normal(size=(6, 27))
    for row in rows:
        model.add(row, np.ones(1))
    reason = model.estimate({"face": 1}).reason
    one = "is a sum of face and house and constant and 3 more"
    assert reason == f"the contrast cannot be estimated: cosine04 {one}; cosine05 {one}; cosine06 {one}; 24 more"
    assert len(reason) < 300
    assert model.left_out["cosine30"] == one.removeprefix("is ")
