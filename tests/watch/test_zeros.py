"""Files of full length that end in zeros: the scanner's own are handed out at once, those of a writer at work are not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from rtbids.clock import ManualClock
from rtbids.convert.dicom import Instance, zero_rows
from rtbids.convert.pixels import stored
from rtbids.replay.scanner import Form, Phantom, dicoms
from rtbids.watch.directory import instances
from rtbids.watch.faults import Faults
from rtbids.watch.intake import Intake, Told

SIDE, SLICES = 16, 3
PHANTOM = Phantom(shape=(SIDE, SIDE, SLICES), voxel=(12.0, 12.0, 14.0), volumes=5)
RUN = list(dicoms(PHANTOM, "slices"))
MOSAICS = list(dicoms(PHANTOM))
PATIENCE = 5.0
ALL = SIDE  # rows


def emptied(content: bytes, rows: int) -> bytes:
    """A slice, or a mosaic as its writer left it, whose last rows are zero."""
    dataset = dcmread(BytesIO(content))
    size = rows * dataset.Columns * 2
    return content[:-size] + bytes(size)


def empty_end(content: bytes, size: int) -> bytes:
    """An image whose last `size` bytes are zero."""
    return content[:-size] + bytes(size)


def without_last_tile(content: bytes) -> bytes:
    """A mosaic of 4 x 4 tiles, the last of which is zero."""
    dataset = dcmread(BytesIO(content))
    size = dataset.Rows * dataset.Columns * 2
    picture = np.frombuffer(content[-size:], "<u2").reshape(dataset.Rows, dataset.Columns).copy()
    picture[-SIDE:, -SIDE:] = 0
    return content[:-size] + picture.tobytes()


@dataclass
class Watched:
    """A real folder, and what an intake has made of its files; time stands still."""

    folder: Path
    faults: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    written: float = 500.0  # POSIX seconds

    def __post_init__(self) -> None:
        self.clock = ManualClock(1000.0)
        self.intake = Intake(str(self.folder), "*", PATIENCE, Faults(self.faults), self.clock)

    def write(self, number: int, content: bytes) -> Path:
        """Write image `number` in place, no two at the same moment as the file system counts it."""
        path = self.folder / f"{number}.dcm"
        with path.open("r+b" if path.exists() else "wb") as file:
            file.write(content)
        self.written += 1.0
        os.utime(path, (self.written, self.written))
        return path

    def put(self, number: int, content: bytes, told: Told) -> list[int]:
        """Write an image and let the watch hear of it; return what is handed out."""
        return self.heard(self.write(number, content), told)

    def heard(self, path: Path, told: Told) -> list[int]:
        return self._came(self.intake.take(str(path), self.clock.now(), told))

    def after(self, seconds: float) -> list[int]:
        """Let time pass; return what is handed out."""
        return self._came(self.intake.overdue(self.clock.advance(seconds)))

    def end(self) -> list[int]:
        return self._came(self.intake.settle())

    def _came(self, images: Iterable[Instance]) -> list[int]:
        self.last = list(images)
        came = [int(image.dataset.InstanceNumber) for image in self.last]
        self.numbers += came
        return came


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_the_phantom_masks_nothing() -> None:
    assert {zero_rows(stored(dcmread(BytesIO(content)))[0]) for content in RUN} == {0}


@pytest.mark.parametrize("rows", [ALL, ALL // 2, ALL // 8 + 1])
def test_a_found_slice_that_ends_in_zeros_is_held_until_it_is_filled(watched: Watched, rows: int) -> None:
    assert watched.put(1, emptied(RUN[0], rows), Told.FOUND) == []
    assert watched.put(2, RUN[1], Told.FOUND) == [2]
    assert watched.put(1, RUN[0], Told.FOUND) == [1]
    assert bytes(watched.last[0].content) == RUN[0]
    assert watched.end() == []
    assert watched.faults == []


@pytest.mark.parametrize("rows", [ALL, ALL // 2])
def test_a_close_is_enough_for_a_slice_that_ends_in_zeros(watched: Watched, rows: int) -> None:
    for number, content in enumerate(RUN, start=1):
        assert watched.put(number, emptied(content, rows), Told.CLOSED) == [number]
    assert watched.faults == []


def test_a_held_slice_is_given_when_its_close_is_told_after_all(watched: Watched) -> None:
    assert watched.put(1, emptied(RUN[0], ALL), Told.FOUND) == []
    assert watched.heard(watched.folder / "1.dcm", Told.CLOSED) == [1]


@pytest.mark.parametrize("rows", [1, 2])
def test_a_row_or_two_of_zeros_are_no_reason_to_wait(watched: Watched, rows: int) -> None:
    """Every slice of GE ends so."""
    for number, content in enumerate(RUN, start=1):
        assert watched.put(number, emptied(content, rows), Told.FOUND) == [number]


def test_a_close_is_not_believed_of_a_slice_that_was_full_in_the_volumes_before(watched: Watched) -> None:
    """The writer closes, opens again and fills."""
    for number in range(1, 6):
        watched.put(number, RUN[number - 1], Told.CLOSED)
    assert watched.put(6, emptied(RUN[5], ALL // 2), Told.CLOSED) == []
    assert watched.put(6, RUN[5], Told.CLOSED) == [6]
    assert bytes(watched.last[0].content) == RUN[5]
    assert watched.faults == []


def test_a_slice_that_is_never_filled_is_given_before_patience_is_over_and_said_to_be_odd(watched: Watched) -> None:
    for number in range(1, 4):
        watched.put(number, RUN[number - 1], Told.FOUND)
    assert watched.put(6, emptied(RUN[5], ALL // 2), Told.FOUND) == []
    assert watched.after(0.7 * PATIENCE) == []
    assert watched.intake.due <= watched.clock.now() + 0.1 * PATIENCE + 1e-6
    assert watched.after(0.1 * PATIENCE) == [6]
    assert watched.faults == ["6.dcm: its last 8 of 16 rows are zero as in no volume before: taken as it is"]


def test_a_first_slice_that_stays_zero_is_the_scanners_and_nothing_is_said(watched: Watched) -> None:
    assert watched.put(1, emptied(RUN[0], ALL), Told.FOUND) == []
    assert watched.after(PATIENCE) == [1]
    assert watched.end() == []
    assert watched.faults == []


def test_a_held_slice_leaves_before_the_same_slice_of_the_next_volume(watched: Watched) -> None:
    """Else the next volume would be whole first, and this one given up."""
    for number in range(1, 6):
        watched.put(number, RUN[number - 1], Told.FOUND)
    assert watched.put(6, emptied(RUN[5], ALL), Told.FOUND) == []
    assert watched.put(7, RUN[6], Told.FOUND) == [7]
    assert watched.put(9, RUN[8], Told.FOUND) == [6, 9]
    assert len(watched.faults) == 1


def test_masked_slices_cost_one_volumes_wait_where_nothing_but_looks_tells(watched: Watched) -> None:
    rows = (ALL, ALL // 2, 0)  # of the three slices of every volume
    masked = [emptied(content, rows[place % SLICES]) if rows[place % SLICES] else content for place, content in enumerate(RUN)]
    came = [watched.put(number, content, Told.FOUND) for number, content in enumerate(masked, start=1)]
    assert came[: 2 * SLICES] == [[], [], [3], [1, 4], [2, 5], [6]]
    assert came[2 * SLICES :] == [[number] for number in range(2 * SLICES + 1, len(RUN) + 1)]
    assert watched.faults == []


def test_two_unfilled_slices_do_not_vouch_for_each_other_once_one_has_changed(watched: Watched) -> None:
    assert watched.put(1, emptied(RUN[0], ALL), Told.FOUND) == []
    watched.write(1, RUN[0])  # which the watch has yet to hear
    assert watched.put(4, emptied(RUN[3], ALL), Told.FOUND) == []
    assert watched.heard(watched.folder / "1.dcm", Told.FOUND) == [1]
    assert watched.put(4, RUN[3], Told.FOUND) == [4]
    assert bytes(watched.last[0].content) == RUN[3]


def test_a_copy_of_an_unfilled_file_does_not_vouch_for_it(watched: Watched) -> None:
    assert watched.put(1, emptied(RUN[0], ALL), Told.FOUND) == []
    assert watched.put(101, emptied(RUN[0], ALL), Told.FOUND) == []
    assert watched.put(1, RUN[0], Told.FOUND) == [1]
    watched.put(101, RUN[0], Told.FOUND)
    assert watched.end() == []
    assert watched.faults == ["101.dcm: a copy of an image already taken"]


def test_a_file_that_changes_after_it_was_taken_is_named_once_and_closes_count_no_more(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    assert watched.put(1, emptied(RUN[0], ALL), Told.CLOSED) == [1]
    watched.put(1, emptied(RUN[0], ALL // 2), Told.CLOSED)
    watched.put(1, RUN[0], Told.CLOSED)
    assert len(watched.faults) == 1
    assert watched.faults[0].startswith("1.dcm: changed after it was taken")
    assert [record.getMessage() for record in caplog.records] == watched.faults
    assert watched.put(2, emptied(RUN[1], ALL), Told.CLOSED) == []  # the first of its place, and not believed
    assert watched.put(2, RUN[1], Told.CLOSED) == [2]


def test_a_file_that_is_touched_or_written_again_as_it_was_has_not_changed(watched: Watched) -> None:
    assert watched.put(1, RUN[0], Told.CLOSED) == [1]
    assert watched.put(1, RUN[0], Told.CLOSED) == []
    assert watched.faults == []


@pytest.mark.parametrize(("age", "came"), [(PATIENCE + 1, [1]), (0.0, [])])
def test_of_files_there_at_the_start_only_those_just_written_are_doubted(watched: Watched, age: float, came: list[int]) -> None:
    path = watched.write(1, emptied(RUN[0], ALL))
    os.utime(path, (watched.clock.now() - age,) * 2)
    assert watched.heard(path, Told.BEFORE) == came
    assert watched.end() == ([] if came else [1])


@pytest.mark.parametrize("away", [Path.unlink, lambda path: path.rename(path.with_name("done.tmp"))])
def test_a_held_file_that_goes_away_is_not_lost(watched: Watched, away: Callable[[Path], object]) -> None:
    assert watched.put(1, emptied(RUN[0], ALL), Told.FOUND) == []
    away(watched.folder / "1.dcm")
    watched.heard(watched.folder / "1.dcm", Told.FOUND)
    assert watched.after(PATIENCE) == [1]
    assert watched.faults == []


def test_a_held_image_whose_name_is_used_again_is_not_lost(watched: Watched) -> None:
    watched.put(1, RUN[0], Told.CLOSED)
    assert watched.put(2, emptied(RUN[3], ALL), Told.CLOSED) == []
    watched.heard(watched.write(2, RUN[4]), Told.CLOSED)
    watched.end()
    assert watched.numbers == [1, 4, 5]


def test_a_held_file_is_followed_to_a_name_that_is_not_ours(watched: Watched) -> None:
    assert watched.put(1, emptied(RUN[0], ALL), Told.FOUND) == []
    old, new = watched.folder / "1.dcm", watched.folder / "1.dcm.part"
    old.rename(new)
    watched.intake.moved(str(old), str(new))
    assert watched.end() == [1]


def test_a_file_being_filled_when_time_is_over_is_read_again(watched: Watched) -> None:
    assert watched.put(1, emptied(RUN[0], ALL), Told.FOUND) == []
    watched.write(1, RUN[0])
    assert watched.end() == [1]
    assert bytes(watched.last[0].content) == RUN[0]


def test_volumes_that_are_filled_unheard_all_come_when_time_is_over(watched: Watched) -> None:
    numbers = range(1, len(RUN) + 1, SLICES)  # the first slice of each volume
    for number in numbers:
        assert watched.put(number, emptied(RUN[number - 1], 3 + number), Told.FOUND) == []  # no two alike
    for number in numbers:
        watched.write(number, RUN[number - 1])
    assert watched.end() == list(numbers)


def test_mosaics_whose_last_slice_is_zero_in_every_volume_are_the_scanners(watched: Watched) -> None:
    masked = [emptied(content, SIDE) for content in MOSAICS]  # the lower half of 2 x 2 tiles: the third of three slices
    assert watched.put(1, masked[0], Told.CLOSED) == []
    assert watched.put(2, masked[1], Told.CLOSED) == [1, 2]
    assert watched.put(3, masked[2], Told.CLOSED) == [3]
    assert watched.end() == []
    assert watched.faults == []


def test_one_mosaic_that_is_never_filled_is_left_out(watched: Watched) -> None:
    assert watched.put(1, MOSAICS[0], Told.CLOSED) == [1]
    assert watched.put(2, emptied(MOSAICS[1], SIDE), Told.CLOSED) == []
    assert watched.put(3, MOSAICS[2], Told.CLOSED) == [3]
    assert watched.after(PATIENCE) == []
    assert watched.faults == ["2.dcm: never filled, its last 16 of 32 rows are zero as in no volume before"]


@pytest.mark.parametrize("told", Told)
@pytest.mark.parametrize("form", ["mosaic", "enhanced"])
@pytest.mark.parametrize("unfilled", [0, 2, 4])
def test_a_volume_that_is_never_filled_is_left_out_where_all_end_in_an_empty_slice(
    watched: Watched, form: Form, told: Told, unfilled: int
) -> None:
    """Of the first two volumes nobody knows yet what is the scanner's, and the third shows it."""
    size = SIDE * SIDE * 2
    contents = [empty_end(content, 2 * size if form == "mosaic" else size) for content in dicoms(PHANTOM, form)]
    contents[unfilled] = empty_end(contents[unfilled], (3 if form == "mosaic" else 2) * size)
    for number, content in enumerate(contents):
        watched.put(number + 1, content, told)
    assert watched.end() == []
    assert watched.numbers == [number + 1 for number in range(5) if number != unfilled]
    (fault,) = watched.faults
    assert fault.startswith(f"{unfilled + 1}.dcm: never filled, its last ")


