"""Dates move by days, as the calendar has them; what is no date is left out."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbids.deidentify.dates import shifted

DAYS = -66_000


def moved(text: str, vr: str = "DA", days: int = DAYS) -> str:
    return shifted(text.encode(), days, vr).decode()


def day(text: str) -> str:
    """Return the day by the calendar of Python's own."""
    return (date(int(text[:4]), int(text[4:6]), int(text[6:])) + timedelta(DAYS)).strftime("%Y%m%d").rjust(8, "0")


def test_a_day_moves_as_the_calendar_has_it() -> None:
    assert moved("20190203") == day("20190203")
    assert moved("20200229") == day("20200229")


@given(st.dates(date(1880, 1, 1), date(2099, 12, 31)), st.integers(-73_131, -64_000))
@settings(max_examples=200, deadline=None)
def test_every_day_of_our_time_lands_in_1925_or_earlier(when: date, days: int) -> None:
    new = moved(when.strftime("%Y%m%d"), days=days)
    assert date(int(new[:4]), int(new[4:6]), int(new[6:])) - when == timedelta(days)
    assert int(new[:4]) <= 1925


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("20190203 ", day("20190203")),
        ("2019.02.03", f"{day('20190203')[:4]}.{day('20190203')[4:6]}.{day('20190203')[6:]}"),  # ACR-NEMA
        ("20190203\\20200229", f"{day('20190203')}\\{day('20200229')}"),
        ("20190203-20200229", f"{day('20190203')}-{day('20200229')}"),
        ("20190203-", f"{day('20190203')}-"),
        ("-20190203", f"-{day('20190203')}"),
        ("", ""),
        (" ", ""),
    ],
)
def test_forms_of_days(text: str, left: str) -> None:
    assert moved(text) == left


@pytest.mark.parametrize(
    "text", ["20190230", "2019-02-03", "03.02.2019", "Jane Doe", "2019020", "00000000", "99991231", "201902031"]
)
def test_what_is_no_day_is_left_out(text: str) -> None:
    assert moved(text) == ""


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("20190203101112.123456+0100", day("20190203") + "101112.123456+0100"),
        ("20190203101112-0500", day("20190203") + "101112-0500"),
        ("2019020310", day("20190203") + "10"),
        ("20190203", day("20190203")),
        ("201902", day("20190201")[:6]),
        ("2019", day("20190701")[:4]),
        ("2019-0500", day("20190701")[:4] + "-0500"),
        ("2019-2020", f"{day('20190701')[:4]}-{day('20200701')[:4]}"),
        ("20190203-20200229", f"{day('20190203')}-{day('20200229')}"),
        ("20190203101112+0100-20200229", f"{day('20190203')}101112+0100-{day('20200229')}"),
        ("20190203\\20200229", f"{day('20190203')}\\{day('20200229')}"),
    ],
)
def test_forms_of_moments(text: str, left: str) -> None:
    assert moved(text, "DT") == left


@pytest.mark.parametrize("text", ["20191", "2019020", "20190203101112&ZZXX", "2019-02-03T10:11:12", "20190203 Doe", "20191301"])
def test_what_is_no_moment_is_left_out(text: str) -> None:
    assert moved(text, "DT") == ""


@given(st.binary(max_size=40), st.sampled_from(["DA", "DT"]))
@settings(max_examples=300, deadline=None)
def test_no_bytes_break_it_and_none_stay_as_they_are(value: bytes, vr: str) -> None:
    new = shifted(value, DAYS, vr)
    assert new == b"" or new != value
