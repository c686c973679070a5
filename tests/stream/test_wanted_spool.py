"""What is held of a stream on the side that sends, as the side that takes it wants it."""

from __future__ import annotations

import pytest

from rtbids.stream.far import wanted_spool
from rtbids.stream.far.wanted_spool import wanted
from rtbids.stream.link.spool import IN_MEMORY, MEMORY, Spool, entry_of


def held(spool: Spool, size: int) -> list[str]:
    """Return where entries of one size go until there is no more room."""
    found = []
    while (place := spool.room(size)) is not None and len(found) < 20:
        found.append("memory" if place == IN_MEMORY else "disk")
        entry = entry_of("x", [memoryview(bytes(size))], 0.0, False)
        entry.place = place
        spool.put(entry)
    return found


def test_memory_and_disk_are_as_they_were_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert held(wanted({"spool": {"memory": 3 << 20, "disk": 2 << 20}}), 1 << 20) == ["memory"] * 3 + ["disk"] * 2


@pytest.mark.parametrize("asked", [None, "much", {"memory": -1}, {"memory": True, "disk": 0.5}])
def test_what_is_no_size_is_the_default(asked):
    assert held(wanted({"spool": asked}), MEMORY // 4) == ["memory"] * 4


def test_nobody_is_given_all_that_this_machine_has(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(wanted_spool, "_free", lambda: 2 << 20)
    assert held(wanted({"spool": {"memory": 0, "disk": 1 << 60}}), 1 << 20) == ["memory", "disk", "disk"]
    monkeypatch.setattr(wanted_spool, "MOST_MEMORY", 3 << 20)
    assert held(wanted({"spool": {"memory": 1 << 60}}), 1 << 20) == ["memory"] * 3
