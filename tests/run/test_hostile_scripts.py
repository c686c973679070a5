"""Scripts that give, raise or say what no destination could hold: it costs them a line, and the run and the others nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from run.sessions import Lines, SmallDisk, lane, session, volume

from rtbids.archive import tables
from rtbids.cli import console
from rtbids.errors import ExperimentFault
from rtbids.pipeline import Inbox
from rtbids.run import one_line
from rtbids.run.feedback.feedback import as_json, as_tsv
from rtbids.run.lanes import Lane
from rtbids.run.process.experiment_here import ExperimentHere
from rtbids.run.process.experiment_process import ExperimentProcess
from rtbids.run.process.host import Answer, Reply
from rtbids.run.progress import Tally
from rtbids.run.script.values import DEEPEST, checked
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


def each_answered(kept: Lines, lanes: list[Lane]) -> Iterator[Item]:
    """Yield volumes, each when all have had their line of the one before."""
    for index in range(COUNT):
        yield volume(index)
        for each in lanes:
            kept.wait_for(each.name, index)


def beside(tmp_path: Path, script: str) -> tuple[list[Mapping[str, object]], list[Mapping[str, object]], Tally]:
    """Run `script` beside one that answers; return the lines of both, and what there is to tell of the first."""
    kept = Lines()
    lanes = [lane(tmp_path / "hostile", script, kept), lane(tmp_path / "answers", ANSWERS, kept)]

    session(lanes, Tables(tmp_path)).run(Inbox(each_answered(kept, lanes)))
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
        ({"a": b"bytes"}, 'found bytes in "a"$'),
        ({"a": 1, "wmean": float("nan")}, 'found nan in "wmean"$'),
        ({"a": {"left": [0, float("nan")]}}, r'found nan in "a"\["left"\]\[1\]$'),
        ({"two\nlines": 10**400}, r'no float holds in "two\\nlines"$'),
        (float("nan"), "found nan$"),
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


SAID = {
    "rubbish": "b'rubbish\\n'",
    "no text": "b'\\xff\\xfe\\n'",
    "no object": "b'[1]\\n'",
    "nested without end": "b'[' * 100_000 + b'\\n'",
    "a line without end": "b'x' * 2_000_000",
    "no known kind": 'b\'{"say": ["answer"]}\\n\'',
    "an answer without all that belongs to it": 'b\'{"say": "answer"}\\n\'',
    "an answer that no float holds": "answer(volume.index, '1' + '0' * 400)",
    "an answer that is no JSON number": "answer(volume.index, 'Infinity')",
    "an answer to another volume": "answer(999_999_999, '1')",
    "measures of half a character": 'answer(volume.index, \'1\', \'{"motion": {"pose": "\\\\ud800"}}\')',
    "a map without its file": "MAP",
}
SAYS = """
import json, os, sys

CHANNEL = int(sys.argv[1])
OF = {{"entities": {{"subject": "01", "task": "nf", "run": "01"}}}}
PLACE = {{"shape": [2, 2, 2], "affine": [1.0] * 16, "fields": {{}}}}
MAP = json.dumps({{"say": "map", **OF, **PLACE, "contrast": "a", "statistic": "t"}}).encode() + b"\\n"

def answer(index, value, measures="null"):
    of = json.dumps(OF)[1:-1]
    text = '{{"say": "answer", %s, "volume": %d, "value": %s, "answered": 1.0, "measures": %s}}'
    return (text % (of, index, value, measures)).encode() + b"\\n"

def feedback(volume, run):
    if volume.index == {bad}:
        said = {what}
        while said:
            said = said[os.write(CHANNEL, said):]
    return volume.index
"""
THREADS = """
import threading

def start(run):
    def go():
        while True:
            run.set_alternate({"x": "y" * 60_000})

    for _ in range(3):
        threading.Thread(target=go, daemon=True).start()

def feedback(volume, run):
    return volume.index
