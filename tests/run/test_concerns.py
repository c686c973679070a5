"""What somebody should look at, of findings that were made by hand."""

from __future__ import annotations

import math

from rtbids.run.report.concerns import concerns
from rtbids.run.report.findings import Answer, Findings


def test_a_script_that_failed_at_every_volume_is_said_so_with_the_reason_before_the_count():
    answers = tuple(
        Answer("roi", volume, None, "alternate", "error", float(volume), math.nan, volume + 0.1) for volume in range(5)
    )
    why = "no region 'taget'; the config's rois: target"
    found = Findings("run", count=5, answers=answers, recorded={"roi": {"EveryVolumeFailed": why}})
    first, *_ = concerns(found)
    assert first.text == f"EVERY volume failed, there was no feedback but alternates: {why}"
    assert all("EVERY" not in one.text for one in concerns(Findings("run", count=5, answers=answers)))
