"""Which connection goes when there are too many."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from rtbids.watch.callers import ARTIM, MOST, Callers


@pytest.fixture
def connections() -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(socket.socket()) for _ in range(2 * MOST + 1)]


def test_the_oldest_of_the_address_with_the_most_idle_connections_makes_room(connections):
    callers = Callers()
    for moment, connection in enumerate(connections[:-1]):
        assert callers.arrive(connection, "10.0.0.1" if moment < MOST - 1 else "10.0.0.2", moment) is None
    assert callers.arrive(connections[-1], "10.0.0.3", 2 * MOST) is connections[MOST - 1]


def test_who_has_an_association_stays(connections):
    callers = Callers()
    for connection in connections[:-1]:
        callers.arrive(connection, "10.0.0.1", 0)
    assert callers.associate(connections[0]) == ""
    assert callers.arrive(connections[-1], "10.0.0.2", 1) is connections[1]
    assert connections[0] not in callers.overdue(100)


def test_who_was_hung_up_on_gets_no_association(connections):
    callers = Callers()
    callers.arrive(connections[0], "10.0.0.1", 0)
    assert callers.overdue(ARTIM - 0.1) == []
    assert callers.overdue(ARTIM) == [connections[0]]
    assert callers.overdue(ARTIM) == []
    assert callers.associate(connections[0]) != ""


def test_an_ended_association_leaves_its_place_and_then_its_connection(connections):
    callers = Callers()
    callers.arrive(connections[0], "10.0.0.1", 0)
    callers.associate(connections[0])
    callers.end(connections[0], 50)
    assert callers.overdue(50 + ARTIM - 0.1) == []
    assert callers.overdue(50 + ARTIM) == [connections[0]]


def test_connections_that_are_closed_count_no_more(connections):
    callers = Callers()
    for connection in connections[:-1]:
        callers.arrive(connection, "10.0.0.1", 0)
    connections[7].close()
    assert callers.arrive(connections[-1], "10.0.0.1", 1) is None
