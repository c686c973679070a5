"""The events of a run: which volumes lie in which condition."""

from __future__ import annotations

import timeit
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtbids.bids import events
from rtbids.bids.events import Event
from rtbids.errors import BadData

TABLE = "onset\tduration\ttrial_type\n20\t10\tregulate\n0\t10\tbaseline\n10.0\t10\tregulate\n"


def test_rows_come_in_order_of_onset() -> None:
    assert events.read(TABLE, "events.tsv").rows == (
        Event(0.0, 10.0, "baseline"),
        Event(10.0, 10.0, "regulate"),
        Event(20.0, 10.0, "regulate"),
    )


def test_conditions_come_in_order_of_first_appearance() -> None:
    assert events.read(TABLE, "events.tsv").conditions == ("baseline", "regulate")


def test_an_event_covers_the_windows_that_it_overlaps() -> None:
    read = events.read(TABLE, "events.tsv")
    starts = np.array([-2.0, -1.5, 0.0, 9.9, 10.0, 29.9, 30.0])
    assert read.covers("baseline", starts, 2.0).tolist() == [False, True, True, True, False, False, False]
    assert read.covers("regulate", starts, 2.0).tolist() == [False, False, False, True, True, True, False]


@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60), st.sampled_from("ab")), max_size=12),
    st.sampled_from([0.72, 1.0, 1.97, 2.0, 2.5]),
)
def test_what_covers_a_volume_is_what_there_was_during_it(rows: list[tuple[int, int, str]], repetition_time: float) -> None:
    """One rule for percent signal change, decoders, `events_of` and the report, on the borders too."""
    read = events.Events(tuple(sorted((Event(o / 10, d / 10, name) for o, d, name in rows), key=lambda event: event.onset)))
    starts = np.arange(20) * repetition_time
    during = [{event.trial_type for event in read.during(n * repetition_time, (n + 1) * repetition_time)} for n in range(20)]
    for name in "ab":
        assert read.covers(name, starts, repetition_time).tolist() == [name in types for types in during]
    assert read.covers("rest", starts, repetition_time).tolist() == [not types for types in during]


@pytest.mark.parametrize("onset", [2.0, 2.9, 3.999])
def test_an_event_without_duration_covers_the_volume_that_it_falls_in_alone(onset: float) -> None:
    read = events.Events((Event(onset, 0.0, "flash"),))
    assert read.covers("flash", np.arange(5) * 2.0, 2.0).tolist() == [False, True, False, False, False]


def test_every_volume_of_a_block_is_counted_though_its_time_is_a_binary_multiple() -> None:
    repetition_time = 1.97
    text = "onset\tduration\ttrial_type\n" + "".join(f"{n * 10 * 1.97:.2f}\t19.70\tc{n}\n" for n in range(50))
    read = events.read(text, "events.tsv")
    starts = np.arange(500) * repetition_time
    assert [int(read.covers(f"c{n}", starts, repetition_time).sum()) for n in range(50)] == [10] * 50


@given(st.lists(st.tuples(st.integers(-5, 25), st.integers(1, 12), st.sampled_from("ab")), max_size=12))
def test_events_that_overlap_cover_what_each_of_them_does(rows: list[tuple[int, int, str]]) -> None:
    so_far = events.EventsSoFar()
    times = np.arange(-8.0, 40.0)
    for onset, duration, name in rows:
        so_far.covers("a", times, 1.0)  # what was asked before does not hold for what comes after
        so_far.add(Event(float(onset), float(duration), name))
    for name in "ab":
        own = [range(onset, onset + duration) for onset, duration, other in rows if other == name]
        assert so_far.covers(name, times, 1.0).tolist() == [any(time in span for span in own) for time in times]
    every = [range(onset, onset + duration) for onset, duration, _ in rows]
    assert so_far.covers("rest", times, 1.0).tolist() == [not any(time in span for span in every) for time in times]


def test_a_question_costs_no_more_where_there_are_many_events() -> None:
    """Seven hundred times as many; what each costs is the search among them."""
    few, many = (events.Events(tuple(Event(10.0 * n, 5.0, "go") for n in range(count))) for count in (1, 700))
    times = np.arange(7200.0)
    assert many.covers("rest", times, 1.0).sum() == 7200 - 3500
    took = []
    for table in (few, many):
        table.covers("rest", times, 1.0)
        took.append(min(timeit.repeat(lambda table=table: table.covers("rest", times, 1.0), number=5, repeat=5)))
    assert took[1] < 30 * took[0]


@pytest.mark.parametrize(("row", "name"), [("10\t1e12", "duration"), ("1e19\t5", "onset"), ("-2e6\t5", "onset")])
def test_times_that_no_run_has_are_refused_in_a_line(row: str, name: str) -> None:
    with pytest.raises(
        BadData, match=rf"^events.tsv, line 3: the {name} of an event is in seconds, 1000000 at most, found \S+$"
    ):
        events.read(f"onset\tduration\n1\t2\n{row}\n", "events.tsv")


def test_rest_is_what_no_event_covers() -> None:
    read = events.read(TABLE, "events.tsv")
    assert read.covers("rest", np.array([-1.0, 5.0, 15.0, 30.0]), 1.0).tolist() == [True, False, False, True]


def test_rest_is_its_own_events_where_the_table_names_it() -> None:
    read = events.read("onset\tduration\ttrial_type\n0\t10\trest\n", "events.tsv")
    assert read.covers("rest", np.array([5.0, 15.0]), 1.0).tolist() == [True, False]


