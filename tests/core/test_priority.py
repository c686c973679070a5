"""The loop runs before others where the system lets it, and nobody else does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from rtbids.priority import first_in_line, give_way

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such call")


def test_a_thread_is_first_while_the_body_lasts_and_what_it_starts_is_not():
    before = os.sched_getscheduler(0)
    found: list[int] = []
    with first_in_line() as allowed:
        inside = os.sched_getscheduler(0)
        thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
        thread.start()
        thread.join()
        policy = "import os; print(os.sched_getscheduler(0))"
        child = int(subprocess.run([sys.executable, "-c", policy], capture_output=True, check=True).stdout)
    assert inside == (os.SCHED_RR | os.SCHED_RESET_ON_FORK if allowed else before)
    assert (found, child) == ([os.SCHED_OTHER], os.SCHED_OTHER)
    assert os.sched_getscheduler(0) == before


def test_who_may_not_goes_on_as_before(monkeypatch):
    def refuse(*arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with first_in_line() as allowed:
        assert not allowed


def test_who_may_not_take_the_flag_back_is_no_longer_first(monkeypatch):
    asked: list[int] = []

    def limited(process: int, policy: int, rank: os.sched_param) -> None:  # as Linux does for who has an rtprio limit
        asked.append(policy)
        if len(asked) > 1 and not policy & os.SCHED_RESET_ON_FORK:
            raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", limited)
    with first_in_line() as allowed:
        assert allowed
    assert asked[-1] == os.SCHED_OTHER | os.SCHED_RESET_ON_FORK


@pytest.mark.parametrize(("before", "after"), [(0, 10), (15, 15)])
def test_a_thread_that_gives_way_is_never_brought_forward(before, after):
    found: list[int] = []

    def work() -> None:
        own = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, own, max(before, os.getpriority(os.PRIO_PROCESS, own)))
        give_way()
        found.append(os.getpriority(os.PRIO_PROCESS, own))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [max(after, os.getpriority(os.PRIO_PROCESS, 0))]


def test_who_may_not_give_way_goes_on(monkeypatch):
    def refuse(*arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    give_way()
