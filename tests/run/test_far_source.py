"""Volumes of a source on another machine that come too late for want of the connection say so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from run.sessions import Lines, lane, session, volume

from rtbids.clock import CLOCK
from rtbids.pipeline import Inbox
from rtbids.run.progress import Linked
from rtbids.volume import Volume

SCRIPT = "def feedback(volume, run):\n    return 1.0\n"


@pytest.mark.parametrize(
    ("ago", "link", "reason"),
    [
        (20.0, lambda now: Linked("console", True, now - 10, cuts=1), "link"),  # made anew since the volume was measured
        (20.0, lambda now: Linked("console", False, now - 1, cuts=1), "link"),
        (20.0, lambda now: Linked("console", True, now - 10), "deadline"),  # the first connection
        (5.0, lambda now: Linked("console", True, now - 10, cuts=1), "deadline"),  # cut long before
        (20.0, lambda now: None, "deadline"),
    ],
)
def test_a_volume_that_was_late_when_it_came_says_whether_the_connection_had_been_cut(ago, link, reason, tmp_path: Path):
    now, kept = CLOCK.now(), Lines()
    one = session([lane(tmp_path / "mine", SCRIPT, kept, deadline=1.0)])
    one.progress.link = link(now)

    def items() -> Iterator[Volume]:
        yield volume(0, received=now - ago)

    one.run(Inbox(items()))
    [line] = [row for row in kept.rows if row["status"] == "alternate"]
    assert line["reason"] == reason
