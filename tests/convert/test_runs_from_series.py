"""Which volumes make a run, in what order they leave, and when it is over."""

from __future__ import annotations

import re

import numpy as np
import pytest
from assembly import AFFINE, SHAPE, TR, Scanner, image, mosaics, voxels_of

from rtbids.convert import dicom, series
from rtbids.volume import RunEnd, Volume


def test_volumes_come_out_as_they_went_in() -> None:
    scan = mosaics()
    scanner = Scanner().send(*(image(scan, index) for index in range(3))).finish()
    for volume in scanner.volumes:
        np.testing.assert_array_equal(volume.data, voxels_of(volume.index))
        np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-6)  # decimal text in the header, float32 in the file
        assert volume.repetition_time == TR
    assert scanner.items[-1] == RunEnd({"subject": "01", "task": "nf", "run": "01"}, 3)


def test_entities_that_the_user_gave_stand() -> None:
    given = {"subject": "007", "session": "2", "task": "up", "run": "4"}
    scanner = Scanner(given).send(image(mosaics(), 0)).finish()
    assert scanner.volumes[0].entities == given
    assert scanner.volumes[0].metadata["TaskName"] == "up"


def test_every_series_is_a_run_with_the_next_number() -> None:
    scanner = Scanner().send(image(mosaics(7), 0), image(mosaics(9), 0)).finish()
    assert [volume.entities["run"] for volume in scanner.volumes] == ["01", "02"]


def test_a_second_series_does_not_take_the_run_of_the_first(caplog: pytest.LogCaptureFixture) -> None:
    scanner = Scanner({"run": "03"}).send(image(mosaics(7), 0), image(mosaics(9), 0)).finish()
    assert [volume.entities["run"] for volume in scanner.volumes] == ["03", "01"]
    assert any("run 03 is taken" in text for text in caplog.messages)


def test_all_volumes_of_a_run_share_one_sidecar() -> None:
    scanner = Scanner().send(*(image(mosaics(), index) for index in range(4)))
    assert len({id(volume.metadata) for volume in scanner.volumes}) == 1
    assert len({id(volume.entities) for volume in scanner.volumes}) == 1


def test_a_volume_that_overtook_another_waits_for_it() -> None:
    scan = mosaics()
    scanner = Scanner().send(image(scan, 0), image(scan, 2))
    assert scanner.indices == [0]
    assert scanner.assembler.wake == pytest.approx(1001.0)  # half a TR after it came
    scanner.wait(0.9)
    assert scanner.indices == [0]
    scanner.send(image(scan, 1)).finish()
    assert scanner.indices == [0, 1, 2]
    assert scanner.ends[0].missing == ()


def test_a_volume_that_does_not_come_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    scan = mosaics()
    scanner = Scanner().send(image(scan, 0), image(scan, 2), image(scan, 3)).wait(1.0)
    assert scanner.indices == [0, 2, 3]
    assert scanner.assembler.wake is None
    assert caplog.messages == ["volume 1 of sub-01_task-nf_run-01 did not come"]
    scanner.finish()
    assert (scanner.ends[0].count, scanner.ends[0].missing) == (3, (1,))


def test_a_volume_that_comes_after_its_place_was_given_up_is_kept_out(caplog: pytest.LogCaptureFixture) -> None:
    scan = mosaics()
    scanner = Scanner().send(image(scan, 0), image(scan, 2)).wait(1.0).send(image(scan, 1)).finish()
    assert scanner.indices == [0, 2]
    assert "7-1.dcm: volume 1 of sub-01_task-nf_run-01 came too late and is kept out" in caplog.messages


def test_what_is_missing_at_the_start_is_said_too(caplog: pytest.LogCaptureFixture) -> None:
    scan = mosaics()
    scanner = Scanner().send(image(scan, 3)).wait(1.0).send(image(scan, 4)).finish()
    assert scanner.indices == [3, 4]
    assert scanner.ends[0].missing == (0, 1, 2)
    assert "volumes 0 to 2 of sub-01_task-nf_run-01 did not come" in caplog.messages


