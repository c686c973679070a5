"""A real folder, written to in every way that scanners do, and everything else that lies in such folders."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from listening import LONG, Listening

from rtbids.clock import CLOCK
from rtbids.convert.dicom import Instance
from rtbids.errors import BadData, InputMissing, NothingMatched
from rtbids.replay.scanner import Arrival, MosaicSeries, Phantom, dicoms, scan
from rtbids.wakeup import Wakeup
from rtbids.watch.directory import instances, latest_change

pytestmark = pytest.mark.alone

PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 14.0), volumes=6)
RUN = list(dicoms(PHANTOM))


class Intake(Listening):
    """A watch of a folder, and the images that it gave."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.instances: list[Instance] = []
        super().__init__(partial(instances, folder), **options)

    def take(self, instance: Instance) -> None:
        self.instances.append(instance)
        self.note(instance)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Intake]]:
    """Start a watch of tmp_path/dicom, with a short patience; stopped at the end of the test."""
    (tmp_path / "dicom").mkdir()
    started: list[Intake] = []

    def start(**options: Any) -> Intake:
        started.append(Intake(tmp_path / "dicom", **{"patience": 0.1, **options}))
        return started[-1]

    yield start
    for intake in started:
        intake.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "dicom"


def whole(folder: Path, **options: Any) -> list[int]:
    """Instance Numbers of what is there, without waiting."""
    return [int(instance.dataset.InstanceNumber) for instance in instances(folder, wait=False, **options)]


@pytest.mark.parametrize("poll", [False, True])
@pytest.mark.parametrize("how", ["rename", "in place", "hard link"])
def test_files_come_out_as_they_are_written(watch: Callable[..., Intake], folder: Path, how: Arrival, poll: bool) -> None:
    intake = watch(poll=poll)
    scan(RUN, folder, interval=0.01, how=how)
    assert sorted(intake.came(6)) == [1, 2, 3, 4, 5, 6]
    assert [bytes(instance.content) for instance in sorted(intake.instances, key=lambda one: one.name)] == RUN
    intake.stop()
    assert intake.faults == []


@pytest.mark.parametrize("how", ["rename", "in place", "hard link"])
def test_an_event_is_enough(watch: Callable[..., Intake], folder: Path, how: Arrival) -> None:
    intake = watch(poll=False)
    for count in range(1, 7):
        before = CLOCK.now()
        scan(RUN[count - 1 : count], folder, interval=0, how=how, number=count)
        assert intake.came(count)[-1] == count
        assert before <= intake.instances[-1].received <= CLOCK.now()
        assert CLOCK.now() - before < 1.5, "found by the look every 2 s, not by an event"


def test_a_slow_writer_is_waited_for(watch: Callable[..., Intake], folder: Path) -> None:
    intake = watch(poll=False)
    with (folder / "slow.dcm").open("wb", buffering=0) as file:
        file.write(RUN[0][:-500])
        (folder / "other.dcm").write_bytes(RUN[1])
        assert intake.came(1) == [2]
        half = CLOCK.now()
        file.write(RUN[0][-500:])
    assert intake.came(2) == [2, 1]
    assert intake.instances[1].received > half
    intake.stop()
    assert intake.faults == []


def test_a_writer_that_closes_and_goes_on_later_is_waited_for(watch: Callable[..., Intake], folder: Path) -> None:
    intake = watch(poll=False)
    (folder / "twice.dcm").write_bytes(RUN[0][:3000])
    (folder / "other.dcm").write_bytes(RUN[1])
    intake.came(1)
    with (folder / "twice.dcm").open("ab") as file:
        file.write(RUN[0][3000:])
    assert intake.came(2) == [2, 1]
    assert bytes(intake.instances[1].content) == RUN[0]


def test_polling_waits_until_a_file_stays_as_it_is(watch: Callable[..., Intake], folder: Path) -> None:
    intake = watch(poll=True, patience=LONG)
    with (folder / "slow.dcm").open("wb", buffering=0) as file:
        file.write(RUN[0][:3000])
        (folder / "other.dcm").write_bytes(RUN[1])
        assert intake.came(1) == [2]
        file.write(RUN[0][3000:])
    assert intake.came(2) == [2, 1]


def test_files_moved_from_another_folder_come_out(watch: Callable[..., Intake], folder: Path, tmp_path: Path) -> None:
    intake = watch(poll=False)
    (tmp_path / "spool.dcm").write_bytes(RUN[3])
    (tmp_path / "spool.dcm").rename(folder / "arbitrary name, no ending")
    assert intake.came(1) == [4]
    assert intake.instances[0].name == "arbitrary name, no ending"


