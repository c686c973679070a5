"""How long a script was silent, and whether a connection may be why."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from run.far_lanes import ANSWERS
from run.sessions import session, volume

from rtbids.clock import ManualClock
from rtbids.errors import ConnectionLost, ExperimentFault
from rtbids.run.far.way import EVERY, MUCH, QUIET, Flow, may_be_cut
from rtbids.run.process.channel import Channel
from rtbids.run.process.experiment_process import ExperimentProcess
from rtbids.run.process.host import Mapped, Reply, Stage
from rtbids.run.process.patience import LOADING
from rtbids.run.process.shared import Shared, kept
from rtbids.run.process.waiting import ROOM, Room
from rtbids.run.recipe import recipe
from rtbids.stream.link import State

NOW = 1000.0
UP = State(
    is_up=True, since=900.0, heard=NOW, cuts=0, renewed=0, problem="", attempts=0, sent=8, taken=8, safe=8, waiting_bytes=0,
    waiting_members=0, disk_bytes=0, dropped=0, round_trip=0.1, offset=0.0, uncertainty=0.05, bytes_out=0, bytes_in=0,
    throughput=None, compression="", far_version="",
)  # fmt: skip


class There:
    """What starts a script's process and is its place: the test speaks in its stead, and says until when the way held it up."""

    fileno, cut_since, connection = -1, None, None

    def __init__(self) -> None:
        self.way: dict[Stage, float] = {}

    def seat(self) -> There:
        return self

    def start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.channel = Channel(theirs)
        return ours

    def held_up(self, stage: Stage) -> float:
        return self.way.get(stage, 0.0)

    def was_cut(self, since: float) -> bool:
        return False

    def let_go(self, seconds: float = 0.0) -> None:
        self.channel.close()

    def wait(self, seconds: float) -> None:
        pass

    close = end = wait_for = lambda self: None


@pytest.fixture
def clock() -> ManualClock:
    made = ManualClock(NOW)
    made.offset = 0.0
    return made


@pytest.fixture
def there() -> There:
    return There()


@pytest.fixture
def process(tmp_path: Path, there: There, clock: ManualClock) -> Iterator[ExperimentProcess]:
    with closing(made(tmp_path, there, clock)) as process:
        yield process


def made(folder: Path, there: There, clock: ManualClock, room: Room = ROOM) -> ExperimentProcess:
    (folder / "one").mkdir()
    (folder / "one" / "experiment.py").write_text(ANSWERS)
    read = recipe.read(str(folder / "one"))
    return ExperimentProcess(read, lambda *one: False, lambda *one: None, launcher=there, clock=clock, room=room)


def say(there: There, process: ExperimentProcess, line: Mapping[str, Any], descriptor: int | None = None) -> list[Reply]:
    there.channel.send(line, descriptor)
    assert select.select([process], [], [], 20)[0]
    return process.replies()


def test_loading_is_counted_from_when_it_begins_there_not_from_when_its_files_are_sent(process, there, clock):
    assert (process.stage, process.silent_since) == ("starting", NOW)
    there.way["starting"] = clock.advance(300)  # as long as files cross
    assert process.silent_since == NOW + 300
    there.way["starting"] = clock.advance(10)
    clock.advance(5)
    say(there, process, {"say": "loading"})
    assert (process.stage, process.silent_since) == ("loading", NOW + 315)
    clock.advance(50)
    say(there, process, {"say": "ready", "process": 1})
    assert (process.stage, process.silent_since) == (None, None)


@pytest.mark.parametrize(
    ("cut_since", "kind", "words"),
    [(None, ExperimentFault, "not loaded within 120 s"), (NOW, ConnectionLost, "no connection to its machine for 120 s")],
)
def test_a_script_that_is_never_loaded_is_given_up_and_so_is_a_connection_that_never_comes_back(
    process, there, clock, cut_since, kind, words
):
    there.cut_since = cut_since
    clock.advance(LOADING)
    with pytest.raises(kind, match=words):
        process.wait_until_loaded()


