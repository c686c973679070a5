"""Images that come in no order: all are used where nobody waits for the volumes, within a bound on memory."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from assembly import Scanner

from rtbids.convert import dicom
from rtbids.convert.dicom import Instance
from rtbids.receipt import Receipt
from rtbids.replay.scanner import Form, Phantom, dicoms

PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 14.0), volumes=12, repetition_time=0.5)
QUIET = 5.0
FORMS: list[Form] = ["slices", "mosaic", "enhanced"]


def images(form: Form) -> list[Instance]:
    return [dicom.read(content, str(number), 0.0) for number, content in enumerate(dicoms(PHANTOM, form))]


def shuffled(form: Form, seed: int) -> list[Instance]:
    found = images(form)
    random.Random(seed).shuffle(found)
    return found


def sent(scanner: Scanner, found: list[Instance], pause: float) -> Scanner:
    for image in found:
        scanner.send(image).wait(pause)
    return scanner


def without(found: list[Instance], index: int) -> Iterator[Instance]:
    """The images, but for the first slice of one volume."""
    return (image for image in found if int(image.dataset.InstanceNumber) != 9 * index + 1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(3))
def test_where_nobody_waits_the_order_of_images_makes_no_difference(form: Form, seed: int) -> None:
    expected = Scanner().send(*images(form)).finish().volumes
    got = sent(Scanner(hurry=False), shuffled(form, seed), pause=1.0).finish()
    assert got.indices == list(range(12))
    assert [end.missing for end in got.ends] == [()]
    for one, other in zip(got.volumes, expected, strict=True):
        assert np.array_equal(one.data, other.data)
        assert one.metadata == other.metadata


@pytest.mark.parametrize("form", FORMS)
def test_where_somebody_waits_volumes_are_given_up_and_what_to_do_is_said_once(
    form: Form, caplog: pytest.LogCaptureFixture
) -> None:
    got = sent(Scanner(), shuffled(form, 1), pause=0.5).finish()
    assert len(got.volumes) < 12
    assert sum("send its files in the order of acquisition" in record.getMessage() for record in caplog.records) == 1


def test_in_order_a_volume_that_nobody_waits_for_leaves_no_later_than_with_its_last_slice() -> None:
    got = Scanner(hurry=False)
    for count, image in enumerate(images("slices"), start=1):
        got.send(image)
        assert got.indices == list(range(count // 9))


def test_a_lost_slice_is_given_up_once_its_series_is_quiet() -> None:
    got = sent(Scanner(hurry=False), list(without(images("slices"), 3)), pause=0.0)
    assert got.indices == [0, 1, 2]
    assert got.assembler.wake == got.clock.now() + QUIET
    assert got.wait(QUIET - 0.01).indices == [0, 1, 2]
    assert got.wait(0.01).indices == [0, 1, 2, *range(4, 12)]
    assert got.finish().ends[0].missing == (3,)


@pytest.mark.parametrize("form", FORMS)
def test_what_waits_has_a_bound_and_beyond_it_the_first_volumes_are_given_up(
    form: Form, caplog: pytest.LogCaptureFixture
) -> None:
    found = shuffled(form, 1)
    bound = sum(2 * len(image.content) + 20_000 for image in found) // 2
    got = Scanner(hurry=False, most_waiting=bound)
    most = 0
    for image in found:
        got.send(image)
        most = max(most, *(series.waiting for series in got.assembler._series.values()))
    got.finish()
    assert bound // 2 < most <= bound  # it is used, and kept
    each = 9 if form == "slices" else 1
    assert got.volumes
    assert got.assembler.left_out + each * len(got.volumes) == len(found)  # none is lost without a word
    assert got.indices == sorted(set(range(12)) - set(got.ends[0].missing))
    assert sum("wait for others of their volumes" in record.getMessage() for record in caplog.records) == 1


def test_what_waits_stays_where_its_source_keeps_it() -> None:
    """So that a kill loses nothing."""
    gone: list[int] = []
    found = [
        Instance(image.name, image.content, image.dataset, 0.0, receipts=(Receipt(lambda number=number: gone.append(number)),))
        for number, image in enumerate(images("mosaic"))
    ]
    got = Scanner(hurry=False).send(*found[1:])
    assert (got.volumes, gone) == ([], [])
    got.send(found[0])
    for volume in got.volumes:
        for receipt in volume.receipts:
            receipt.settle()
    assert gone == list(range(12))
