"""Raw files that are not there any more: a share that is away is waited for, a file that somebody removed is not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from send.outbox_parts import blank, folder_of

from rtbids.clock import ManualClock
from rtbids.send import owners
from rtbids.send.claims import claim_images
from rtbids.send.cleaning import Cleaner
from rtbids.send.found import Found
from rtbids.send.outbox import Outbox
from rtbids.send.reach import AGAIN, AWAY, AWAY_LONGEST, GONE, GRACE, Reach
from rtbids.send.settings import Settings
from rtbids.send.states import State
from rtbids.send.work import Work

NOW = 1_800_000_000.0


class Bench:
    """An outbox with one worker that de-identifies, whose clock stands still until it is told."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(NOW)
        self.share = folder / "share"
        self.root = self.share / "export"
        self.found = folder_of(self.root / "series", range(3))
        self.outbox = Outbox.open(folder / "outbox", clock=self.clock)
        self.outbox.owner = owners.enter(self.outbox.database, NOW)
        self.work = Work(self.outbox)
        self.cleaner = Cleaner(self.outbox, blank, Settings(watermark=0, source=self.root), self.work)
        assert self.outbox.add(self.found) == 1

    def pass_time(self, seconds: float) -> None:
        until = self.clock.now() + seconds
        while self.clock.now() < until:
            self.clock.advance(1.0)
            self.cleaner.step()

    @property
    def images(self) -> dict[State, int]:
        return {state: count for state, count in self.outbox.status().images.items() if count}

    @property
    def reasons(self) -> set[str | None]:
        return {image.reason for image in self.outbox.show(1).images}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.work.close()
    made.outbox.close()


def test_images_whose_folder_was_removed_are_in_error_after_a_short_grace(bench: Bench) -> None:
    shutil.rmtree(bench.found.root)
    bench.pass_time(GRACE - AGAIN)
    assert (bench.images, bench.reasons) == ({State.PROCESSING: 3}, {GONE})
    bench.pass_time(3 * AGAIN)
    assert (bench.images, bench.reasons) == ({State.ERROR: 3}, {GONE})


def test_the_grace_is_not_used_up_by_what_held_images_up_before(bench: Bench, tmp_path: Path) -> None:
    bench.share.rename(tmp_path / "away")
    bench.pass_time(10 * GRACE)
    assert (bench.images, bench.reasons) == ({State.PROCESSING: 3}, {AWAY})
    bench.root.mkdir(parents=True)
    bench.pass_time(GRACE - 1)  # whenever the first look comes, its grace is not over; each is looked for in AWAY_LONGEST
    assert bench.images == {State.PROCESSING: 3}
    bench.pass_time(AWAY_LONGEST + GRACE + 2 * AGAIN)
    assert (bench.images, bench.reasons) == ({State.ERROR: 3}, {GONE})


def test_a_share_that_is_away_is_waited_for_and_said(bench: Bench, tmp_path: Path) -> None:
    bench.share.rename(tmp_path / "away")
    bench.pass_time(600)
    assert (bench.images, bench.work.paused) == ({State.PROCESSING: 3}, AWAY)
    (tmp_path / "away").rename(bench.share)
    bench.pass_time(AWAY_LONGEST + 1)
    assert (bench.images, bench.work.paused) == ({State.DONEPROCESSING: 3}, None)


def test_an_empty_mount_point_is_a_share_that_is_away(bench: Bench) -> None:
    [raw] = claim_images(bench.outbox, 1)
    assert Reach.of(bench.root).has(raw)
    assert not Reach(bench.root, device=-1).has(raw)  # as of another file system than now


def test_a_batch_of_another_source_is_waited_for_while_its_own_place_is_away(bench: Bench, tmp_path: Path) -> None:
    other = folder_of(tmp_path / "other" / "export" / "series", [7])
    bench.outbox.add(other)
    (tmp_path / "other").rename(tmp_path / "away")
    bench.pass_time(2 * GRACE)
    assert bench.images == {State.DONEPROCESSING: 3, State.PROCESSING: 1}
    (tmp_path / "away").rename(tmp_path / "other")
    bench.pass_time(AWAY_LONGEST + 1)
    assert bench.images == {State.DONEPROCESSING: 4}


@pytest.mark.parametrize("late", [False, True], ids=["in the grace", "after it"])
def test_a_folder_that_is_found_under_another_name_goes_on(bench: Bench, late: bool) -> None:
    new = bench.root / "renamed"
    bench.found.root.rename(new)
    bench.pass_time(2 * GRACE if late else GRACE / 2)
    assert bench.images == {State.ERROR if late else State.PROCESSING: 3}
    files = tuple(new / file.name for file in bench.found.files)
    assert bench.outbox.add(Found("renamed", new, files, renamed_from=bench.found.root)) is None
    bench.pass_time(AGAIN + 1)
    assert bench.images == {State.DONEPROCESSING: 3}


def test_a_link_to_nothing_is_said_to_be_one(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    os.symlink("/nowhere", folder / "1.dcm")
    number = bench.outbox.add(Found("links", folder, (), broken=((folder / "1.dcm", "a link to nothing"),)))
    bench.pass_time(1)
    assert [image.reason for image in bench.outbox.show(number).images] == ["a link to nothing"]
    assert bench.outbox.add(Found("links", folder, (), broken=((folder / "1.dcm", "a link to nothing"),))) is None


@pytest.mark.parametrize("late", [False, True], ids=["in the grace", "after it"])
def test_a_folder_whose_new_name_nobody_saw_come_is_known_by_what_lies_in_it(
    bench: Bench, late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    new = bench.root / "renamed"
    bench.cleaner.step()
    added = folder_of(bench.found.root, range(3, 6))
    assert bench.outbox.add(added) == 2
    bench.found.root.rename(new)
    bench.pass_time(2 * GRACE if late else GRACE / 2)
    assert bench.images == {State.DONEPROCESSING: 3, State.ERROR if late else State.PROCESSING: 3}
    files = tuple(sorted(new.iterdir()))
    caplog.clear()
    assert bench.outbox.add(Found("renamed", new, files)) is None
    bench.pass_time(AGAIN + 1)
    assert bench.images == {State.DONEPROCESSING: 6}
    assert caplog.messages == []


@pytest.mark.parametrize("change", ["another file", "a file less", "times of whole seconds", "the folder is there"])
def test_a_folder_that_may_be_another_is_a_batch_of_its_own(bench: Bench, change: str, tmp_path: Path) -> None:
    new = bench.root / "new"
    if change == "times of whole seconds":
        for file in bench.found.files:
            os.utime(file, (1e9, 1e9))
        bench.outbox.close()
        bench.outbox = Outbox.open(tmp_path / "other", clock=bench.clock)
        bench.outbox.add(bench.found)
    shutil.copytree(bench.found.root, new)
    if change != "the folder is there":
        shutil.rmtree(bench.found.root)
    if change == "another file":
        os.utime(new / "0001.dcm")
    if change == "a file less":
        (new / "0001.dcm").unlink()
    assert bench.outbox.add(Found("new", new, tuple(sorted(new.iterdir())))) == 2
