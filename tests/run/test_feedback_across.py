"""Feedback to a place on another machine: every line of a file once and in order, and nothing stale where it is live."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from stream.link_ends import PATIENCE, Keeper, Road, ends, wait_for

from rtbids.clock import CLOCK, ManualClock
from rtbids.errors import RtbidsError
from rtbids.run.deadlines import Line
from rtbids.run.feedback import far_end, sockets
from rtbids.run.feedback.across import FRESH, Across
from rtbids.run.feedback.feedback import as_json, as_tsv, fields
from rtbids.stream.link import Link

RUN = "sub-01_task-nf_run-01"


def row(volume: int, experiment: str = "mine", status: str = "ok") -> dict[str, object]:
    return fields(experiment, RUN, Line(volume, volume / 3, status, None, 1.0, 2.0, CLOCK.now()))


class Killed(Exception):
    """What serves a place is killed, and tells nobody."""


class There:
    """Serves a place at the far end of a link, anew where that was lost."""

    def __init__(self, keeper: Keeper, place: far_end.Place) -> None:
        self._keeper = keeper
        self._place = place
        self.serve()

    def serve(self) -> None:
        threading.Thread(target=lambda: self._serve(self._keeper.link()), daemon=True).start()

    def _serve(self, link: Link) -> None:
        try:
            far_end.serve(link, self._place)
            link.finish(PATIENCE)
        except Killed:
            self.serve()
        except RtbidsError as error:  # as a keeper does
            link.close(error)


@contextmanager
def across(place: far_end.Place, **options: object) -> Iterator[tuple[Across, Link, Road, There]]:
    with ends() as (link, road):
        link.wait_up(PATIENCE)
        there = There(road.keeper, place)
        to = Across(link, "there", place.kind, place.kind, **options)
        try:
            yield to, link, road, there
        finally:
            road.is_blocked.clear()
            to.close()
            place.close()


def wait_until_up(link: Link) -> None:
    wait_for(link, lambda: link.state.is_up and link.state.offset is not None)


def wait_until_down(link: Link, road: Road) -> None:
    road.is_blocked.set()
    road.cut()
    wait_for(link, lambda: not link.state.is_up)


class KilledOnce(far_end.File):
    """A file whose line 32 is written when what serves it is killed, before anybody knows."""

    road: Road | None = None

    def take(self, said: dict[str, object]) -> float:
        moment = super().take(said)
        if said["number"] == 33 and self.road is not None:
            road, self.road = self.road, None
            road.keeper.lose()
            road.cut()
            raise Killed
        return moment


@pytest.mark.parametrize(("name", "form"), [("out.jsonl", as_json), ("out.tsv", as_tsv)])
def test_a_file_there_has_every_line_once_and_in_order_through_cuts_and_kills(name, form, tmp_path):
    path, sent = tmp_path / name, []
    path.write_text("what was there before " * 1000)
    place = KilledOnce(path)
    with across(place, as_table=name.endswith(".tsv")) as (to, _, road, _):
        place.road = road
        for volume in range(60):
            sent.append(row(volume, status="late" if volume % 7 == 3 else "ok"))
            to.send(sent[-1])
            if volume % 10 == 5:
                road.cut()
    head = "experiment\trun\tvolume\tvalue\tstatus\treason\treceived\tdue\tsent\n" if form is as_tsv else ""
    assert path.read_text() == head + "".join(map(form, sent))


class Kept:
    """A live place that keeps what it is given."""

    def __init__(self) -> None:
        self.volumes: list[tuple[object, object]] = []

    def write(self, row: dict[str, object]) -> None:
        self.volumes.append((row["experiment"], row["volume"]))

    def close(self) -> None:
        pass


def test_of_a_cut_only_the_newest_line_of_each_experiment_is_delivered_where_it_is_live():
    kept = Kept()
    with across(far_end.Live("pipe", "a pipe", kept)) as (to, link, road, _):
        wait_until_up(link)
        to.send(row(0))
        delivered(to, 1)
        wait_until_down(link, road)
        for volume in range(1, 5):
            to.send(row(volume))
            to.send(row(volume, "other"))
        road.is_blocked.clear()
        delivered(to, 3)
        to.send(row(5))
        delivered(to, 4)
    assert kept.volumes == [("mine", 0), ("mine", 4), ("other", 4), ("mine", 5)]
    assert to.deliveries.left_out == 6


def test_a_line_that_comes_too_late_is_not_delivered_as_if_it_were_new(caplog):
    kept, clock = Kept(), ManualClock(CLOCK.now() - 10 * FRESH)
    with across(far_end.Live("udp", "a port", kept), clock=clock) as (to, link, _, _):
        wait_until_up(link)
        to.send(row(0))
        to.send(row(1))  # both are on their way for ten times as long as they may
        wait_for(link, lambda: to.deliveries.left_out == 1)
        assert kept.volumes == []
        clock.advance(11 * FRESH)
        delivered(to, 1)
    assert kept.volumes == [("mine", 1)]
    assert "1 line not delivered" in caplog.text


def delivered(to: Across, count: int) -> None:
    """Wait until so many lines are known to be delivered."""
    wait_for(to._link, lambda: to.deliveries.delivered == count)


def test_late_lines_go_to_no_live_place_there():
    kept = Kept()
    with across(far_end.Live("pipe", "a pipe", kept)) as (to, _, _, _):
        to.send(row(0, status="late"))
        to.send(row(0))
        delivered(to, 1)
    assert kept.volumes == [("mine", 0)]


def test_it_is_known_when_a_line_was_delivered_and_of_which_run_and_experiment(tmp_path):
    with across(far_end.at_path(tmp_path / "out", 0)) as (to, link, _, _):
        wait_until_up(link)
        before = CLOCK.now()
        to.send(row(3))
        to.send(row(4, "other"))
        delivered(to, 2)
        found = to.deliveries.take("mine")
        assert [one.cells[:4] for one in found] == [["mine", 3, "ok", "file"]]
        assert before - 0.01 < found[0].delivered < CLOCK.now() + 0.01  # both clocks are this machine's
        assert to.deliveries.take("mine") == []
        assert to.deliveries.connection()["ClockUncertainty"] >= 0


def test_a_reader_that_has_gone_ends_the_feedback_and_not_the_run(tmp_path, caplog):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with across(far_end.at_path(pipe, 1)) as (to, _, _, _):
        os.close(reader)
        to.send(row(0))
        to._thread.join(PATIENCE)
        to.send(row(1))
    assert f"feedback to there ends here: the far side: {pipe}: its reader has gone" in caplog.text
    assert to.deliveries.delivered == 0


@pytest.mark.parametrize("scheme", ["udp", "tcp"])
def test_lines_leave_by_the_network_of_the_other_machine(scheme):
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if scheme == "udp" else socket.SOCK_STREAM)
    receiver.settimeout(PATIENCE)
    if scheme == "udp":
        receiver.bind(("127.0.0.1", 0))
    port = receiver.getsockname()[1] if scheme == "udp" else 0
    place = far_end.at_address(sockets.parse(f"{scheme}://:{port}"))
    with receiver, across(place) as (to, _, _, _):
        if scheme == "tcp":
            receiver.connect(("127.0.0.1", int(place.name.rpartition(":")[2])))
        to.send(row(7))
        assert json.loads(receiver.recv(1000))["volume"] == 7