"""


@pytest.mark.parametrize("what", SAID.values(), ids=SAID)
def test_what_a_script_writes_to_its_channel_has_it_started_again_and_no_more(tmp_path, caplog, capfd, what):
    hostile, answers, tally = beside(tmp_path, SAYS.format(bad=BAD, what=what))
    assert [row["value"] for row in answers] == list(range(COUNT))
    assert [row["status"] for row in hostile] == ["alternate" if index == BAD else "ok" for index in range(COUNT)]
    assert tally.restarts == 1
    assert "was not understood" in caplog.text
    assert "Traceback" not in capfd.readouterr().err


def test_threads_that_speak_at_once_do_not_spoil_each_others_lines(tmp_path, caplog):
    talks, answers, tally = beside(tmp_path, THREADS)
    assert {row["status"] for row in talks + answers} == {"ok"}
    assert (tally.restarts, caplog.text) == (0, "")


def test_a_script_that_breaks_off_its_process_does_so_in_a_line(tmp_path, caplog, capfd):
    hostile, answers, tally = beside(tmp_path, HOSTILE.format(bad=BAD, what="raise KeyboardInterrupt"))
    assert [row["value"] for row in answers] == list(range(COUNT))
    assert [row["status"] for row in hostile] == ["alternate" if index == BAD else "ok" for index in range(COUNT)]
    assert tally.restarts == 1
    assert "its process ends: KeyboardInterrupt" in caplog.text
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("what", [VALUES["a dict in itself"], VALUES["an integer that no float holds"]])
def test_what_cannot_be_sent_costs_one_line_in_the_runs_own_process_too(tmp_path, what):
    kept = Lines()
    here = lane(tmp_path / "here", HOSTILE.format(bad=BAD, what=what), kept)
    here._make_host = lambda recipe, is_overdue, recall: ExperimentHere(recipe)
    session([here]).run(Inbox(volume(index) for index in range(COUNT)))
    assert [row["status"] for row in kept.rows] == ["alternate" if index == BAD else "ok" for index in range(COUNT)]


class Garbling(ExperimentProcess):
    """An experiment of which something comes that nobody has thought of."""

    def replies(self) -> list[Reply]:
        replies = super().replies()
        if any(isinstance(reply, Answer) and reply.volume == BAD for reply in replies):
            raise TypeError("not to be taken")
        return replies


def test_whatever_comes_of_an_experiment_is_the_fault_of_that_one(tmp_path, caplog):
    kept = Lines()
    garbles, answers = lane(tmp_path / "garbles", ANSWERS, kept), lane(tmp_path / "answers", ANSWERS, kept)
    garbles._make_host = Garbling

    session([garbles, answers]).run(Inbox(each_answered(kept, [garbles, answers])))
    assert [row["value"] for row in kept.of("answers")] == list(range(COUNT))
    assert [row["status"] for row in kept.of("garbles")] == ["alternate" if index == BAD else "ok" for index in range(COUNT)]
    assert "TypeError: not to be taken" in caplog.text


def test_what_a_script_raises_cannot_steer_a_terminal(tmp_path, caplog):
    raises = "def feedback(volume, run):\n    raise ValueError('\\x1b[31mred\\x07 \\x9b2J na\\u00efve')\n"
    session([lane(tmp_path / "odd", raises, Lines())]).run(Inbox([volume(0)]))
    assert r"ValueError: \x1b[31mred\x07 \x9b2J naïve" in caplog.text


def test_whatever_is_logged_reaches_a_terminal_and_a_file_without_control_characters(tmp_path, capsys):
    logger = logging.getLogger("rtbids")
    before = logger.handlers[:], logger.propagate, logger.level
    console.set_up(verbose=False, quiet=False, log_file=str(tmp_path / "log"), log_json=False)
    try:
        logger.warning("%s", "\x1b]0;title\x07")
        console.flush()
    finally:
        logger.handlers[:], logger.propagate = before[:2]
        logger.setLevel(before[2])
    for said in (capsys.readouterr().err, (tmp_path / "log").read_text()):
        assert r"\x1b]0;title\x07" in said
        assert "\x1b]0" not in said