def test_a_script_that_was_loaded_while_another_one_was_waited_for_is_loaded(process, there, clock):
    there.channel.send({"say": "loading"})
    there.channel.send({"say": "ready", "process": 1})
    clock.advance(2 * LOADING)
    process.wait_until_loaded()
    assert process.stage is None


def test_the_last_words_are_counted_from_the_latest_map_and_not_while_much_is_coming(process, there, clock):
    say(there, process, {"say": "ready", "process": 1})
    process.end(volume(0).entities)
    for _ in range(3):
        clock.advance(4)
        (reply,) = say(there, process, a_map(), descriptor := kept(memoryview(bytes(4 * 24))))
        os.close(descriptor)
        assert isinstance(reply, Mapped)
        assert (process.stage, process.silent_since) == ("end", clock.now())
    there.way["end"] = clock.advance(60)  # those of another experiment
    assert process.silent_since == NOW + 72


def a_map() -> Mapping[str, Any]:
    fields = {"entities": volume(0).entities, "contrast": "a", "statistic": "t", "fields": {}}
    return {"say": "map", **fields, "shape": (4, 3, 2), "affine": [float(place) for place in range(16)]}


@pytest.mark.parametrize(
    ("state", "given", "sent", "expected"),
    [
        (UP, NOW - 0.5, (7, NOW - 0.4), False),  # it has come there: the script is slow
        (UP, NOW - 0.5, (8, NOW - 0.4), True),  # it was sent, and has not
        (UP, NOW - 0.5, (8, NOW - 0.1), False),  # or it has, and the other side had no time to say so
        (UP, NOW - 0.5, None, False),
        (replace(UP, is_up=False, heard=None), NOW - 0.5, (7, NOW - 0.4), True),
        (replace(UP, cuts=1, since=NOW - 0.2), NOW - 0.5, (7, NOW - 0.4), True),
        (replace(UP, cuts=1, since=NOW - 0.7), NOW - 0.5, (7, NOW - 0.4), False),
        (replace(UP, heard=NOW - QUIET - 0.01), NOW - 0.5, (7, NOW - 0.4), True),
        (replace(UP, heard=NOW - QUIET + 0.01), NOW - 0.5, (7, NOW - 0.4), False),
    ],
)
def test_what_was_given_may_be_late_for_the_connection(state, given, sent, expected):
    assert may_be_cut(state, given, sent, NOW) is expected


def test_much_is_coming_as_long_as_there_is_more_than_heartbeats():
    flow = Flow()
    flow.note(NOW, 0)
    flow.note(NOW + EVERY, int(MUCH * EVERY) - 1)
    assert flow.latest == 0.0
    flow.note(NOW + 2 * EVERY, int(3 * MUCH * EVERY))
    assert flow.latest == NOW + 2 * EVERY
    flow.note(NOW + 2.1 * EVERY, 10**9)  # too soon to tell
    assert flow.latest == NOW + 2 * EVERY


@pytest.mark.parametrize("disk", [0, 5])
def test_where_nothing_is_to_be_dropped_the_source_is_held(tmp_path, there, clock, disk):
    room = Room(10 * volume(0).data.nbytes, disk * 4096, tmp_path / "spool", "block")
    running, lane = session([]), SimpleNamespace(outstanding=0)
    with closing(made(tmp_path, there, clock, room)) as lane.host:
        running.lanes = [lane]
        say(there, lane.host, {"say": "ready", "process": 1})
        for index in range(11 + disk):  # the first of them is with the script
            assert running._has_room()
            lane.host.offer(Shared(volume(index)))
        assert running._has_room()
        lane.host.offer(Shared(volume(11 + disk)))
        assert not running._has_room()
        assert lane.host.backlog == 11 + disk
        answer = {"say": "answer", "entities": volume(0).entities, "volume": 0, "value": 1, "answered": NOW, "analysed": NOW}
        say(there, lane.host, answer)
        assert running._has_room()
