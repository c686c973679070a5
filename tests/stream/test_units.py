"""What goes on as a whole, and what a reader in the middle has to know."""

from __future__ import annotations

import io

import pytest
from streamed import METADATA, run_of, same, units_of, volume, written

from rtbids.receipt import Receipt
from rtbids.stream import bidsi, units, wire
from rtbids.stream.standing import Standing
from rtbids.stream.units import Unit
from rtbids.volume import RunEnd, Volume


def members(content: bytes) -> list[wire.Member]:
    return list(wire.members(io.BytesIO(content)))


def test_units_of_items_are_those_of_the_members_that_are_written():
    read_back = units.of_members(members(written(run_of(3))))
    assert [(unit.name, unit.run, unit.index) for unit in read_back] == [(u.name, u.run, u.index) for u in units_of(3)]


def test_the_members_of_units_are_the_stream():
    content = written(run_of(3))
    passed = [member for unit in units.of_members(members(content)) for member in unit.members()]
    assert [(m.name, bytes(m.content)) for m in passed] == [(m.name, bytes(m.content)) for m in members(content)]


def test_an_empty_source_is_a_stream_with_its_description():
    (unit,) = units.of_items([])
    assert unit.name == "dataset_description.json"


def test_receipts_go_with_the_volume_and_come_out_with_it():
    settled = []
    receipt = Receipt(lambda: settled.append(True))
    (found,) = (unit for unit in units.of_items([volume(0, receipts=(receipt,))]) if unit.is_image)
    (item,) = (i for i in bidsi.decode([m for unit in [*units_of(1)[:2], found] for m in unit.members()], "x"))
    assert isinstance(item, Volume)
    assert item.receipts == (receipt,)


def test_a_json_without_its_volume_goes_on_for_the_reader_to_refuse():
    content = members(written(run_of(2)))
    torn = [member for member in content if not member.name.endswith("00000_bold.nii")]
    names = [member.name for unit in units.of_members(torn) for member in unit.members()]
    assert names == [member.name for member in torn]


def test_files_of_dicom_are_units_each():
    found = list(units.of_members([wire.Member(f"{n}.dcm", memoryview(b"x" * n), 0.0) for n in range(3)]))
    assert [(unit.is_file, unit.is_image, unit.may_be_lost) for unit in found] == [(True, True, False)] * 3
    assert [unit.size for unit in found] == [0, 1, 2]


def test_a_volume_that_changes_its_run_cannot_be_lost():
    items = [volume(0), volume(1), volume(2, metadata={**METADATA, "New": 1}), volume(3, metadata={**METADATA, "New": 1})]
    may_be_lost = [unit.may_be_lost for unit in units.of_items(items) if unit.is_image]
    assert may_be_lost[:3] == [True, True, False]


@pytest.mark.parametrize("begin", range(1, 5))
def test_who_comes_in_the_middle_reads_the_rest_as_it_is(begin: int):
    changed = {**METADATA, "New": 1}
    del changed["TaskName"]
    items = [volume(0), volume(1), volume(2, metadata=changed), volume(3, metadata=changed), RunEnd(volume(0).entities, 4)]
    standing, rest = Standing(), []
    for unit in units.of_items(items):
        if (unit.is_image and unit.index >= begin) or unit.is_end:
            rest.append(unit)
        else:
            standing.note(unit)
    told = [wire.Member(piece.name, piece.content(), 0.0) for piece in standing.pieces()]
    found = bidsi.decode([*told, *(member for unit in rest for member in unit.members())], "the rest")
    assert same(found, items[begin:])


def test_what_belonged_to_a_run_is_forgotten_with_it_and_the_rest_is_not():
    standing = Standing()
    for unit in units_of(2):
        standing.note(unit)
    assert [piece.name for piece in standing.pieces()] == ["dataset_description.json"]


def test_what_was_said_is_known_and_what_differs_is_not():
    standing = Standing()
    description, sidecar, *_ = units_of(1)
    assert [standing.note(description), standing.note(description)] == [True, False]
    assert standing.holds(description)
    assert not standing.holds(sidecar)


def test_what_stands_can_be_kept_as_pieces():
    standing = Standing()
    for unit in units_of(2)[:3]:
        standing.note(unit)
    assert [p.name for p in Standing(standing.pieces()).pieces()] == [p.name for p in standing.pieces()]
    again = Standing(standing.pieces())
    again.note(units_of(2)[-1])
    assert [piece.name for piece in again.pieces()] == ["dataset_description.json"]


def test_what_no_reader_needs_is_known_and_not_kept():
    standing = Standing()
    image = Unit((wire.Piece("sub-01/anat/sub-01_T1w.nii.gz", (bytes(1000),)),), "sub-01")
    readme = Unit((wire.Piece("README", (bytes(5 << 20),)),))
    for unit in (image, readme):
        assert not standing.note(unit)
        assert standing.holds(unit)
    assert list(standing.pieces()) == []
    assert not standing.holds(Unit((wire.Piece(image.name, (b"another",)),), "sub-01"))
