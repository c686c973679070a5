"""A far side that is lost while its scripts are at work: what stands in for their answers says so, and they go on elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from run.far_lanes import far_lane, statuses
from run.sessions import Lines, session, volume

from rtbids.archive.dataset import Archive
from rtbids.errors import CannotWrite
from rtbids.pipeline import Inbox
from rtbids.run.console.call import Call, Found
from rtbids.volume import Item

STAYS = """
import threading

def feedback(volume, run):
    if volume.index % 2:
        run.console.read("reached")
        threading.Event().wait()
    return len(run.volumes)
"""  # an odd volume stays with it for good


class Reached:
    """Set when the script is at a volume that stays with it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def answer(self, call: Call) -> Found:
        self._event.set()
        return Found(memoryview(b"so it is"), None)

    def wait(self) -> None:
        assert self._event.wait(30)
        self._event.clear()


def test_a_volume_that_is_with_a_script_whose_machine_is_lost_has_an_alternate_of_the_link(
    tmp_path, far_side, caplog, monkeypatch
):
    monkeypatch.setattr("rtbids.run.lanes.MOST_RESTARTS", 0)  # the script's own: this is no fault of it
    kept, reached = Lines(), Reached()
    with far_side() as (launcher, road, link), Archive(tmp_path / "study") as archive:

        def items() -> Iterator[Item]:
            yield volume(0)
            kept.wait_for("one", 0)
            yield volume(1)
            reached.wait()
            road.keeper.lose()
            road.cut()
            kept.wait_for("one", 1)
            yield volume(2)

        session([far_lane(launcher, tmp_path / "one", STAYS, kept, console=reached.answer)], archive).run(Inbox(items()))
        assert link.state.renewed == 1
    assert statuses(kept) == [("ok", None), ("alternate", "link"), ("ok", None)]
    assert [row["value"] for row in kept.rows] == [1, 1, 3]  # started again, it has what it had seen
    assert "one is started again: the far side was lost" in caplog.text
    assert "volume 1:" not in caplog.text  # the script has not failed


def test_a_link_that_is_over_for_good_while_a_volume_is_with_a_script(tmp_path, far_side, caplog):
    kept, reached = Lines(), Reached()
    with far_side() as (launcher, road, _):

        def items() -> Iterator[Item]:
            yield volume(1)
            reached.wait()
            road.keeper.link().close(CannotWrite("the disk there is full"))
            kept.wait_for("one", 1)
            yield volume(2)

        session([far_lane(launcher, tmp_path / "one", STAYS, kept, console=reached.answer)]).run(Inbox(items()))
    given = [row for row in kept.rows if row["reason"] != "missing"]
    assert [(row["status"], row["reason"]) for row in given] == [("alternate", "link")] * 2
    assert "the disk there is full" in caplog.text
    assert "started again" not in caplog.text  # nobody is there who could