@pytest.mark.parametrize("told", [Told.CLOSED, Told.FOUND])
@pytest.mark.parametrize("form", ["mosaic", "enhanced"])
def test_a_volume_is_held_until_it_is_filled_where_all_end_in_an_empty_slice(watched: Watched, form: Form, told: Told) -> None:
    size = SIDE * SIDE * 2
    contents = [empty_end(content, 2 * size if form == "mosaic" else size) for content in dicoms(PHANTOM, form)]
    assert [watched.put(number, contents[number - 1], told) for number in (1, 2)] == [[], [1, 2]]
    unfilled = (3 if form == "mosaic" else 2) * size
    assert watched.put(3, empty_end(contents[2], unfilled), told) == []
    assert watched.put(4, empty_end(contents[3], unfilled), told) == []  # two of them do not vouch for each other
    assert watched.put(3, contents[2], told) == [3]
    assert bytes(watched.last[0].content) == contents[2]
    assert watched.put(4, contents[3], told) == [4]
    assert watched.faults == []


def test_a_head_that_leaves_the_last_slice_of_a_mosaic_costs_no_volume(watched: Watched) -> None:
    """The last of 16 tiles, 1 of 16 parts of the picture, is empty from the third volume on."""
    contents = list(dicoms(replace(PHANTOM, shape=(SIDE, SIDE, 16))))
    for number in (1, 2):
        assert watched.put(number, contents[number - 1], Told.CLOSED) == [number]
    empty = [without_last_tile(content) for content in contents]
    assert watched.put(3, empty[2], Told.CLOSED) == []
    assert watched.put(4, empty[3], Told.CLOSED) == [3, 4]
    assert watched.put(5, empty[4], Told.CLOSED) == [5]
    assert watched.faults == []


