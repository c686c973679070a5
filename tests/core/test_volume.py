"""A volume is exactly what its NIfTI file will hold."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from rtbids.errors import BadData
from rtbids.volume import RunEnd, Volume, run_key, volume_of, volumes, voxels

ENTITIES = {"subject": "01", "task": "nf", "run": "01"}


def volume(**fields: object) -> Volume:
    given = {
        "data": np.arange(24, dtype="<i2").reshape(2, 3, 4),
        "affine": np.diag([2.0, 2.0, 3.0, 1.0]),
        "entities": ENTITIES,
        "metadata": {"RepetitionTime": 1.5},
        "index": 7,
    }
    return volume_of(**{**given, **fields})  # type: ignore[arg-type]


def test_the_affine_and_the_scale_are_rounded_to_what_the_file_holds() -> None:
    made = volume(affine=np.full((4, 4), 0.1), slope=0.1, inter=0.2)
    np.testing.assert_array_equal(made.affine, np.full((4, 4), np.float32(0.1)))
    assert (made.slope, made.inter) == (float(np.float32(0.1)), float(np.float32(0.2)))


def test_big_endian_data_become_little_endian_with_the_same_values() -> None:
    values = np.arange(24).reshape(2, 3, 4)
    made = volume(data=values.astype(">u2"))
    assert made.data.dtype == np.dtype("<u2")
    np.testing.assert_array_equal(made.data, values)


def test_a_volume_cannot_be_changed() -> None:
    made = volume()
    with pytest.raises(ValueError, match="read-only"):
        made.data[0, 0, 0] = 1
    with pytest.raises(FrozenInstanceError, match="index"):
        made.index = 8  # type: ignore[misc]


def test_little_endian_data_are_not_copied() -> None:
    values = np.zeros((2, 3, 4), "<i2")
    assert np.shares_memory(volume(data=values).data, values)


def test_scaled_values_are_stored_times_slope_plus_intercept() -> None:
    scaled = volume(slope=0.5, inter=-3.0).scaled()
    assert scaled.dtype == np.float64
    np.testing.assert_array_equal(scaled, np.arange(24).reshape(2, 3, 4) * 0.5 - 3)


@pytest.mark.parametrize("order", ["C", "F"])
def test_voxels_come_in_file_order_first_axis_fastest(order: str) -> None:
    values = np.asarray(np.arange(24, dtype="<i2").reshape(2, 3, 4), order=order)  # type: ignore[call-overload]
    assert bytes(voxels(volume(data=values))) == values.tobytes(order="F")


def test_voxels_that_lie_in_file_order_are_not_copied() -> None:
    values = np.zeros((2, 3, 4), "<i2", order="F")
    assert np.shares_memory(np.frombuffer(voxels(volume(data=values)), "<i2"), values)


def test_the_header_is_that_of_a_file_of_three_dimensions() -> None:
    header = volume(slope=0.5).header()
    assert (header.shape, header.dtype, header.slope, header.repetition_time) == ((2, 3, 4), "<i2", 0.5, 1.5)


def test_each_stage_adds_its_time() -> None:
    first = volume(times={"received": 10.0})
    assert first.at(converted=10.5, analysed=11.0).times == {"received": 10.0, "converted": 10.5, "analysed": 11.0}
    assert first.times == {"received": 10.0}


def test_a_volume_without_a_repetition_time_says_so() -> None:
    with pytest.raises(BadData, match=r"volume 7: the sidecar has no RepetitionTime"):
        _ = volume(metadata={}).repetition_time


@pytest.mark.parametrize(("metadata", "paced"), [({}, True), ({"Paced": True}, True), ({"Paced": False}, False)])
def test_volumes_come_at_the_scanners_pace_unless_the_sidecar_says_otherwise(metadata: dict[str, bool], paced: bool) -> None:
    assert volume(metadata=metadata).paced is paced


def test_a_run_is_known_by_its_entities_in_any_order() -> None:
    assert run_key(ENTITIES) == run_key(dict(reversed(ENTITIES.items())))
    assert run_key(ENTITIES) != run_key({**ENTITIES, "run": "02"})


def test_volumes_leaves_out_the_ends_of_runs() -> None:
    made = volume()
    assert list(volumes([made, RunEnd(ENTITIES, 1)])) == [made]
