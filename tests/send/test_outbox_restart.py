"""A start after a power cut, with a clock that was set, or with other destinations: nothing waits for what is no more."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading

import pytest
from executioner import in_a_child
from send.outbox_parts import FarSide, blank, folder_of, image

from rtbids.clock import CLOCK, ManualClock
from rtbids.errors import CannotWrite, ConnectionLost, InputMissing, UsageFault
from rtbids.send import claims, database, lines, owners, pool, steps, wiping
from rtbids.send.backoff import LONGEST
from rtbids.send.destinations import Failure
from rtbids.send.outbox import Outbox
from rtbids.send.pool import run
from rtbids.send.settings import Settings
from rtbids.send.states import State
from rtbids.send.work import Work

NOW = 1_800_000_000.0


@pytest.fixture
def outbox(database, tmp_path):
    with Outbox.open(tmp_path / "outbox", database, clock=ManualClock(NOW)) as found:
        yield found


def far(tmp_path, name, **kind):
    return FarSide(tmp_path / name, url=f"file:///{name}", **kind)


def go(outbox, batches, *destinations, **settings):
    outbox.clock = CLOCK
    given = Settings(**{"watermark": 0, "patience": 5.0} | settings)
    return run(outbox, iter(batches), destinations, blank, given, threading.Event())


def test_what_was_put_off_by_a_clock_that_was_ahead_goes_on_when_it_is_put_right(outbox, tmp_path):
    ahead = 7 * 365 * 86400.0
    outbox.clock.advance(ahead)
    outbox.add(folder_of(tmp_path / "in", [1, 2]))
    outbox.owner = owners.enter(outbox.database, outbox.clock.now())
    raw, _ = claims.claim_images(outbox, 2)
    steps.postponed(outbox, [raw], "a reason", 1.0)
    with outbox.database.writing() as transaction:
        transaction.count("UPDATE batch SET tidy_due = ? WHERE id = 1", (outbox.clock.now(),))
    outbox.clock = ManualClock(NOW)
    lines.due_soon(outbox)
    with outbox.database.reading() as transaction:
        assert transaction.rows("SELECT due FROM image ORDER BY id") == [(NOW,), (0.0,)]
    assert [each.image for each in claims.claim_images(outbox, 5)] == [raw.image]


def test_what_is_put_off_for_a_good_reason_stays_so(outbox, tmp_path):
    outbox.add(folder_of(tmp_path / "in", [1]))
    outbox.owner = owners.enter(outbox.database, NOW)
    steps.postponed(outbox, claims.claim_images(outbox, 1), "a reason", LONGEST)
    lines.due_soon(outbox)
    assert claims.claim_images(outbox, 1) == []


def test_deliveries_put_off_by_a_clock_that_was_ahead_go_on(outbox, tmp_path):
    where = far(tmp_path, "far", fault=ConnectionLost("down"))
    go(outbox, [folder_of(tmp_path / "in", [1])], where, patience=0.3)
    with outbox.database.writing() as transaction:
        transaction.count("UPDATE delivery SET due = ?", (NOW + 1e9,))
    where.fault = None
    assert go(outbox, [], where).sent == 1


def dead(outbox, beats=5):
    """Leave behind what a process of before a power cut does."""
    with outbox.database.writing() as transaction:
        sql = "INSERT INTO owner (host, pid, started, beats, rules) VALUES ('of before', 1, 1.0, ?, '') RETURNING id"
        [[number]] = transaction.rows(sql, (beats,))
    return number


def active(outbox):
    return [each.url for each in outbox.status().destinations if each.active]


def entered(outbox, where):
    outbox.owner = owners.enter(outbox.database, outbox.clock.now())
    return lines.serve(outbox, [where], outbox.owner.alone)


@pytest.mark.parametrize("lives", [False, True])
def test_after_a_power_cut_images_go_to_the_destinations_of_now_only(outbox, tmp_path, lives):
    with outbox.database.writing() as transaction:
        transaction.rows("INSERT INTO destination (url, active) VALUES ('file:///old', 1)")
    number = dead(outbox)
    numbers = entered(outbox, far(tmp_path, "new"))
    pool._tend(outbox, numbers, None)
    if lives:
        with outbox.database.writing() as transaction:
            transaction.count("UPDATE owner SET beats = beats + 1 WHERE id = ?", (number,))
        pool._tend(outbox, numbers, None)
    assert active(outbox) == ["file:///old", "file:///new"]
    outbox.clock.advance(owners.LEASE)
    pool._tend(outbox, numbers, None)
    assert active(outbox) == (["file:///old", "file:///new"] if lives else ["file:///new"])


def test_a_process_that_has_ended_and_was_not_asked_for_is_gone():
    child = in_a_child(threading.Event().wait)
    was = owners._started(child)
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # it has ended, and is there until it is asked for
    assert was > 1.0
    assert owners._started(child) == 0.0
    os.waitpid(child, 0)


def test_while_somebody_reads_names_are_not_said_to_be_wiped(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "READ", 0.05)
    with Outbox.open(tmp_path / "outbox") as outbox:
        outbox.add(folder_of(tmp_path / "in" / "Doe-Jane-1970", [1, 2, 3]))
        reader = sqlite3.connect(outbox.folder.database, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM batch").fetchall()
        go(outbox, [], far(tmp_path, "far"))

        def holding():
            return [file.name for file in outbox.folder.root.glob("outbox.sqlite*") if b"Doe-Jane" in file.read_bytes()]

        with pytest.raises(CannotWrite, match="is being read"):
            outbox.database.wipe()
        assert holding() == ["outbox.sqlite-wal"]
        reader.close()
        assert wiping.wipe(outbox)
        assert not holding()
        assert not wiping.wipe(outbox)


def test_names_are_wiped_also_after_the_clock_was_set_back(outbox, tmp_path):
    assert go(outbox, [folder_of(tmp_path / "a", [1])], far(tmp_path, "far")).sent == 1
    with outbox.database.writing() as transaction:
        transaction.count("UPDATE batch SET cleaned = ?", (CLOCK.now() + 1e9,))  # by a clock that was ahead
    wiping.wipe(outbox)
    assert not wiping.wipe(outbox)
    wiped, real = [], outbox.database.wipe
    outbox.database.wipe = lambda: wiped.append(real())
    assert go(outbox, [folder_of(tmp_path / "b", [2])], far(tmp_path, "far")).sent == 1
    assert wiped


def test_what_waits_for_a_destination_that_is_given_up_waits_no_more(outbox, tmp_path):
    typo, right = far(tmp_path, "typo", fault=ConnectionLost("nobody there")), far(tmp_path, "right")
    go(outbox, [folder_of(tmp_path / "in", [1, 2])], typo, right, patience=0.5)
    assert outbox.status().images[State.DONEPROCESSING] == 2
    assert outbox.retire("file:///typo", who="ann") == 2
    assert outbox.status().images[State.DONE] == 2
    go(outbox, [], right)
    assert sorted(right.arrivals) == sorted(blank(image.read_bytes()).instance for image in (tmp_path / "in").iterdir())


def test_images_of_which_a_destination_that_is_given_up_was_the_only_one_go_to_the_next(outbox, tmp_path):
    go(outbox, [folder_of(tmp_path / "in", [1])], far(tmp_path, "typo", fault=ConnectionLost("nobody there")), patience=0.5)
    assert outbox.retire("file:///typo") == 1
    assert outbox.status().images[State.DONEPROCESSING] == 1
    assert go(outbox, [], far(tmp_path, "right")).sent == 1


def test_what_a_destination_that_is_given_up_has_refused_is_done_where_all_others_have_it(outbox, tmp_path):
    right, strict = far(tmp_path, "right"), far(tmp_path, "strict")
    strict.refusing = lambda item: Failure("not this one", permanent=True)
    assert go(outbox, [folder_of(tmp_path / "in", [1])], right, strict).errors == 1
    assert outbox.retire("file:///strict", who="ann") == 1
    assert (outbox.status().images[State.DONE], outbox.status().with_errors) == (1, 0)
    assert "file:///strict was given up by ann" in [each.reason for each in outbox.show(1).images[0].transitions]


def test_a_destination_that_is_served_or_unknown_is_not_given_up(outbox, tmp_path):
    entered(outbox, far(tmp_path, "right"))
    with pytest.raises(UsageFault, match="a sender is at work that sends to"):
        outbox.retire("file:///right")
    with pytest.raises(InputMissing, match="no destination of this outbox") as told:
        outbox.retire("file:///rihgt")
    assert "file:///right" in told.value.hint


def test_who_was_silent_for_long_delivers_nothing_until_it_has_looked_anew(outbox, tmp_path):
    found = folder_of(tmp_path / "in", range(6))
    behind = []

    def asleep(item):
        behind.append(outbox.owner.is_behind)
        if len(behind) == 2:
            outbox.owner.beaten -= owners.LEASE  # as if the machine had slept

    where = far(tmp_path, "far")
    where.refusing = asleep
    assert go(outbox, [found], where, workers=1, patience=30.0).sent == 6
    assert behind == [False] * 6
    assert len(where.arrivals) == len(set(where.arrivals)) == 6


def test_an_image_that_goes_as_it_is_and_holds_something_else_by_now_does_not_go(outbox, tmp_path):
    down = far(tmp_path, "far", fault=ConnectionLost("down"))
    found = folder_of(tmp_path / "in", [1])
    outbox.clock = CLOCK
    given = Settings(watermark=0, patience=0.3)
    run(outbox, iter([found]), [down], None, given, threading.Event())
    looked = found.files[0].stat()
    found.files[0].write_bytes(image(1, pixel=3))  # of the same size
    os.utime(found.files[0], ns=(looked.st_atime_ns, looked.st_mtime_ns))
    down.fault = None
    assert run(outbox, iter([]), [down], None, given, threading.Event()).errors == 1
    assert down.arrivals == []


def test_a_lack_of_memory_is_waited_out(outbox, tmp_path):
    tries = []

    def clean(content):
        tries.append(content)
        if len(tries) == 1:
            raise MemoryError
        return blank(content)

    outbox.clock = CLOCK
    where = far(tmp_path, "far")
    outcome = run(outbox, iter([folder_of(tmp_path / "in", [1])]), [where], clean, Settings(watermark=0), threading.Event())
    assert (outcome.sent, outcome.errors) == (1, 0)


def test_who_comes_late_ends_no_work_that_is_over(outbox):
    work = Work(outbox)
    work.end()
    work.close()
    work.steadily("late", lambda: work.syncing.submit(print))
    work.fail(RuntimeError("cannot schedule new futures after shutdown"))
    assert work.failure is None
