"""What a client of the control socket may ask of a run, and what it may not: no request costs the run anything."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from run.sessions import Lines, apart, lane, session, volume

from rtbids import private
from rtbids.cli import experiments
from rtbids.pipeline import Inbox
from rtbids.run.control.control import Control
from rtbids.run.control.orders import Orders
from rtbids.volume import Item

ANSWERS = "def feedback(volume, run):\n    return volume.index\n"
REFUSED = {
    "lists in lists": b"[" * 60_000,
    "half an object": b'{"do":' + b"[" * 40_000,
    "no text for what to do": b'{"do": ["stop"]}',
    "a list for a name": b'{"do": "stop", "experiment": [1]}',
    "an object for a name": b'{"do": "restart", "experiment": {"a": 1}}',
    "no name": b'{"do": "stop"}',
    "half a character": b'{"do": "\\ud800"}',
    "half a character in a name": b'{"do": "restart", "experiment": "\\ud800"}',
    "a number of thousands of digits": b'{"do": 1' + b"1" * 5000 + b"}",
    "a path that cannot be": b'{"do": "start", "experiment": "\\u0000"}',
    "a path of half a character": b'{"do": "start", "experiment": "\\ud800"}',
    "a setting without a value": b'{"do": "start", "experiment": "quality_monitor", "set": ["a"]}',
    "a contrast that is none": b'{"do": "start", "experiment": "quality_monitor", "set": ["analysis.contrasts.up=a >> rest"]}',
    "a deadline that no float holds": b'{"do": "start", "experiment": "quality_monitor", "deadline": 1' + b"0" * 400 + b"}",
    "a destination that cannot be": b'{"do": "start", "experiment": "quality_monitor", "feedback": ["tcp://:99999999"]}',
}


@pytest.mark.parametrize("request_line", REFUSED.values(), ids=REFUSED)
def test_a_request_that_makes_no_sense_is_refused_and_the_run_goes_on(tmp_path, caplog, runtime_folder, request_line):
    kept = Lines()
    one = session([lane(tmp_path / "answers", ANSWERS, kept)])

    def prepare(request, taken):
        return experiments.prepared(request, taken, {"kept": kept}, apart, lambda said: None)

    orders = Orders(one, prepare, {})
    listener, path = private.listening()
    orders.control = one.control = Control(listener, path, orders.take)
    replies = []

    def items() -> Iterator[Item]:
        yield volume(0)
        kept.wait_for("answers", 0)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(str(path))
            with client.makefile("rb") as lines:
                for line in (request_line, b'{"do": "status"}'):
                    client.sendall(line + b"\n")
                    replies.append(json.loads(lines.readline()))
        yield volume(1)
        kept.wait_for("answers", 1)

    one.run(Inbox(items()))
    refused, status = replies
    assert (refused["ok"], status["ok"]) == (False, True)
    assert "\n" not in refused["error"]
    assert [row["value"] for row in kept.rows] == [0, 1]
