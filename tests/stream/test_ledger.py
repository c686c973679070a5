"""The notes on a place that a stream goes to: what they tell who goes on there, and what they do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamed import units_of

from rtbids.errors import CannotWrite
from rtbids.stream import wire
from rtbids.stream.far import journal
from rtbids.stream.far.journal import Journal
from rtbids.stream.far.ledger import Ledger
from rtbids.stream.taken import digest_of
from rtbids.stream.units import Unit

RUN = "sub-01_task-nf_run-01"


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def ledger(sender: str = "me") -> Ledger:
    return Ledger("receive", "/place", {"sender": sender})


def noted(path: Path, units: list[Unit]) -> Journal:
    found = Journal(path)
    for unit in units:
        found.note(unit, digest_of(unit) if unit.is_image else b"")
    return found


def test_what_was_brought_out_is_known(tmp_path: Path):
    file = Unit((wire.Piece("1.dcm", (b"1",)),), is_file=True)
    found = noted(tmp_path / "j", [*units_of(3), *units_of(2, "02")[:-1], file]).noted()
    assert found.runs[RUN] == {unit.index: digest_of(unit) for unit in units_of(3) if unit.is_image}
    assert (sorted(found.runs), list(found.ended)) == ([RUN, "sub-01_task-nf_run-02"], [RUN])
    assert found.files == [digest_of(file)]


def test_a_run_of_a_name_that_was_used_before_begins_with_nothing(tmp_path: Path):
    units = [*units_of(5), *units_of(2)[:-1]]
    found = noted(tmp_path / "j", units).noted()
    assert sorted(found.runs[RUN]) == [0, 1]
    assert not found.ended


@pytest.mark.parametrize("torn", [b'{"run": "su', b"[]\n", b'{"run": 1}\n', b"\xff\n"])
def test_a_line_that_was_cut_costs_no_other(torn: bytes, tmp_path: Path):
    noted(tmp_path / "j", units_of(3)[:-1]).close()
    with (tmp_path / "j").open("ab") as file:
        file.write(torn)
    noted(tmp_path / "j", units_of(5)[5:]).close()
    found = Journal(tmp_path / "j").noted()
    assert (sorted(found.runs[RUN]), list(found.ended)) == ([0, 1, 2, 3, 4], [RUN])


def test_a_full_disk_is_said(tmp_path: Path):
    (tmp_path / "j").symlink_to("/dev/full")
    with pytest.raises(CannotWrite, match="no space left"):
        noted(tmp_path / "j", units_of(1))


def test_the_file_does_not_grow_with_every_run_for_months(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journal, "RUNS", 3)
    units = [unit for number in range(20) for unit in units_of(2, f"{number:02d}")]
    found = noted(tmp_path / "j", [*units, *units_of(1, "99")[:-1]])
    assert len((tmp_path / "j").read_bytes().splitlines()) < 30
    assert list(found.noted().ended)[-3:] == [f"sub-01_task-nf_run-{number}" for number in (17, 18, 19)]
    assert sorted(found.noted().runs["sub-01_task-nf_run-99"]) == [0]


def test_what_holds_of_a_stream_is_there_after_a_kill(own_state: Path):
    before = ledger()
    before.begin()
    for unit in units_of(2)[:3]:
        before.standing.note(unit)
    before.place(RUN, "sub-01_task-nf_run-02")
    before.close()
    after = ledger()
    assert (after.is_left, after.is_of_another) == (True, False)
    assert [piece.name for piece in after.standing.pieces()] == [unit.name for unit in units_of(2)[:2]]
    assert after.names_left() == ["sub-01_task-nf_run-02"]
    after.forget()
    after.close()
    assert not ledger().is_left
    assert all(path.stat().st_mode & 0o077 == 0 for path in own_state.glob("rtbids/streams/**/*"))


def test_what_another_source_left_is_forgotten_by_who_begins():
    before = ledger()
    before.begin()
    before.standing.note(units_of(1)[0])
    before.place(RUN, RUN)
    before.close()
    other = ledger("somebody else")
    assert other.is_of_another
    other.begin()
    assert (other.is_left, other.placed, list(other.standing.pieces())) == (False, {}, [])
    other.close()
    assert ledger("somebody else").is_left


@pytest.mark.parametrize("content", ["", "[1", "null", json.dumps([1])])
def test_notes_that_a_power_cut_spoilt_are_none(content: str, own_state: Path):
    before = ledger()
    before.begin()
    before.close()
    (folder,) = own_state.glob("rtbids/streams/*")
    for name in ("placed.json", "context.tar", "begun.json"):
        (folder / name).write_text(content)
    after = ledger()
    assert (after.is_left, after.placed, list(after.standing.pieces())) == (False, {}, [])
