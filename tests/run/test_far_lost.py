"""A far side that is lost while its scripts are at work: what stands in for their answers says so, and they go on elsewhere."""

from __future__ import annotations

import json
import select
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

from run.far_lanes import connected, far_lane, statuses, wait_until_up
from run.sessions import FAR, Lines, session, volume
from stream.link_ends import AT_ONCE, wait_for

from rtbids.archive.dataset import Archive
from rtbids.errors import CannotWrite, ConnectionLost
from rtbids.pipeline import Inbox
from rtbids.run.console.call import Call, Found
from rtbids.run.far.bridge import MOST_LOST
from rtbids.run.process.host import Faulted, Gone, Host
from rtbids.run.process.shared import Shared
from rtbids.stream.link import Descriptors
from rtbids.volume import Item, RunEnd

STAYS = """
import threading

def feedback(volume, run):
    if volume.index % 2:
        run.console.read("reached")
        threading.Event().wait()
    return len(run.volumes)

def end(run):
    run.console.read("reached")
    threading.Event().wait()
"""  # an odd volume stays with it for good, and so does the end


class Reached:
    """Set when the script is at a volume that stays with it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def answer(self, call: Call) -> Found:
        self._event.set()
        return Found(memoryview(b"so it is"), None)

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

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
            kept.wait_for("one", 2)
            yield RunEnd(volume(2).entities, 3)
            reached.wait()
            road.keeper.lose()
            road.cut()

        road.cut()  # before the run: it is none of its cuts
        wait_for(link, lambda: link._shared.cuts == 1)
        wait_until_up(link)
        session([far_lane(launcher, tmp_path / "one", STAYS, kept, console=reached.answer)], archive).run(Inbox(items()))
        assert (link.state.renewed, link.state.cuts) == (2, 3)
    assert statuses(kept) == [("ok", None), ("alternate", "link"), ("ok", None)]
    assert [row["value"] for row in kept.rows] == [1, 1, 3]  # started again, it has what it had seen
    assert "one is started again: the far side was lost" in caplog.text
    assert "volume 1:" not in caplog.text  # the script has not failed
    (sidecar,) = (tmp_path / "study" / "derivatives").rglob("*_desc-feedback_timeseries.json")
    assert told(json.loads(sidecar.read_text()), "Cuts") == [2]
    assert told(json.loads(sidecar.read_text()), "EndBrokenOff") == ["the far side was lost and has begun anew"]


def told(sidecar: Any, key: str) -> list[Any]:
    """Return what a sidecar says of `key`, wherever it says it."""
    if not isinstance(sidecar, dict):
        return []
    return [each for name, value in sidecar.items() for each in ([value] if name == key else told(value, key))]


def test_a_connection_that_freezes_once_a_volume_is_there_may_keep_its_answer(tmp_path, monkeypatch):
    monkeypatch.setattr("rtbids.run.far.way.QUIET", 0.1)  # of a connection with a beat each 10 ms
    reached, frozen = Reached(), threading.Event()
    terms = replace(AT_ONCE, beat=0.01, silence=FAR)
    with connected(tmp_path / "far", shape=lambda near, far: (Freezing(near, frozen), far), terms=terms) as (launcher, _, link):
        made = far_lane(launcher, tmp_path / "one", STAYS, Lines(), console=reached.answer)
        made.start()
        with closing(made.host) as host:
            host.wait_until_loaded()
            host.offer(Shared(given := volume(1)))
            while not reached.is_set:
                heard(host)
            frozen.set()
            while not host.was_cut(given.times["received"]):
                heard(host)
            assert (link.state.is_up, link.state.cuts) == (True, 0)
            frozen.clear()


def heard(host: Host) -> None:
    """Let the host hear what its script says, for a moment."""
    select.select([host, host.fetched], [host] if host.is_behind else [], [], 0.01)
    host.flush()
    host.replies()


class Freezing:
    """A transport that brings nothing as long as `frozen` is set, and is not closed."""

    def __init__(self, inner: Descriptors, frozen: threading.Event) -> None:
        self.reader, self.writer, self.close = self, inner.writer, inner.close
        self._inner, self._frozen = inner, frozen

    def readinto(self, view: memoryview) -> int:
        if self._frozen.is_set():
            threading.Event().wait(0.01)
            raise TimeoutError
        return self._inner.reader.readinto(view)


def test_a_far_side_that_begins_anew_is_noticed_though_nothing_more_happens(tmp_path, far_side, monkeypatch):
    for end in ("bridge", "scripts"):
        monkeypatch.setattr(f"rtbids.run.far.{end}.EVERY", 3600.0)
    with far_side() as (launcher, road, _):
        made = far_lane(launcher, tmp_path / "one", STAYS, Lines())
        made.start()
        with closing(made.host) as host:
            host.wait_until_loaded()
            road.keeper.lose()
            road.cut()
            while not (said := host.replies()):
                assert select.select([host], [], [], 20)[0]
    assert said == [Gone("the far side was lost and has begun anew", "anew")]


def test_a_machine_that_is_lost_again_and_again_while_a_script_is_loaded_is_given_up(tmp_path, far_side):
    with far_side() as (launcher, road, link):
        made = far_lane(launcher, tmp_path / "one", "import threading\nthreading.Event().wait()\n", Lines())
        made.start()
        with closing(made.host) as host:
            while not (said := host.replies()):
                renewed = link.state.renewed
                assert renewed < 10 * MOST_LOST  # some may come so soon after another that both count once
                road.keeper.lose()
                road.cut()
                wait_for(link, lambda before=renewed: link._shared.renewed > before)
                select.select([host], [], [], 0.05)
    assert isinstance(said[0], Faulted)
    assert isinstance(said[0].error, ConnectionLost)
    assert "was lost" in str(said[0].error)


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