def test_a_condition_that_is_nowhere_covers_nothing() -> None:
    assert not events.read(TABLE, "events.tsv").covers("stop", np.arange(30.0), 1.0).any()


def test_the_shape_of_the_times_is_kept() -> None:
    assert events.read(TABLE, "events.tsv").covers("rest", np.zeros((3, 2)), 1.0).shape == (3, 2)


@pytest.mark.parametrize(
    "text", ["onset\tduration\n1\tn/a\n", "\ufeffonset\tduration\r\n1\t0\r\n", "duration\tonset\ttrial_type\n0\t1\tn/a\n"]
)
def test_tables_of_the_fields_programs_are_read(text: str) -> None:
    assert events.read(text, "events.tsv").rows == (Event(1.0, 0.0, ""),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"events.tsv: expected tab-separated columns onset and duration, found no duration and no onset"),
        ("onset,duration\n1,2\n", r"events.tsv: expected tab-separated columns"),
        ("onset\ttrial_type\n1\ta\n", r"events.tsv: .* found no duration$"),
        ("onset\tduration\n1\t2\nsoon\t2\n", r"events.tsv, line 3: onset and duration are seconds, found 'soon' and '2'"),
        ("onset\tduration\n1\n", r"events.tsv, line 2: onset and duration are seconds, found '1' and None"),
        ("onset\tduration\nn/a\t1\n", r"events.tsv, line 2: "),
        ("onset\tduration\nnan\t1\n", r"events.tsv, line 2: "),
        ("onset\tduration\n1\tinf\n", r"events.tsv, line 2: "),
        ("onset\tduration\ttrial_type\n1\t1\ta\n2\t1\n", r"events.tsv, line 3: fewer cells than the header has columns"),
        ("onset\tduration\n1\t1\ta\n", r"events.tsv, line 2: more cells than the header has columns"),
    ],
)
def test_a_malformed_table_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(BadData, match=message):
        events.read(text, "events.tsv")


def test_the_events_of_a_real_run_are_read(real_data: Path) -> None:
    (file,) = (real_data / "bids_oneback").rglob("*_events.tsv")
    read = events.read(file.read_text(), file.name)
    assert len(read.rows) == len(file.read_text().splitlines()) - 1
    assert read.conditions


def test_onset_and_duration_become_the_first_columns_as_bids_asks() -> None:
    given = "\ufefftrial_type\tduration\tonset\na\t1\t0\r\nb\tn/a\t2.50\n"
    assert events.in_order(given) == "onset\tduration\ttrial_type\n0\t1\ta\n2.50\tn/a\tb\n"


def test_a_table_in_order_stays_as_it_is() -> None:
    assert events.in_order(TABLE) == TABLE


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0.0, 2.0, ["block"]),  # from its onset ...
        (8.0, 10.0, ["block"]),  # ... to its end,
        (10.0, 12.0, ["press"]),  # which belongs to the next window, as does an event without duration at the border
        (12.0, 14.0, ["long", "within"]),
        (16.0, 18.0, ["long"]),  # a short event has come and gone since
        (20.0, 22.0, []),
        (-2.0, 0.0, []),
    ],
)
def test_a_window_has_the_events_that_overlap_it(start: float, stop: float, expected: list[str]) -> None:
    table = "onset\tduration\ttrial_type\n0\t10\tblock\n10\t0\tpress\n12\t8\tlong\n13\t1\twithin\n"
    assert [event.trial_type for event in events.read(table, "events.tsv").during(start, stop)] == expected


@pytest.mark.parametrize("repetition_time", [0.1, 0.72, 0.8, 1.97, 2.0])
def test_a_moment_at_the_border_of_two_volumes_is_in_the_later_one_whatever_the_tr(repetition_time: float) -> None:
    table = "onset\tduration\n" + "".join(f"{n * repetition_time:.3f}\tn/a\n" for n in range(300))
    read = events.read(table, "events.tsv")
    found = [read.during(index * repetition_time, (index + 1) * repetition_time) for index in range(300)]
    assert [[event.onset for event in one] for one in found] == [[round(n * repetition_time, 3)] for n in range(300)]


SECONDS = st.integers(0, 400).map(lambda tenths: tenths / 10)


@example(rows=[(20.7, 0.0)], start=4.1, length=16.6)
@given(rows=st.lists(st.tuples(SECONDS, st.sampled_from([0.0, 0.5, 3.0, 25.0])), max_size=30), start=SECONDS, length=SECONDS)
def test_windows_agree_with_looking_at_every_event(rows: list[tuple[float, float]], start: float, length: float) -> None:
    table = "onset\tduration\n" + "".join(f"{onset}\t{duration}\n" for onset, duration in rows)
    stop = round(start + length, 1)  # all are tenths of a second: what a sum has beyond them is no time
    expected = sorted(
        (onset, duration) for onset, duration in rows if onset < stop and (round(onset + duration, 1) > start or onset >= start)
    )
    found = events.read(table, "events.tsv").during(start, start + length)
    assert sorted((event.onset, event.duration) for event in found) == expected


def test_every_cell_of_a_row_is_at_hand() -> None:
    (event,) = events.read("onset\tduration\tstim_id\n1\t2\tface10\n", "events.tsv").rows
    assert event.cells["stim_id"] == "face10"