@pytest.mark.parametrize("poll", [False, True])
def test_a_subfolder_that_appears_is_watched_and_what_is_in_it_taken_in_order(
    watch: Callable[..., Intake], folder: Path, tmp_path: Path, poll: bool
) -> None:
    intake = watch(poll=poll)
    scan(reversed(RUN[:4]), tmp_path_with(tmp_path, "ready/deep"), interval=0)
    (tmp_path / "ready").rename(folder / "study")
    assert intake.came(4) == [1, 2, 3, 4]
    (folder / "study" / "deep" / "5.dcm").write_bytes(RUN[4])
    assert intake.came(5)[-1] == 5
    (folder / "study" / "deeper").mkdir()
    (folder / "study" / "deeper" / "6.dcm").write_bytes(RUN[5])
    assert intake.came(6)[-1] == 6
    assert intake.instances[-1].name == "6.dcm"  # folders may be named by patient and date


def tmp_path_with(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir(parents=True)
    return tmp_path / name


def test_what_is_said_of_a_file_leaves_out_its_folder_which_may_name_a_patient(folder: Path) -> None:
    place = folder / "20240101.DOE_JANE"
    place.mkdir(parents=True)
    (place / "1.dcm").write_bytes(RUN[0])
    (place / "2.dcm").write_bytes(b"not an image")
    faults: list[str] = []
    (only,) = instances(folder, wait=False, faults=faults)
    assert only.name == "1.dcm"
    assert faults == ["2.dcm: not a DICOM file"]


def test_a_folder_that_is_renamed_is_followed_and_nothing_taken_twice(watch: Callable[..., Intake], folder: Path) -> None:
    (folder / "before").mkdir()
    intake = watch(poll=False)
    (folder / "before" / "1.dcm").write_bytes(RUN[0])
    intake.came(1)
    (folder / "before").rename(folder / "after")
    (folder / "after" / "2.dcm").write_bytes(RUN[1])
    assert intake.came(2) == [1, 2]
    assert intake.instances[1].name == "2.dcm"
    intake.stop()
    assert intake.faults == []


def test_existing_files_come_first_in_the_order_of_acquisition(watch: Callable[..., Intake], folder: Path) -> None:
    series = MosaicSeries(PHANTOM.shape, PHANTOM.affine, 2.0, number=12)
    for place, index in enumerate([5, 3, 1, 0, 2, 4]):
        (folder / f"{place}.dcm").write_bytes(RUN[index])
    (folder / "0-later-series").write_bytes(series.dicom(PHANTOM.volume(0), 0))
    intake = watch()
    assert intake.came(7) == [1, 2, 3, 4, 5, 6, 1]
    assert intake.instances[-1].dataset.SeriesNumber == 12


def test_files_that_were_there_before_are_read_when_their_turn_comes(folder: Path) -> None:
    """So that memory does not grow with the folder."""
    folder.mkdir()
    scan(RUN, folder, interval=0)
    source = instances(folder, wait=False)
    first = next(source)
    assert first.name == "001_000007_000001.dcm"
    for path in sorted(folder.iterdir())[2:]:
        path.write_bytes(b"no longer an image")
    assert [instance.name for instance in source] == ["001_000007_000002.dcm"]


def test_only_what_was_there_before_comes_at_no_pace(watch: Callable[..., Intake], folder: Path) -> None:
    (folder / "1.dcm").write_bytes(RUN[0])
    intake = watch()
    intake.came(1)
    (folder / "2.dcm").write_bytes(RUN[1])
    intake.came(2)
    assert [instance.paced for instance in intake.instances] == [False, True]


def test_new_only_leaves_existing_files_alone_under_any_name(watch: Callable[..., Intake], folder: Path) -> None:
    (folder / "old.dcm").write_bytes(RUN[0])
    intake = watch(existing=False)
    (folder / "old.dcm").rename(folder / "renamed.dcm")
    (folder / "new.dcm").write_bytes(RUN[1])
    assert intake.came(1) == [2]
    intake.stop()
    assert intake.numbers == [2]


def test_new_only_takes_what_changed_since_a_moment(watch: Callable[..., Intake], folder: Path) -> None:
    (folder / "old.dcm").write_bytes(RUN[0])
    since, new = latest_change(folder), folder / "new.dcm"
    new.write_bytes(RUN[1])
    while new.stat().st_ctime_ns <= since:  # a disk's clock may tick by milliseconds
        new.write_bytes(RUN[1])
    intake = watch(existing=False, since=since)
    assert intake.came(1) == [2]
    intake.stop()
    assert intake.numbers == [2]


def test_new_only_takes_a_file_that_was_being_written_at_the_start(watch: Callable[..., Intake], folder: Path) -> None:
    with (folder / "growing.dcm").open("wb", buffering=0) as file:
        file.write(RUN[0][:4000])
        intake = watch(existing=False)
        file.write(RUN[0][4000:])
    assert intake.came(1) == [1]


@pytest.mark.parametrize("poll", [False, True])
def test_a_truncated_file_is_named_once_and_taken_when_it_becomes_whole(
    watch: Callable[..., Intake], folder: Path, poll: bool, caplog: pytest.LogCaptureFixture
) -> None:
    intake = watch(poll=poll)
    (folder / "truncated.dcm").write_bytes(RUN[0][:-700])
    intake.until(lambda: len(intake.faults) == 1)
    expected = 2 * 9 * 16 * 16
    assert intake.faults[0].startswith("truncated.dcm: ")
    assert f"{expected - 700} of {expected} bytes" in intake.faults[0]
    assert [record.getMessage() for record in caplog.records].count(f"left out: {intake.faults[0]}") == 1
    (folder / "truncated.dcm").write_bytes(RUN[0])
    assert intake.came(1) == [1]
    intake.stop()
    assert intake.faults == []


def test_a_file_that_was_given_its_length_but_not_its_content_is_not_taken(watch: Callable[..., Intake], folder: Path) -> None:
    intake = watch(poll=False)
    tail = len(RUN[0]) - 2000
    (folder / "preallocated.dcm").write_bytes(RUN[0][:tail] + bytes(2000))
    (folder / "nothing-yet.dcm").write_bytes(bytes(len(RUN[0])))
    intake.until(lambda: len(intake.faults) == 2)
    assert sorted(fault.split(":")[0] for fault in intake.faults) == ["nothing-yet.dcm", "preallocated.dcm"]
    with (folder / "preallocated.dcm").open("r+b") as file:
        file.seek(tail)
        file.write(RUN[0][tail:])
    assert intake.came(1) == [1]
    intake.until(lambda: len(intake.faults) == 1)


def test_every_kind_of_bad_file_is_named_and_the_good_ones_are_taken(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir()
    (folder / "good.dcm").write_bytes(RUN[0])
    (folder / "notes.txt").write_text("not a DICOM file at all, " * 40)
    (folder / "empty.dcm").touch()
    (folder / "folder.dcm").mkdir()
    (folder / "nowhere.dcm").symlink_to(tmp_path / "nowhere")
    (folder / "short.dcm").write_bytes(RUN[1][:200])
    (folder / "copy.dcm").write_bytes(RUN[0])
    os.mkfifo(folder / "pipe.dcm")
    faults: list[str] = []
    with caplog.at_level(logging.WARNING, "rtbids"):
        assert whole(folder, faults=faults) == [1]
    assert sorted(fault.split(": ")[0] for fault in faults) == [
        "empty.dcm",
        "good.dcm",  # comes after its copy: of equal images the first name is taken
        "notes.txt",
        "nowhere.dcm",
        "short.dcm",
    ]
    assert sorted(record.getMessage() for record in caplog.records) == sorted(f"left out: {fault}" for fault in faults)


def test_a_file_that_may_not_be_read_is_named_and_taken_once_it_may(watch: Callable[..., Intake], folder: Path) -> None:
    (folder / "closed.dcm").write_bytes(RUN[0])
    (folder / "closed.dcm").chmod(0)
    if os.access(folder / "closed.dcm", os.R_OK):
        pytest.skip("this user may read every file")
    intake = watch(poll=True)
    intake.until(lambda: intake.faults == ["closed.dcm: cannot be read (Permission denied)"])
    (folder / "closed.dcm").chmod(0o600)
    assert intake.came(1) == [1]
    assert intake.faults == []


def test_a_copy_under_another_name_is_dropped_with_a_warning(watch: Callable[..., Intake], folder: Path) -> None:
    intake = watch(poll=False)
    (folder / "a.dcm").write_bytes(RUN[0])
    intake.came(1)
    (folder / "b.dcm").write_bytes(RUN[0])
    intake.until(lambda: intake.faults == ["b.dcm: a copy of an image already taken"])
    (folder / "c.dcm").write_bytes(RUN[1])
    assert intake.came(2) == [1, 2]


def test_the_same_file_under_a_new_name_or_with_a_new_date_is_no_copy(watch: Callable[..., Intake], folder: Path) -> None:
    intake = watch(poll=True)
    (folder / "a.dcm").write_bytes(RUN[0])
    intake.came(1)
    (folder / "a.dcm").rename(folder / "b.dcm")
    os.utime(folder / "b.dcm", (1e9, 1e9))
    os.link(folder / "b.dcm", folder / "c.dcm")
    (folder / "d.dcm").write_bytes(RUN[1])
    assert intake.came(2) == [1, 2]


def test_one_name_used_again_and_again_gives_every_volume(watch: Callable[..., Intake], folder: Path) -> None:
    intake = watch(poll=False)
    for count, content in enumerate(RUN, start=1):
        (folder / ".next").write_bytes(content)
        (folder / ".next").rename(folder / "latest.dcm")
        assert intake.came(count)[-1] == count


def test_unfinished_names_are_waited_for_until_they_are_renamed(watch: Callable[..., Intake], folder: Path) -> None:
    intake = watch(poll=False)
    for name in (".hidden.dcm", "1.dcm.part", "1.dcm.PARTIAL", ".tmpA1", "1.tmp"):
        (folder / name).write_bytes(RUN[0])
    (folder / "2.dcm").write_bytes(RUN[1])
    assert intake.came(1) == [2]
    (folder / "1.dcm.part").rename(folder / "1.dcm")
    assert intake.came(2) == [2, 1]


def test_a_file_renamed_before_it_could_be_read_is_not_reported_as_gone(folder: Path) -> None:
    """The writer closes under one name and renames at once: both events wait in the queue, the first name is gone."""
    folder.mkdir()
    faults: list[str] = []
    source = instances(folder, poll=False, idle_timeout=0.3, patience=0.05, faults=faults)
    (folder / "0.dcm").write_bytes(RUN[0])
    next(source)  # the watch is on and stands still
    (folder / "scratch").write_bytes(RUN[1])
    (folder / "scratch").rename(folder / "final.dcm")
    (folder / "away.dcm").write_bytes(RUN[2])
    (folder / "away.dcm").unlink()
    assert [instance.name for instance in source] == ["final.dcm"]
    assert faults == ["away.dcm: gone before it could be read"]


def test_only_names_that_match_the_pattern_are_taken(watch: Callable[..., Intake], folder: Path) -> None:
    intake = watch(pattern="001_*.dcm")
    (folder / "002_1.dcm").write_bytes(RUN[0])
    (folder / "001_2.dcm").write_bytes(RUN[1])
    assert intake.came(1) == [2]
    intake.stop()
    assert intake.numbers == [2]
    assert intake.faults == []


def test_a_thousand_foreign_files_are_summarised_and_hold_nothing_up(
    watch: Callable[..., Intake], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1000):
        (folder / f"note-{number:04}.txt").write_text("x" * 200)
    intake = watch(poll=False)
    (folder / "1.dcm").write_bytes(RUN[0])
    intake.came(1)
    intake.stop()
    assert len(intake.faults) == 6
    assert intake.faults[-1] == "995 more files that are no DICOM images"
    assert len(caplog.records) == 6


def test_the_end_comes_when_no_file_has_come_for_long_enough(watch: Callable[..., Intake], folder: Path) -> None:
    intake = watch(idle_timeout=0.3)
    began = CLOCK.now()
    (folder / "1.dcm").write_bytes(RUN[0])
    intake.ended()
    assert intake.numbers == [1]
    assert CLOCK.now() - began >= 0.3
    assert intake.error is None


def test_without_waiting_the_end_comes_after_what_is_there(folder: Path) -> None:
    folder.mkdir()
    scan(RUN, folder, interval=0)
    assert whole(folder) == [1, 2, 3, 4, 5, 6]


def test_stop_hands_out_what_is_complete_and_ends(watch: Callable[..., Intake], folder: Path) -> None:
    intake = watch(poll=True, patience=LONG)
    (folder / "1.dcm").write_bytes(RUN[0])
    intake.came(1)
    (folder / "2.dcm").write_bytes(RUN[1])
    (folder / "3.dcm").write_bytes(RUN[2][:-10])
    intake.stop()  # before a second look could have found that the files stay as they are
    assert intake.numbers == [1, 2]
    assert [fault.split(":")[0] for fault in intake.faults] == ["3.dcm"]


def test_stop_ends_the_reading_of_files_that_were_there_before(folder: Path) -> None:
    folder.mkdir()
    scan(RUN, folder, interval=0)
    stop = Wakeup()
    source = instances(folder, stop=stop)
    next(source)
    stop.set()
    assert list(source) == []


def test_a_single_file_is_a_source_of_one(folder: Path) -> None:
    folder.mkdir()
    (folder / "1.dcm").write_bytes(RUN[0])
    assert whole(folder / "1.dcm") == [1]


def test_a_folder_that_is_not_there_is_said(folder: Path) -> None:
    with pytest.raises(InputMissing, match="dicom"):
        whole(folder)


def test_an_empty_folder_is_an_error_only_where_nothing_is_waited_for(folder: Path) -> None:
    folder.mkdir()
    assert list(instances(folder, idle_timeout=0.05)) == []
    with pytest.raises(InputMissing, match="empty folder"):
        whole(folder)


def test_a_pattern_that_no_file_matches_is_said_with_their_number(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir()
    scan(RUN, folder, interval=0)
    expected = f"{folder}: found 6 files, and no name that matches *.IMA"
    with pytest.raises(NothingMatched, match=re.escape(expected)):
        whole(folder, pattern="*.IMA")
    assert list(instances(folder, pattern="*.IMA", idle_timeout=0.05)) == []
    assert [record.getMessage() for record in caplog.records] == [f"{expected}, as yet"]


def test_a_folder_of_unfinished_names_is_not_called_empty(folder: Path) -> None:
    folder.mkdir()
    (folder / "1.dcm.part").write_bytes(RUN[0])
    with pytest.raises(InputMissing, match="found 1 file with unfinished or hidden names only"):
        whole(folder)


def test_a_file_whose_name_may_tell_a_patient_is_found_by_its_inode(folder: Path) -> None:
    folder.mkdir()
    path = folder / "Doe Jane.dcm"
    path.write_bytes(RUN[0][:-100])
    faults: list[str] = []
    with pytest.raises(BadData):
        whole(folder, faults=faults)
    assert faults[0].startswith(f"….dcm (inode {path.stat().st_ino}): ")


@pytest.mark.parametrize("options", [{"wait": False}, {"idle_timeout": 0.05}])
def test_nothing_but_bad_files_is_an_error_that_names_one(folder: Path, options: dict[str, Any]) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("nothing of use")
    with pytest.raises(BadData, match=r"none among 1 file \(first: notes.txt: not a DICOM file\)"):
        list(instances(folder, **options))


def test_a_lost_event_is_made_up_for_by_looking(watch: Callable[..., Intake], folder: Path) -> None:
    """More events than the kernel queues while the consumer is busy: the file behind them has none."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 50_000:
        pytest.skip(f"the kernel queues {limit} events here: too many to overflow in a test")
    source = instances(folder, poll=False)
    (folder / "1.dcm").write_bytes(RUN[0])
    assert next(source).name == "1.dcm"
    for number in range(limit // 2 + 10):  # made and closed: two events each
        (folder / f"{number}.tmp").touch()
    (folder / "2.dcm").write_bytes(RUN[1])
    began = CLOCK.now()
    assert next(source).name == "2.dcm"
    assert CLOCK.now() - began < 10.0


def test_a_folder_that_goes_away_and_comes_back_is_watched_again(watch: Callable[..., Intake], folder: Path) -> None:
    intake = watch(poll=True)
    (folder / "1.dcm").write_bytes(RUN[0])
    intake.came(1)
    shutil.rmtree(folder)
    intake.until(lambda: len(intake.faults) == 1)
    assert intake.faults[0].startswith("the watched folder itself: cannot be listed")
    folder.mkdir()
    (folder / "2.dcm").write_bytes(RUN[1])
    assert intake.came(2) == [1, 2]


def test_the_mode_is_told_in_words(watch: Callable[..., Intake]) -> None:
    assert watch(poll=False).modes == ["events (inotify)"]
    assert watch(poll=True).modes == ["polling every 0.2 s (asked for)"]


def test_real_files_come_out_and_the_truncated_one_does_not(real_data: Path) -> None:
    faults: list[str] = []
    (instance,) = instances(real_data / "broken_files", wait=False, faults=faults)
    assert instance.name == "001_000013_000005.dcm"
    assert len(faults) == 1
    assert "trunc_001_000013_000005.dcm" in faults[0]
    assert "of 294912 bytes" in faults[0]