def test_the_same_image_is_taken_once(caplog: pytest.LogCaptureFixture) -> None:
    scan = mosaics()
    scanner = Scanner().send(image(scan, 0), image(scan, 0), image(scan, 1)).finish()
    assert scanner.indices == [0, 1]
    assert caplog.messages == ["7-0.dcm: the same image has come before, and this one is dropped"]


def test_another_image_of_the_same_volume_is_kept_out(caplog: pytest.LogCaptureFixture) -> None:
    scan = mosaics()
    scanner = Scanner().send(image(scan, 0), image(scan, 0, uid=99)).finish()
    assert scanner.indices == [0]
    assert any("came a second time" in text for text in caplog.messages)


MOVED = AFFINE + np.array([[0, 0, 0, 2.0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"affine": MOVED}, "expected voxels at 3x3x4 mm from (10.00, -8.00, -6.00) as the volumes before, found 3x3x4 mm"),
        ({"shape": (8, 6, 4)}, "expected 8x6x5 int16 as the volumes before, found 8x6x4 int16"),
        ({"bits": 16}, "expected 8x6x5 int16 as the volumes before, found 8x6x5 uint16"),
        ({"repetition_time": 2.5}, "expected a repetition time of 2.0 s, found 2.5 s"),
    ],
)
def test_a_volume_that_is_not_like_the_others_is_refused_and_the_run_goes_on(
    other: dict[str, object], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    scan, changed = mosaics(), mosaics(**other)
    scanner = Scanner().send(image(scan, 0), image(changed, 1), image(scan, 2)).finish()
    assert scanner.indices == [0, 2]
    assert scanner.ends[0].missing == (1,)
    assert any("volume 1 of sub-01_task-nf_run-01 refused" in text and said in text for text in caplog.messages)


def test_a_series_ends_when_it_is_quiet_and_another_has_begun() -> None:
    first, second = mosaics(7), mosaics(9)
    scanner = Scanner().send(image(first, 0), image(first, 1)).wait(60.0)
    assert scanner.ends == []  # a pause is no end
    scanner.send(image(second, 0))
    assert [end.entities["run"] for end in scanner.ends] == ["01"]


def test_series_that_overlap_are_runs_side_by_side() -> None:
    first, second = mosaics(7), mosaics(9)
    scanner = Scanner().send(image(first, 0)).wait(TR).send(image(second, 0)).wait(TR)
    assert scanner.ends == []
    assert scanner.assembler.wake == pytest.approx(1005.0)  # five seconds after the first series was heard
    scanner.wait(1.0)
    assert [end.entities["run"] for end in scanner.ends] == ["01"]
    scanner.send(image(second, 1)).finish()
    assert [(end.entities["run"], end.count) for end in scanner.ends] == [("01", 1), ("02", 2)]


def test_a_series_that_goes_on_after_its_end_makes_no_second_run(caplog: pytest.LogCaptureFixture) -> None:
    first, second = mosaics(7), mosaics(9)
    scanner = Scanner().send(image(first, 0), image(second, 0)).wait(6.0).send(image(first, 1)).finish()
    assert [volume.entities["run"] for volume in scanner.volumes] == ["01", "02"]
    assert any("came after the end of its run" in text for text in caplog.messages)


CORRECTED = ("M", "ND", "MOCO")


@pytest.mark.parametrize(("keep", "runs"), [("original", [("", 0), ("", 1)]), ("corrected", [("moco", 0), ("moco", 1)])])
def test_of_raw_and_corrected_volumes_one_kind_is_kept(
    keep: series.Keep, runs: list[tuple[str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "rtbids")
    raw, corrected = mosaics(7), mosaics(7, image_type=CORRECTED)
    scanner = Scanner(keep=keep)
    for index in range(2):
        scanner.send(image(raw, index), image(corrected, index, uid=100 + index))
    scanner.finish()
    kinds = ["moco" if "MOCO" in volume.metadata["ImageType"] else "" for volume in scanner.volumes]
    assert list(zip(kinds, scanner.indices, strict=True)) == runs
    assert all("reconstruction" not in volume.entities for volume in scanner.volumes)
    assert len([text for text in caplog.messages if "are dropped from the run" in text]) == 1


def test_raw_and_corrected_volumes_may_both_be_kept() -> None:
    raw, corrected = mosaics(7), mosaics(7, image_type=CORRECTED)
    scanner = Scanner(keep="both")
    for index in range(2):
        scanner.send(image(raw, index), image(corrected, index, uid=100 + index))
    scanner.finish()
    found = [(volume.entities.get("reconstruction"), volume.entities["run"], volume.index) for volume in scanner.volumes]
    assert found == [(None, "01", 0), ("moco", "01", 0), (None, "01", 1), ("moco", "01", 1)]
    assert len(scanner.ends) == 2


@pytest.mark.parametrize("protocol", ["localizer_3plane", "ep2d_SBRef", "DTI_64dir", "fmap_AP"])
def test_what_is_not_functional_is_left_alone_and_said_once(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    scan = mosaics(3, protocol=protocol)
    scanner = Scanner().send(image(scan, 0), image(scan, 1)).finish()
    assert scanner.items == []
    assert caplog.messages == [f"series 3 ({protocol}) is not functional: left alone"]


def test_a_picked_series_is_taken_whatever_it_is_and_no_other() -> None:
    scanner = Scanner(series=frozenset({3}))
    scanner.send(image(mosaics(3, protocol="fmap_AP"), 0), image(mosaics(7), 0)).finish()
    assert [volume.metadata["SeriesNumber"] for volume in scanner.volumes] == [3]


def test_times_tell_the_steps_of_the_scanner_from_the_first_reception_on() -> None:
    scan = mosaics()
    scanner = Scanner().send(image(scan, 0, received=500.0), image(scan, 1, received=502.1))
    first, second = scanner.volumes
    assert first.times["acquired"] == first.times["received"] == 500.0
    assert second.times["acquired"] == pytest.approx(502.0)
    assert second.times["converted"] == 1000.0


def test_a_run_passes_midnight() -> None:
    before, after = image(mosaics(), 0, received=500.0), image(mosaics(), 1, received=502.1)
    before.dataset.AcquisitionTime, after.dataset.AcquisitionTime = "235959.500000", "000001.500000"
    scanner = Scanner().send(before, after)
    assert scanner.volumes[1].times["acquired"] == pytest.approx(502.0)


@pytest.mark.parametrize(("jump", "way"), [("11", "after"), ("09", "before"), ("22", "before")])
def test_a_scanners_clock_that_is_set_in_the_middle_changes_nothing_but_is_said(
    caplog: pytest.LogCaptureFixture, jump: str, way: str
) -> None:
    images = [image(mosaics(), index, received=500.0 + TR * index) for index in range(8)]
    for index, one in enumerate(images):
        one.dataset.AcquisitionTime = f"{jump if index > 4 else '10'}00{TR * index:09.6f}"
    scanner = Scanner().send(*images).finish()
    assert scanner.indices == list(range(8))
    for index, volume in enumerate(scanner.volumes):
        assert volume.times["acquired"] == pytest.approx(500.0 + TR * index)  # it counts on from where it was set
    assert len(caplog.messages) == 1
    assert re.search(rf"volume 5 was acquired \d+ s {way} its time", caplog.messages[0])


def test_a_pause_of_the_scan_is_no_jump_of_its_clock(caplog: pytest.LogCaptureFixture) -> None:
    images = [image(mosaics(), index, received=500.0 + TR * index + 60 * (index > 2)) for index in range(5)]
    for index, one in enumerate(images):
        one.dataset.AcquisitionTime = f"10{index > 2:02d}{TR * index:09.6f}"
    scanner = Scanner().send(*images).finish()
    assert scanner.volumes[-1].times["acquired"] == pytest.approx(560.0 + TR * 4)
    assert caplog.messages == []


def test_without_times_of_acquisition_there_are_none(caplog: pytest.LogCaptureFixture) -> None:
    images = [image(mosaics(), index, received=500.0) for index in (0, 2, 1)]
    for one in images:
        del one.dataset.AcquisitionTime
    scanner = Scanner().send(*images).finish()
    assert scanner.indices == [0, 1, 2]
    assert not any("acquired" in volume.times for volume in scanner.volumes)
    assert caplog.messages == []


def test_files_that_were_there_before_have_no_time_of_acquisition_in_the_future() -> None:
    scanner = Scanner().send(*(image(mosaics(), index, received=500.0) for index in range(9)))
    assert all(volume.times.get("acquired", 0.0) <= 500.0 + TR for volume in scanner.volumes)


def test_slice_times_that_cannot_be_true_are_taken_from_the_second_volume() -> None:
    scan = mosaics()
    good = scan.slice_timing() * 1000
    first = image(scan, 0)
    content = bytes(first.content)
    for value in sorted({f"{time:.8f}" for time in good}, key=len, reverse=True):
        content = content.replace(b"\0" + value.encode() + b"\0", b"\0" + b"0" * len(value) + b"\0")
        content = content.replace(f"{value}\0".encode(), b"0" * len(value) + b"\0")
    broken = dicom.read(content, "broken", 0.0)
    scanner = Scanner().send(broken, image(scan, 1), image(scan, 2)).finish()
    one, two, three = scanner.volumes
    assert "SliceTiming" not in one.metadata
    np.testing.assert_allclose(two.metadata["SliceTiming"], good / 1000)
    assert three.metadata is two.metadata


def test_images_whose_series_uid_was_scrambled_are_one_run() -> None:
    scans = [mosaics(study=number + 1) for number in range(4)]
    scanner = Scanner().send(*(image(scan, index) for index, scan in enumerate(scans))).finish()
    assert scanner.indices == [0, 1, 2, 3]
    assert len(scanner.ends) == 1


def test_two_sessions_with_the_same_series_number_are_two_runs() -> None:
    one, two = mosaics(study=1), mosaics(study=2)
    scanner = Scanner().send(*(image(one, n) for n in range(3)), *(image(two, n) for n in range(3))).finish()
    assert [end.count for end in scanner.ends] == [3, 3]


def test_a_mosaic_that_has_lost_its_slice_count_is_refused_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    scan = mosaics()
    images = [image(scan, index) for index in range(3)]
    for one in images:
        del one.dataset[0x0029, 0x1010]
    scanner = Scanner().send(*images).finish()
    assert scanner.items == []
    assert len(caplog.messages) == 1
    assert "has lost the number of its slices" in caplog.messages[0]


def test_a_header_without_geometry_is_left_out_and_the_others_stay(caplog: pytest.LogCaptureFixture) -> None:
    scan = mosaics()
    images = [image(scan, index) for index in range(3)]
    del images[1].dataset.ImagePositionPatient
    scanner = Scanner().send(*images).finish()
    assert scanner.indices == [0, 2]
    assert scanner.ends[0].missing == (1,)
    assert any("the header has no ImagePositionPatient" in text for text in caplog.messages)


def test_the_stage_ends_every_run_when_the_images_end() -> None:
    scan = mosaics()
    images = [image(scan, 0), None, image(scan, 1)]
    items = list(series.volumes(images, series.Assembler({}, series.counter())))
    assert [type(item) for item in items] == [Volume, Volume, RunEnd]
    assert items[0].data.shape == SHAPE  # type: ignore[union-attr]


def test_runs_are_counted_for_each_task() -> None:
    number = series.counter()
    assert [number({"task": "a"}), number({"task": "b"}), number({"task": "a"})] == ["01", "01", "02"]


@pytest.mark.parametrize(("entities", "warned"), [({}, True), ({"task": "nf"}, False)])
def test_a_task_that_nothing_tells_is_said_to_be_a_default(
    entities: dict[str, str], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    scanner = Scanner(entities).send(image(mosaics(protocol=""), 0)).finish()
    assert scanner.volumes[0].entities["task"] == entities.get("task", "rest")
    assert ("--task names it" in caplog.text) is warned
