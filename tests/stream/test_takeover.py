"""Who may take a place over: nobody from a sender that is heard, its own next start from one that is silent."""

from __future__ import annotations

import pytest

from rtbids.errors import CannotWrite
from rtbids.stream.far import takeover

PLACE = "/study"


def keeper(heard: float, *, is_up: bool = True) -> dict:
    return {"pid": 7, "arguments": {"sender": "me", "began": 10.0}, "link": {"is_up": is_up, "heard": heard}}


def looked(*keepers: dict, sender: str = "me", began: float = 20.0) -> list[bool]:
    """Look at a keeper once a second."""
    heard: dict[int, float] = {}
    arguments = {"sender": sender, "began": began}
    return [takeover._is_over(one, PLACE, arguments, heard, float(second)) for second, one in enumerate(keepers)]


def test_a_sender_that_says_something_every_second_is_left_alone_when_it_is_started_again() -> None:
    with pytest.raises(CannotWrite, match="has this stream already"):
        looked(*(keeper(100.0 + second) for second in range(5)))


def test_a_sender_that_is_silent_though_its_connection_is_up_makes_room_for_its_next_start() -> None:
    assert looked(*[keeper(100.0)] * 9) == [False] * 7 + [True] * 2


def test_a_sender_without_a_connection_makes_room_at_once() -> None:
    assert looked(keeper(0.0, is_up=False), sender="somebody else") == [True]


@pytest.mark.parametrize(("sender", "began"), [("somebody else", 20.0), ("me", 5.0)])
def test_nobody_else_and_no_earlier_start_waits_for_a_sender_to_be_silent(sender: str, began: float) -> None:
    with pytest.raises(CannotWrite, match="in use by another stream since"):
        looked(keeper(100.0), sender=sender, began=began)
