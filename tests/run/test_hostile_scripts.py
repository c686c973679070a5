"""Scripts that give, raise or say what no destination could hold: it costs them a line, and the run and the others nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from run.sessions import Lines, SmallDisk, lane, session, volume

from rtbids.archive import tables
from rtbids.errors import ExperimentFault
from rtbids.pipeline import Inbox
from rtbids.run import one_line
from rtbids.run.feedback import as_json, as_tsv
from rtbids.run.progress import Tally
from rtbids.run.values import DEEPEST, checked
from rtbids.volume import Item

COUNT = 6
BAD = 3  # the volume at which a script does what it should not
ANSWERS = "def feedback(volume, run):\n    return volume.index\n"
HOSTILE = """
class Mute(ValueError):
    def __str__(self):
        raise KeyError("no words")

    def __hash__(self):
        return 1

def endless():
    found = {{}}
    found["found"] = found
    return found

def feedback(volume, run):
    if volume.index == {bad}:
        {what}
    return volume.index
"""
VALUES = {
    "an integer that no float holds": "return 10**400",
    "an integer of more digits than Python prints": "return {'n': 10**5000}",
    "half a character": "return {'label': 'caf\\udce9'}",
    "half a character in a name": "return {'caf\\udce9': 1}",
    "a dict in itself": "return endless()",
    "a name that raises": "return {Mute(): 1}",
    "a complex number": "return 1j",
    "an alternate that no float holds": "run.set_alternate(10**400)",
    "an error of half a character": "raise ValueError('caf\\udce9')",
    "an error without words": "raise Mute()",
    "an error of megabytes": "raise ValueError('z' * 8_000_000)",
}


class Tables(SmallDisk):
    """An archive whose tables are on the disk, as the run's are."""

    def __init__(self, folder: Path) -> None:
        super().__init__(1000)
        self._folder = folder

    def table(self, description: str, columns: object, sidecar: object) -> tables.Table:
        return tables.Table(self._folder / f"{description}.tsv", columns)


def beside(tmp_path: Path, script: str) -> tuple[list[Mapping[str, object]], list[Mapping[str, object]], Tally]:
    """Run `script` beside one that answers; return the lines of both, and what there is to tell of the first."""
    kept = Lines()
    lanes = [lane(tmp_path / "hostile", script, kept), lane(tmp_path / "answers", ANSWERS, kept)]

    def items() -> Iterator[Item]:
        for index in range(COUNT):
            yield volume(index)
            for each in lanes:
                kept.wait_for(each.name, index)

    session(lanes, Tables(tmp_path)).run(Inbox(items()))
    return kept.of("hostile"), kept.of("answers"), lanes[0].tally


@pytest.mark.parametrize("what", VALUES.values(), ids=VALUES)
def test_what_cannot_be_sent_costs_one_line_and_the_script_goes_on(tmp_path, caplog, capfd, what):
    hostile, answers, tally = beside(tmp_path, HOSTILE.format(bad=BAD, what=what))
    assert [row["value"] for row in answers] == list(range(COUNT))
    assert [row["status"] for row in hostile] == ["alternate" if index == BAD else "ok" for index in range(COUNT)]
    assert tally.restarts == 0
    (said,) = [record.getMessage() for record in caplog.records]
    assert len(said) < one_line.LONGEST + 200
    said.encode()
    assert "Traceback" not in capfd.readouterr().err
    assert len((tmp_path / "feedback.tsv").read_bytes().splitlines()) == 1 + 2 * COUNT


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (10**400, "an integer that no float holds"),
        (-(10**400), "an integer that no float holds"),
        (float("-inf"), "found -inf"),
        ({"a": [{"b": "\ud800"}]}, "half a character"),
        ({"a": b"bytes"}, "found bytes"),
    ],
)
def test_what_is_no_feedback_is_named(value, says):
    with pytest.raises(ExperimentFault, match=says):
        checked(value)


def test_what_is_nested_too_deep_is_no_feedback():
    deep: object = 1
    for _ in range(DEEPEST):
        deep = {"deeper": deep}
    assert checked(deep) == deep
    with pytest.raises(ExperimentFault, match="at most 20"):
        checked({"deeper": deep})


def test_a_number_of_the_scripts_own_type_leaves_as_a_plain_one():
    class Level(int):
        def __repr__(self) -> str:
            return "rubbish"

    value = checked({"level": Level(3)})
    assert value == {"level": 3}
    row = {"value": value, "status": "ok"}
    assert json.loads(as_json(row)) == row
    assert as_tsv(row) == '{"level":3}\tok\n'
