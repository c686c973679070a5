"""Series of one file a slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from assembly import Scanner
from slices import SHAPE, canon, expected, ge, read, slice_file, xa_export

from rtbids.convert.dicom import Instance

PLACES = range(SHAPE[2])
Make = Callable[[int, int], Instance]


def run(make: Make, volumes: int) -> list[Instance]:
    return [make(volume, place) for volume in range(volumes) for place in PLACES]


@pytest.mark.parametrize("make", [ge, canon, xa_export])
def test_slices_become_volumes_in_place(make: Make) -> None:
    scanner = Scanner().send(*run(make, 3)).finish()
    assert scanner.indices == [0, 1, 2]
    for volume in scanner.volumes:
        np.testing.assert_array_equal(volume.data, expected(volume.index))
    # closed form: columns 2.5 mm to the left, rows 2 mm upwards from y = 3 - 3 * 2, slices from z = -7
    wanted = [[-2.5, 0, 0, 4], [0, 2, 0, -3], [0, 0, 3.5, -7], [0, 0, 0, 1]]
    np.testing.assert_array_equal(scanner.volumes[0].affine, wanted)
    assert len(scanner.ends) == 1


@pytest.mark.parametrize("make", [ge, canon])
@pytest.mark.parametrize("seed", range(5))
def test_slices_may_arrive_in_any_order(make: Make, seed: int) -> None:
    files: Any = run(make, 4)
    np.random.default_rng(seed).shuffle(files)
    scanner = Scanner().send(*files).finish()
    assert scanner.indices == [0, 1, 2, 3]
    for volume in scanner.volumes:
        np.testing.assert_array_equal(volume.data, expected(volume.index))


def test_a_volume_leaves_with_its_last_slice() -> None:
    scanner = Scanner()
    for place in PLACES:
        assert scanner.items == []
        scanner.send(ge(0, place))
    assert scanner.indices == [0]


def test_a_volume_without_one_slice_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    scanner = Scanner()
    scanner.send(*(one for one in run(ge, 3) if one.name != f"ge-{SHAPE[2] + 3}"))
    assert scanner.indices == [0]
    scanner.wait(1.1)
    assert scanner.indices == [0, 2]
    scanner.finish()
    assert scanner.ends[0].missing == (1,)
    assert "volume 1 of sub-01_task-rest_run-01 is incomplete and left out: 5 of 6 slices, none at 3" in caplog.messages


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ([(1, 2), (1, 5)], "4 of 6 slices, none at 3, 6"),  # the first volume tells where the last slice is
        ([(0, 2), (0, 5)], "4 of 6 slices, none at 3 and at the ends"),
    ],
)
def test_all_slices_that_a_volume_lacks_are_named(
    lost: list[tuple[int, int]], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    files = [(volume, place) for volume in range(1 + lost[0][0]) for place in PLACES]
    Scanner().send(*(ge(*one) for one in files if one not in lost)).finish()
    assert any(text.endswith(said) for text in caplog.messages)


def test_slices_without_an_orientation_are_refused_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    files = run(lambda volume, place: ge(volume, place, ImageOrientationPatient=[0] * 6), 3)
    assert not Scanner().send(*files).finish().volumes
    (said,) = caplog.messages
    assert "ImageOrientationPatient tells no orientation" in said


def test_the_last_volume_of_an_interrupted_run_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    scanner = Scanner().send(*run(ge, 3)[:-2]).finish()
    assert scanner.indices == [0, 1]
    assert (scanner.ends[0].count, scanner.ends[0].missing) == (2, (2,))
    assert any("4 of 6 slices" in text for text in caplog.messages)


def test_a_series_of_which_no_volume_is_whole_makes_no_run(caplog: pytest.LogCaptureFixture) -> None:
    scanner = Scanner().send(*(ge(0, place) for place in (0, 1, 2))).finish()
    assert scanner.items == []
    assert any("no whole volume came, only 3 of 6 slices" in text for text in caplog.messages)


def test_a_single_volume_without_a_slice_count_is_whole_at_the_end() -> None:
    scanner = Scanner().send(*run(canon, 1))
    assert scanner.items == []
    scanner.finish()
    np.testing.assert_array_equal(scanner.volumes[0].data, expected(0))


def test_uneven_slices_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    slices = [ge(0, place) for place in PLACES]
    slices[2] = ge(0, 2, ImagePositionPatient=["-4", "-3", "1.5"])
    scanner = Scanner().send(*slices).finish()
    assert scanner.items == []
    assert any("expected even steps from slice to slice" in text for text in caplog.messages)


def philips_through_time(volumes: int) -> list[Instance]:
    """Philips numbers through time within a slice; here the elements that tell volumes and slices are gone."""
    return [
        read(slice_file(volume, place, "Philips Medical Systems", place * volumes + volume + 1))
        for volume in range(volumes)
        for place in PLACES
    ]


def test_slices_numbered_through_time_are_sorted_when_the_series_is_over(caplog: pytest.LogCaptureFixture) -> None:
    scanner = Scanner().send(*philips_through_time(3))
    assert scanner.volumes == []
    scanner.finish()
    assert scanner.indices == [0, 1, 2]
    for volume in scanner.volumes:
        np.testing.assert_array_equal(volume.data, expected(volume.index))
    assert any("volumes leave when the series is over" in text for text in caplog.messages)


def test_slices_that_only_their_rank_sorts_are_refused_where_one_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    scanner = Scanner().send(*philips_through_time(3)[:-1]).finish()
    assert scanner.volumes == []
    assert any("nothing tells which volume lacks some" in text for text in caplog.messages)


def test_ge_images_that_have_lost_their_slice_count_are_sorted_by_position() -> None:
    """A copy may count the images of the whole run as those in acquisition."""
    total = 3 * len(PLACES)
    scanner = Scanner().send(*run(lambda volume, place: ge(volume, place, ImagesInAcquisition=total), 3))
    assert scanner.indices == [0, 1, 2]


def numbered_anew(make: Callable[..., bytes], maker: str, first: int, files: list[tuple[int, int]]) -> list[Instance]:
    """Return slices (volume, place) of a copy that numbers them from `first` in their order."""
    elements = {"ImagesInAcquisition": SHAPE[2]} if maker.startswith("GE") else {}
    return [read(make(*one, maker, first + count, **elements), f"copy-{first + count}") for count, one in enumerate(files)]


ALL = [(volume, place) for volume in range(4) for place in PLACES]


@pytest.mark.parametrize("maker", ["GE MEDICAL SYSTEMS", "CANON_MEC"])
@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize(
    ("first", "files", "found"),
    [
        (6, ALL, [0, 1, 2, 3]),  # all, from another number
        (1, ALL[2:], [1, 2, 3]),  # without the first two slices, from 1: volume 0 is not whole
        (15, ALL[6:], [1, 2, 3]),
    ],
)
def test_a_copy_that_numbers_from_the_midst_of_a_volume_mixes_no_volumes(
    maker: str, down: bool, first: int, files: list[tuple[int, int]], found: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    if down:
        files = [(volume, SHAPE[2] - 1 - place) for volume, place in files]
    scanner = Scanner().send(*numbered_anew(slice_file, maker, first, files)).finish()
    assert len(scanner.volumes) == len(found)
    for volume, original in zip(scanner.volumes, found, strict=True):
        np.testing.assert_array_equal(volume.data, expected(original))
    assert sum("not numbered from the first slice" in text for text in caplog.messages) == 1


def test_volumes_of_which_a_copy_has_lost_slices_and_their_numbers_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    files = [one for one in ALL if one not in [(1, 3), (1, 4)]]
    scanner = Scanner().send(*numbered_anew(slice_file, "GE MEDICAL SYSTEMS", 1, files)).finish()
    assert scanner.indices == [0]
    np.testing.assert_array_equal(scanner.volumes[0].data, expected(0))
    assert any("its slices are of two volumes" in text for text in caplog.messages)


def multi_echo(volume: int, place: int, echo: int) -> Instance:
    """GE numbers the images of all echoes together."""
    number = (volume * len(PLACES) + place) * 2 + echo
    elements = {"EchoNumbers": echo, "EchoTime": 14.0 * echo, "ImagesInAcquisition": len(PLACES)}
    return read(slice_file(volume, place, "GE MEDICAL SYSTEMS", number, **elements), f"ge-{number}")


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_echoes_of_ge_slices_are_runs_of_their_own(shuffled: bool) -> None:
    files: Any = [multi_echo(volume, place, echo) for volume in range(3) for place in PLACES for echo in (1, 2)]
    if shuffled:
        np.random.default_rng(5).shuffle(files)
    scanner = Scanner().send(*files).finish()
    for echo in ("1", "2"):
        found = [volume for volume in scanner.volumes if volume.entities["echo"] == echo]
        assert [volume.index for volume in found] == [0, 1, 2]
        for volume in found:
            np.testing.assert_array_equal(volume.data, expected(volume.index))


def test_images_without_a_number_are_refused_by_name(caplog: pytest.LogCaptureFixture) -> None:
    scanner = Scanner().send(*(ge(0, place, InstanceNumber=None) for place in PLACES)).finish()
    assert scanner.items == []
    assert any("no InstanceNumber" in text for text in caplog.messages)


def test_a_slice_without_a_position_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    broken = read(slice_file(0, 0, "GE MEDICAL SYSTEMS", 99, ImagePositionPatient=None))
    scanner = Scanner().send(broken, *run(ge, 1)).finish()
    assert scanner.indices == [0]
    assert any("no ImagePositionPatient" in text or "missing or malformed" in text for text in caplog.messages)


@pytest.mark.parametrize("planned", [2, 3])
def test_a_run_ends_with_the_last_volume_that_its_header_plans(planned: int) -> None:
    scanner = Scanner()
    for volume in range(3):
        scanner.send(*(ge(volume, place, NumberOfTemporalPositions=planned) for place in PLACES))
    assert [end.count for end in scanner.ends] == [planned]
    assert scanner.indices == list(range(planned))


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"RepetitionTime": None}, "the header has no repetition time"),
        ({"RescaleSlope": "nan", "RescaleIntercept": "0"}, "expected numbers for geometry, scale and repetition time"),
    ],
)
def test_volumes_without_what_every_run_needs_are_refused(
    elements: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    scanner = Scanner().send(*(ge(0, place, **elements) for place in PLACES)).finish()
    assert scanner.items == []
    assert any(said in text for text in caplog.messages)
