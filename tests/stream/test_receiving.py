"""What comes over a link to a place of this machine: once and in order, whatever was cut, and whoever began anew."""

from __future__ import annotations

import gc
import io
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from link_ends import AT_ONCE, PATIENCE, Keeper, Road, wait_for
from streamed import indices, run_of, same, units_of, volume

from rtbids.cli import receiving
from rtbids.errors import RtbidsError
from rtbids.stream import bidsi, fifo, linked, wire
from rtbids.stream.far import held
from rtbids.stream.link import Link, Spool, Terms, dial
from rtbids.stream.units import Unit


class Far:
    """A keeper in this process, and what it brings to a place."""

    def __init__(self, place: Path, terms: Terms = AT_ONCE, spool: Spool | None = None, **arguments: object) -> None:
        self.arguments = {"path": str(place), "sender": "me", **arguments}
        self.keeper = Keeper(terms=terms)
        self.road = Road(self.keeper)
        self.link = dial(self.road.connect, "receive", spool=spool, terms=AT_ONCE)
        self.errors: list[RtbidsError] = []
        self._serve()

    def _serve(self) -> None:
        self.far = self.keeper.link()
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()
        (ready,) = (self.link.take() or next(self.link.members()) for _ in range(1))
        assert ready.member.name == receiving.READY
        self.link.settle(ready.number)

    def _receive(self) -> None:
        try:
            receiving.receive(self.far, self.arguments)
        except RtbidsError as error:
            self.errors.append(error)
        finally:
            self.far.close(self.errors[-1] if self.errors else None)

    def begins_anew(self) -> None:
        """Lose the keeper, as by a kill, and go on with another one."""
        self.road.is_blocked.set()
        self.road.cut()
        lost = self.far
        self.keeper.lose()
        lost.close()
        self._thread.join(PATIENCE)
        self.road.is_blocked.clear()
        self._serve()

    def send(self, units: list[Unit]) -> None:
        for unit in units:
            linked.send(self.link, unit)

    def safe(self, units: list[Unit]) -> None:
        """Send, and wait until all is safe there."""
        self.send(units)
        wait_for(self.link, lambda: self.link.state.waiting_members == 0)

    def finish(self) -> None:
        self.link.finish(PATIENCE)
        assert list(self.link.members()) == []
        self.link.close()
        self._thread.join(PATIENCE)
        self.keeper.close()


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def of_tar(place: Path) -> list[int]:
    with place.open("rb", buffering=0) as file:
        return indices(bidsi.read(file))


def of_study(place: Path) -> list[int]:
    (file,) = place.rglob("*_bold.nii.gz")
    found = np.moveaxis(np.asarray(nibabel.load(file).dataobj), 3, 0)
    return [next(n for n in range(100) if np.array_equal(volume(n).data, one)) for one in found]


KINDS = {"x.tar": of_tar, "study": of_study}


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


@pytest.fixture
def read(place: Path) -> Callable[[], list[int]]:
    return lambda: KINDS[place.name](place)


def reading(pipe: Path) -> tuple[threading.Thread, list[bytes]]:
    found: list[bytes] = []

    def read() -> None:
        with fifo.open_reader(pipe, PATIENCE) as file:
            found.append(b"".join(iter(lambda: file.read(1 << 16), b"")))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread, found


def through_cuts(far: Far, units: list[Unit]) -> None:
    for number in range(20):
        far.link.wait_up(PATIENCE)
        far.send(units[number * len(units) // 20 : (number + 1) * len(units) // 20])
        far.road.cut()
        wait_for(far.link, lambda cuts=number: far.link.state.cuts > cuts)
    far.finish()


def test_through_twenty_cuts_each_volume_comes_once(place, read):
    through_cuts(Far(place), units_of(60))
    assert read() == list(range(60))


def test_through_twenty_cuts_the_reader_of_a_pipe_sees_one_stream(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    thread, found = reading(tmp_path / "pipe")
    through_cuts(Far(tmp_path / "pipe"), units_of(60))
    thread.join(PATIENCE)
    assert same(bidsi.read(io.BytesIO(found[0])), run_of(60))


def test_a_keeper_that_begins_anew_goes_on_and_a_sender_that_does_adds_nothing(place, read):
    units = units_of(12)
    far = Far(place)
    far.safe(units[:6])
    far.begins_anew()
    far.send(units)  # by a sender that was started again too
    far.finish()
    assert read() == list(range(12))
    assert not list(place.parent.rglob("begun.json"))


def test_a_keeper_that_is_lost_behind_the_end_mark_of_a_tar_keeps_the_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def lost(link: Link) -> None:
        raise RtbidsError("killed")

    far = Far(tmp_path / "x.tar")
    monkeypatch.setattr(far.far, "finish", lambda: lost(far.far))
    far.send(units_of(5))
    with pytest.raises(RtbidsError, match="killed"):
        far.finish()
    again = Far(tmp_path / "x.tar")
    again.finish()
    assert of_tar(tmp_path / "x.tar") == list(range(5))


def test_a_volume_that_comes_late_to_a_run_that_goes_on_breaks_nothing(place, read):
    units = units_of(10)
    far = Far(place)
    far.safe([unit for unit in units[:7] if unit.index != 2])
    far.begins_anew()
    far.send(units)
    far.finish()
    assert read() == [0, 1, *range(3, 10)]


def test_a_run_that_never_began_or_was_moved_away_holds_nobody_up(tmp_path: Path):
    study, units = tmp_path / "study", units_of(4)
    far = Far(study)
    far.safe([*units_of(4), *units_of(2, "02")[:-1]])
    far.begins_anew()
    for path in study.rglob("*run-02*"):
        path.rename(tmp_path / path.name)  # by the user
    far.begins_anew()
    far.send([*units, *units_of(3, "02")])
    far.finish()
    (file,) = study.rglob("*run-02_bold.nii.gz")
    assert nibabel.load(file).shape[3] == 3


def test_a_tar_that_another_source_left_unfinished_is_not_added_to(tmp_path: Path):
    far = Far(tmp_path / "x.tar")
    far.safe(units_of(3))
    far.far.close(RtbidsError("stopped"))
    far._thread.join(PATIENCE)
    before = (tmp_path / "x.tar").read_bytes()
    with pytest.raises(RtbidsError, match="is an unfinished stream of another source"):
        Far(tmp_path / "x.tar", sender="somebody else").finish()
    assert (tmp_path / "x.tar").read_bytes() == before


def test_the_volumes_of_a_tar_are_not_held_in_memory_by_who_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    far = Far(tmp_path / "x.tar")
    far.safe(units_of(40))
    alive: list[int] = []
    members = wire.members

    def counted(*arguments: object, **options: object) -> Iterator[wire.Member]:
        for member in members(*arguments, **options):
            alive.append(sum(isinstance(one, Unit) for one in gc.get_objects()))
            yield member

    monkeypatch.setattr(wire, "members", counted)
    far.begins_anew()
    far.finish()
    assert len(alive) > 80
    assert max(alive) - min(alive) < 10


def test_of_a_kept_source_that_nobody_reads_the_oldest_volumes_go_and_the_rest_comes_in_order():
    far = Far(Path("/scanner"), replace(AT_ONCE, most=4), Spool(memory=20_000, when_full="drop"), keep=True)
    for unit in units_of(60):
        linked.send(far.link, unit, may_drop=True)
    thread, found = reading(held.pipe("scanner"))
    far.finish()
    thread.join(PATIENCE)
    came = indices(bidsi.read(io.BytesIO(found[0])))
    assert came == sorted(came)
    assert came[-1] == 59
    assert far.link.state.dropped == 60 - len(came) > 0
