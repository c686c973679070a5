"""Each volume and each file goes on once, whoever was killed and began anew."""

from __future__ import annotations

from collections.abc import Iterable

from streamed import METADATA, indices, same, units_of, volume

from rtbids.receipt import Receipt
from rtbids.stream import bidsi, units, wire
from rtbids.stream import taken as module
from rtbids.stream.standing import Standing
from rtbids.stream.taken import Taken, digest_of
from rtbids.stream.units import Unit
from rtbids.volume import Item, RunEnd, Volume, volume_of


def passed(taken: Taken, coming: Iterable[Unit]) -> list[Unit]:
    return [unit for unit in taken.new(iter(coming)) if unit is not None]


def items(found: Iterable[Unit]) -> list[Item]:
    return list(bidsi.decode([member for unit in found for member in unit.members()], "the test"))


def other(index: int) -> Volume:
    before = volume(index)
    return volume_of(before.data + 1, before.affine, before.entities, METADATA, index)


def test_a_sender_that_begins_anew_adds_nothing_but_what_is_new():
    taken = Taken(Standing())
    first = passed(taken, units_of(5)[:5])  # the description, the sidecar, three volumes
    second = passed(taken, units_of(5))
    assert same(items([*first, *second]), items(units_of(5)))


def test_what_came_before_is_settled():
    settled: list[bool] = []
    taken = Taken(Standing())
    passed(taken, units_of(2))
    (again,) = [unit for unit in units_of(2) if unit.index == 1]
    receipt = Receipt(lambda: settled.append(True))
    assert passed(taken, [Unit(again.pieces, again.run, 1, receipts=(receipt,))]) == []
    assert settled == [True]


def test_another_run_of_the_same_name_ends_the_one_before():
    taken = Taken(Standing())
    found = passed(taken, units_of(3)[:-1])
    found += passed(taken, units.of_items([other(0), other(1)]))
    ends = [item for item in items(found) if isinstance(item, RunEnd)]
    assert ends == [RunEnd(volume(0).entities, 3)]
    assert indices(items(found)) == [0, 1, 2, 0, 1]


def test_after_its_end_a_run_of_the_same_name_is_another_one():
    taken = Taken(Standing())
    found = passed(taken, units_of(2))
    found += passed(taken, units.of_items([other(0), RunEnd(volume(0).entities, 1)]))
    assert indices(items(found)) == [0, 1, 0]
    assert sum(unit.is_end for unit in found) == 2


def test_what_a_place_holds_already_is_not_taken_again():
    there = {unit.index: digest_of(unit) for unit in units_of(4) if unit.is_image}
    taken = Taken(Standing(), lambda run: there)
    assert [unit.index for unit in passed(taken, units_of(6)) if unit.is_image] == [4, 5]


def test_a_volume_that_comes_when_its_place_is_passed_is_left_out_and_let_go(caplog):
    settled: list[int] = []

    def with_receipt(unit: Unit) -> Unit:
        return Unit(unit.pieces, unit.run, unit.index, receipts=(Receipt(lambda: settled.append(unit.index)),))

    taken = Taken(Standing())
    images = [with_receipt(unit) for unit in units_of(8) if unit.is_image]
    late = [images[index] for index in (0, 1, 4, 2, 3, 5)]
    assert [unit.index for unit in passed(taken, late)] == [0, 1, 4, 5]
    assert settled == [2, 3]
    assert len([text for text in caplog.messages if "volume 2 came when volume 4 was there" in text]) == 1
    assert [unit.index for unit in passed(taken, images)] == [6, 7]  # once more from the beginning


def test_runs_of_long_ago_and_many_files_are_forgotten(monkeypatch):
    monkeypatch.setattr(module, "RUNS", 2)
    monkeypatch.setattr(module, "FILES", 3)
    taken = Taken(Standing())
    for number in range(4):
        passed(taken, units_of(1, f"{number:02d}"))
    passed(taken, [Unit((wire.Piece(f"{n}.dcm", (b"%d" % n,)),), is_file=True) for n in range(5)])
    assert set(taken._runs) == {"sub-01_task-nf_run-02", "sub-01_task-nf_run-03"}
    assert len(taken._files) == 3
    again = [unit for number in (2, 3) for unit in units_of(1, f"{number:02d}")]
    assert [unit for unit in passed(taken, again) if unit.is_image or unit.is_end] == []


def test_a_file_is_known_by_its_content_whatever_its_name():
    def file(name: str, content: bytes) -> Unit:
        return Unit((wire.Piece(name, (content,)),), is_file=True)

    found = passed(Taken(Standing()), [file("1.dcm", b"a"), file("2.dcm", b"b"), file("3.dcm", b"a"), file("1.dcm", b"c")])
    assert [bytes(unit.pieces[0].content()) for unit in found] == [b"a", b"b", b"c"]


def test_the_digest_of_a_volume_does_not_depend_on_how_it_came():
    for direct, (_, read_back) in zip(units_of(3), enumerate(units.of_members(_members())), strict=True):
        assert not direct.is_image or digest_of(direct) == digest_of(read_back)


def _members() -> list[wire.Member]:
    return [member for unit in units_of(3) for member in unit.members()]
