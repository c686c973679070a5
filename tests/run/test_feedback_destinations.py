"""Where feedback goes, and what a script may give."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest

from rtbids.errors import ExperimentFault
from rtbids.run.deadlines import Line
from rtbids.run.feedback.feedback import as_json, as_tsv, fields
from rtbids.run.feedback.queued import Lines, Queued
from rtbids.run.script.values import checked


def test_the_reader_learns_of_the_end_when_a_destination_is_closed():
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    destination = Queued("a pipe", Lines(writer, as_json), live=True)
    destination.send({"volume": 0, "status": "ok"})
    destination.close()
    assert json.loads(os.read(reader, 1000)) == {"volume": 0, "status": "ok"}
    assert os.read(reader, 1000) == b""
    os.close(reader)


def test_a_destination_says_how_many_lines_its_reader_left(caplog):
    reader, writer = os.pipe()
    destination = Queued("a pipe", Lines(writer, as_json), live=True)
    destination.send({"value": "x" * (1 << 20), "status": "ok"})  # more than a pipe holds
    for index in range(3):
        destination.send({"volume": index, "status": "ok"})
    destination.close(timeout=0)
    assert "4 lines were left out" in caplog.text
    os.close(reader)


def test_a_line_that_cannot_be_written_costs_no_other(caplog):
    reader, writer = os.pipe()
    destination = Queued("a pipe", Lines(writer, as_json), live=True)
    for value in (1.0, math.nan, math.nan, 2.0):  # JSON has no NaN
        destination.send({"value": value, "status": "ok"})
    destination.close()
    assert [json.loads(line)["value"] for line in os.read(reader, 1000).splitlines()] == [1.0, 2.0]
    assert caplog.text.count("a line is left out (ValueError") == 1
    assert "2 lines were left out" in caplog.text
    os.close(reader)


def test_a_line_of_a_table_keeps_to_its_cells():
    line = Line(3, {"left": 1.5, "name": "a\tb"}, "ok", None, 1.25, None, 2.0)
    assert as_tsv(fields("mine", "sub-01_task-nf_run-01", line)).rstrip("\n").split("\t") == [
        "mine",
        "sub-01_task-nf_run-01",
        "3",
        '{"left":1.5,"name":"a\\tb"}',
        "ok",
        "n/a",
        "1.25",
        "n/a",
        "2.0",
    ]


@pytest.mark.parametrize("value", [np.float32(1.5), np.array(1.5), 1.5])
def test_a_number_of_numpy_is_a_number(value):
    assert checked(value) == 1.5


@pytest.mark.parametrize("value", [np.ones(3), np.array(np.nan), np.array("a word"), [1.0]])
def test_what_is_no_feedback_is_the_scripts_fault(value):
    with pytest.raises(ExperimentFault, match="feedback is a"):
        checked(value)
