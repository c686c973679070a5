"""What a line of a response says, and how it stands in a table and comes back from there."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbids.bids import events as bids_events
from rtbids.errors import BadData
from rtbids.run.responses.lines import LONGEST, RateLimit, Splitter
from rtbids.run.responses.responses import Response, merged, parse, split

NOW = 1_700_000_000.125
DESIGN = "onset\tduration\ttrial_type\tloudness\n0\t20\trest\tn/a\n20\t20\ttask\t3\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"event": "button", "value": "1"}', Response("button", "1", NOW)),
        (b'{"event": "button", "value": 1}', Response("button", "1", NOW)),
        (b'{"event": "key", "value": true, "time": 12.5}', Response("key", "true", NOW, 12.5)),
        (b'{"event": "face", "duration": 2}\r', Response("face", "", NOW, None, 2.0)),
        (b'{"event": "rating", "value": {"left": 2, "rt": 0.53}}', Response("rating", '{"left":2,"rt":0.53}', NOW)),
        (b'{"event": "b", "value": null, "time": null}', Response("b", "", NOW)),
        (b'\xe2\x80\x83{"event": "b"}\xc2\xa0', Response("b", "", NOW)),  # spaces that are no ASCII
        (b'{"event": "b"}\x1c', Response("b", "", NOW)),
        (b"  2 ", Response("response", "2", NOW)),
        ("größer".encode(), Response("response", "größer", NOW)),
        (b'{"event": " a\\tb\\u2028c ", "value": "x\\ny\\u0000"}', Response("a b c", "x y", NOW)),
        (b'{"event": "b", "value": "\\ud800"}', Response("b", "", NOW)),  # half a character cannot be written
        (b'{"event": "b", "value": "\\"cited\\""}', Response("b", "'cited'", NOW)),
    ],
)
def test_a_line_is_a_response(line: bytes, expected: Response):
    assert parse(line, NOW)[0] == expected


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"event": "button"', "expected JSON"),
        (b'{"event": "button", "time": NaN}', "NaN is no JSON"),
        (b"{" + b'"a":[' * 800, "expected JSON"),
        (b'{"value": "1"}', 'under "event"'),
        (b'{"event": ""}', 'under "event"'),
        (b'{"event": "n/a"}', 'under "event"'),
        (b'{"event": 1}', 'under "event"'),
        (b'{"event": "' + b"x" * 101 + b'"}', "up to 100 characters"),
        (b'{"event": "b", "time": "now"}', 'seconds under "time"'),
        (b'{"event": "b", "time": true}', 'seconds under "time"'),
        (b'{"event": "b", "time": 1e999}', 'seconds under "time"'),
        (b'{"event": "b", "time": -1e999}', 'seconds under "time"'),
        (b'{"event": "b", "time": -1' + b"0" * 400 + b"}", 'seconds under "time"'),
        (b'{"event": "b", "value": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}", "expected"),
        (b'{"event": "b", "duration": -1}', 'seconds under "duration"'),
        (b'{"event": "b", "duration": 1e12}', 'seconds under "duration", 1000000 at most'),
        (b"\xff\xfe1", "UTF-8"),
        (b"a\x00b", "control characters"),
    ],
)
def test_a_line_that_is_no_response_is_refused_and_not_quoted(line: bytes, says: str):
    with pytest.raises(BadData, match=says) as refusal:
        parse(line, NOW)
    assert "\n" not in str(refusal.value)


def test_unknown_keys_are_found():
    assert parse(b'{"event": "button", "vlaue": "1", "rt": 0.2}', NOW)[1] == ["vlaue", "rt"]
    assert parse(b"1", NOW)[1] == []


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: json.dumps({"event": text, "value": text}).encode()))
def test_whatever_is_sent_is_a_row_or_a_refusal(line: bytes):
    try:
        response, _ = parse(line, NOW)
    except BadData:
        return
    text = merged(DESIGN, [response])
    text.encode()
    assert len(bids_events.read(text, "events.tsv").rows) == 3
    assert split(text)[1] == (response,)


def test_responses_stand_among_the_events_in_order_of_onset():
    pressed = Response("button", "1", NOW, NOW - 0.002, onset=25.5, after_volume=12)
    rows = merged(DESIGN, [pressed]).splitlines()
    assert " ".join(rows[0].split("\t")) == "onset duration trial_type loudness value arrived sender_time after_volume"
    assert rows[1:3] == ["0\t20\trest\tn/a\tn/a\tn/a\tn/a\tn/a", "20\t20\ttask\t3\tn/a\tn/a\tn/a\tn/a"]
    assert rows[3] == f"25.5\t0.0\tbutton\tn/a\t1\t{NOW}\t{NOW - 0.002}\t12"


def test_without_events_the_responses_are_the_table():
    rows = merged(None, [Response("button", "1", NOW, onset=1.5), Response("button", "2", NOW, onset=-0.5)]).splitlines()
    assert rows[0].split("\t")[:3] == ["onset", "duration", "trial_type"]
    assert [row.split("\t")[0] for row in rows[1:]] == ["-0.5", "1.5"]


def test_what_came_live_is_told_from_what_was_known_beforehand():
    came = (
        Response("button", "1", NOW, NOW - 0.002, onset=25.5, after_volume=12),
        Response("face", "", NOW + 1, None, 2.0, 26.5, 12),
        Response("button", "2", NOW - 9, None, onset=16.5, after_volume=8),
    )
    known, live = split(merged(DESIGN, came))
    assert live == (came[2], came[0], came[1])
    assert bids_events.read(known, "events").rows == bids_events.read(DESIGN, "events").rows
    assert bids_events.read(known, "events").conditions == ("rest", "task")


def test_a_table_without_responses_is_left_as_it_is():
    assert split(DESIGN) == (DESIGN, ())


def test_responses_of_a_second_run_of_the_same_events_are_added_to_those_of_the_first():
    first = Response("button", "1", NOW, onset=1.0, after_volume=0)
    second = replace(first, value="2", onset=2.0)
    assert split(merged(merged(DESIGN, [first]), [second]))[1] == (first, second)


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), max_size=20), st.data())
def test_lines_do_not_depend_on_the_pieces_that_they_come_in(lines: list[bytes], data: st.DataObject):
    content = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=10)))
    splitter, came = Splitter(), []
    for start, stop in zip([0, *cuts], [*cuts, len(content)], strict=True):
        came += splitter.feed(content[start:stop]) if stop > start else []
    assert came == lines


def test_a_line_that_has_no_end_is_left_out_once_and_the_next_one_comes_through():
    splitter = Splitter()
    came: list[bytes | None] = []
    for _ in range(1000):
        came += splitter.feed(b"x" * 1000)
    came += splitter.feed(b"\nbutton\n")
    assert came == [None, b"button"]


def test_the_longest_line_is_taken_and_a_longer_one_is_not():
    assert list(Splitter().feed(b"x" * LONGEST + b"\n")) == [b"x" * LONGEST]
    assert list(Splitter().feed(b"x" * (LONGEST + 1) + b"\n")) == [None]


def test_a_line_without_its_end_is_whole_when_the_sender_leaves():
    splitter = Splitter()
    assert list(splitter.feed(b"1")) == []
    assert list(splitter.feed(b"")) == [b"1"]


def test_a_burst_is_allowed_and_after_it_a_rate():
    limit = RateLimit(rate=8, burst=5)
    assert [limit.allows(0.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [limit.allows(step / 8) for step in range(1, 20)] == [True] * 19
    assert sum(limit.allows(3.0 + step / 128) for step in range(1280)) == pytest.approx(80, abs=5)