def test_a_picture_that_is_no_volume_of_a_run_is_not_lost_for_an_empty_edge(watched: Watched) -> None:
    """Correction of distortion leaves empty slices at the edges of anatomical images."""
    (content,) = dicoms(replace(PHANTOM, volumes=1), protocol="gre_field_map")
    assert watched.put(1, emptied(content, SIDE), Told.CLOSED) == []
    assert watched.after(PATIENCE) == [1]
    assert watched.faults == ["1.dcm: its last slice is all zero: taken as it is"]


@pytest.mark.parametrize("poll", [False, True])
def test_an_open_file_is_not_handed_out_before_it_is_filled(tmp_path: Path, poll: bool) -> None:
    """As `replay --zero` writes it: the name appears with its full length, and is closed when it is filled."""
    source = instances(tmp_path, poll=poll)
    (tmp_path / "1.dcm").write_bytes(RUN[0])
    assert next(source).dataset.InstanceNumber == 1
    with (tmp_path / "2.dcm").open("wb", buffering=0) as file:
        file.write(emptied(RUN[1], ALL))
        (tmp_path / "3.dcm").write_bytes(RUN[2])
        assert next(source).dataset.InstanceNumber == 3
        file.seek(0)
        file.write(RUN[1])
    assert bytes(next(source).content) == RUN[1]
    source.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("poll", [False, True])
def test_a_file_filled_after_it_was_taken_is_named(tmp_path: Path, poll: bool) -> None:
    faults: list[str] = []
    source = instances(tmp_path, poll=poll, patience=0.0, idle_timeout=1.0, faults=faults)
    (tmp_path / "1.dcm").write_bytes(emptied(RUN[0], ALL))
    assert next(source).dataset.InstanceNumber == 1
    (tmp_path / "1.dcm").write_bytes(RUN[0])
    (tmp_path / "2.dcm").write_bytes(RUN[1])
    assert [image.dataset.InstanceNumber for image in source] == [2]
    assert [fault.split(", ")[0] for fault in faults] == ["1.dcm: changed after it was taken"]


@pytest.mark.parametrize("name", ["ge_mr750_epirt", "ge_architect_groupdelay", "philips_classic_oneback", "canon_classic_dti"])
def test_real_slices_are_never_doubted(tmp_path: Path, real_data: Path, name: str) -> None:
    watched = Watched(tmp_path)
    files = sorted((real_data / name / "dicom").iterdir())
    assert all(len(watched.heard(path, Told.FOUND)) == 1 for path in files)
    assert watched.faults == []
