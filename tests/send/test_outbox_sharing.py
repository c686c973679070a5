"""Several processes on one outbox, and databases that cannot be used."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from executioner import in_a_child
from send.outbox_parts import FarSide, blank, folder_of, image
from send.postgres_server import server

from rtbids.clock import ManualClock
from rtbids.errors import CannotWrite, InputMissing, UsageFault
from rtbids.send import database, owners
from rtbids.send.found import Found
from rtbids.send.outbox import Outbox
from rtbids.send.pool import run
from rtbids.send.settings import Settings
from rtbids.send.states import State

ROOMY = Settings(watermark=0)


def work(place, url, batches=(), after=None) -> None:
    """Work on an outbox, and die when `after` images have been de-identified."""
    count = 0

    def clean(content):
        nonlocal count
        count += 1
        if count == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return blank(content)

    with Outbox.open(place / "outbox", url) as outbox:
        run(
            outbox,
            iter(batches),
            [FarSide(place / "far", parallel=2)],
            clean,
            Settings(watermark=0, group=4),
            threading.Event(),
        )


@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
def test_processes_share_an_outbox_and_take_over_from_one_that_is_killed(where, request, tmp_path):
    url = request.getfixturevalue("fresh_database") if where == "postgresql" else None
    with Outbox.open(tmp_path / "outbox", url) as outbox:
        for start in range(0, 90, 30):
            outbox.add(folder_of(tmp_path / "in" / str(start), range(start, start + 30)))
    killed = in_a_child(partial(work, tmp_path, url, after=7))
    others = [in_a_child(partial(work, tmp_path, url)) for _ in range(2)]
    assert os.WIFSIGNALED(os.waitpid(killed, 0)[1])
    assert [os.waitpid(other, 0)[1] for other in others] == [0, 0]
    arrivals = FarSide(tmp_path / "far").arrivals
    assert set(arrivals) == {blank(image(number)).instance for number in range(90)}
    assert [name for name, count in Counter(arrivals).items() if count > 1] == []
    with Outbox.open(tmp_path / "outbox", url) as outbox:
        status = outbox.status()
        assert (status.images[State.DONE], status.batches[State.DONE], status.working) == (90, 3, 0)


def test_a_process_of_another_machine_is_gone_when_it_has_not_beaten_for_a_minute(tmp_path):
    with Outbox.open(tmp_path / "outbox") as outbox:
        with outbox.database.writing() as transaction:
            transaction.count("INSERT INTO owner (id, host, pid, started, beats) VALUES (77, 'elsewhere', 1, 1.0, 5)")
        outbox.add(folder_of(tmp_path / "in", [1]))
        with outbox.database.writing() as transaction:
            transaction.count("UPDATE image SET owner = 77, state = 'PROCESSING'")
        owner = owners.enter(outbox.database, 0.0)
        assert not owner.alone
        gone = [owners.beat(outbox.database, owner, now, None) for now in (0.0, owners.LEASE - 1, owners.LEASE)]
        assert gone == [0, 0, 1]
        with outbox.database.reading() as transaction:
            assert transaction.rows("SELECT owner FROM image") == [(None,)]


def test_what_belongs_to_the_outbox_is_its_owners_only(tmp_path):
    with Outbox.open(tmp_path / "outbox") as outbox:
        outbox.add(folder_of(tmp_path / "in", [1]))
        for file in outbox.folder.root.rglob("*"):
            assert file.stat().st_mode & 0o77 == 0, file
        assert outbox.folder.root.stat().st_mode & 0o777 == 0o700


def test_an_outbox_of_another_version_is_refused(tmp_path):
    with Outbox.open(tmp_path) as outbox, outbox.database.writing() as transaction:
        transaction.count("UPDATE meta SET value = '99' WHERE name = 'version'")
    with pytest.raises(UsageFault, match="made by a newer rtbids"):
        Outbox.open(tmp_path)


def test_no_outbox_there(tmp_path):
    with pytest.raises(InputMissing, match="no outbox in"):
        Outbox.open(tmp_path / "none", create=False)


def test_a_damaged_database_is_told_in_one_line(tmp_path):
    (tmp_path / "outbox.sqlite").write_bytes(b"x" * 8192)
    with pytest.raises(CannotWrite, match="is damaged"):
        Outbox.open(tmp_path)


def test_a_database_that_another_program_has_locked(tmp_path, monkeypatch):
    Outbox.open(tmp_path).close()
    monkeypatch.setattr(database, "BUSY", 0.1)
    other = sqlite3.connect(tmp_path / "outbox.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(CannotWrite, match="locked by another program"):
        Outbox.open(tmp_path)


def test_an_outbox_that_vanishes_ends_the_work_at_once(tmp_path):
    series = folder_of(tmp_path / "in", range(3))

    def batches():
        yield series
        shutil.rmtree(tmp_path / "outbox")
        threading.Event().wait(60)

    noticed = "was removed or replaced while in use|quarantine: No such file"  # by whichever thread is the first to look
    with Outbox.open(tmp_path / "outbox") as outbox, pytest.raises(CannotWrite, match=noticed):
        run(outbox, batches(), [], blank, ROOMY, threading.Event())


@contextmanager
def mounted(*options: str):
    """A small disk in memory, or a skip."""
    with tempfile.TemporaryDirectory() as place:
        call = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", place]
        if os.geteuid() != 0 or subprocess.run(call, check=False, stderr=subprocess.DEVNULL).returncode:
            pytest.skip("a disk cannot be mounted here")
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_that_may_only_be_read(tmp_path):
    with mounted("size=8m") as disk:
        Outbox.open(disk / "outbox").close()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(CannotWrite, match=r"Read-only file system|may not be written"):
            Outbox.open(disk / "outbox")


def test_a_full_disk_pauses_the_work_until_there_is_room(tmp_path, caplog):
    far = FarSide(tmp_path / "far")
    with mounted("size=16m") as disk, Outbox.open(disk / "outbox") as outbox:
        ballast = disk / "ballast"
        series = folder_of(tmp_path / "in" / "series", range(20))

        def make_room():
            while "paused" not in caplog.text:  # in the database there may be no room for it
                threading.Event().wait(0.05)
            ballast.unlink()

        _fill(ballast)
        threading.Thread(target=make_room).start()
        outcome = run(outbox, iter([series]), [far], blank, ROOMY, threading.Event())
    assert (outcome.sent, outcome.errors) == (20, 0)
    assert "paused: no space left" in caplog.text
    assert "going on after: no space left" in caplog.text


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with ballast.open("rb+") as file:
        file.truncate(max(0, ballast.stat().st_size - 40_000))  # room for the folder's own


def test_a_log_for_which_there_is_no_room_is_waited_for_as_a_full_disk_is():
    fault = sqlite3.OperationalError("disk I/O error")
    fault.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE  # so it calls a quota that is used up, and a log that cannot grow
    with mounted("size=1m") as disk:
        assert type(database._meaning(disk / "outbox.sqlite", fault)) is CannotWrite
        _fill(disk / "ballast")
        (disk / "rest").write_bytes(bytes(disk_room(disk)))
        assert type(database._meaning(disk / "outbox.sqlite", fault)) is database.NoSpace


def disk_room(disk: Path) -> int:
    return shutil.disk_usage(disk).free


def test_below_the_watermark_no_batch_is_taken_in(tmp_path):
    stop = threading.Event()
    with Outbox.open(tmp_path / "outbox") as outbox:
        series = folder_of(tmp_path / "in", range(2))
        worker = threading.Thread(target=run, args=(outbox, iter([series]), [], blank, Settings(watermark=1 << 62), stop))
        worker.start()
        while not (paused := outbox.status().paused):
            threading.Event().wait(0.02)
        stop.set()
        worker.join()
        assert "no new batch is taken in" in paused[0]
        assert sum(outbox.status().images.values()) == 0


def test_a_folder_of_which_nothing_could_be_used_is_marked(tmp_path):
    folder = tmp_path / "in" / "series"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("no image")
    with Outbox.open(tmp_path / "outbox") as outbox:
        found = Found("series", folder, (folder / "a.txt",))
        run(outbox, iter([found]), [], blank, Settings(watermark=0, mark_failed=True), threading.Event())
        assert (tmp_path / "in" / "series.err" / "a.txt").read_text() == "no image"
        assert not folder.exists()
        (tmp_path / "in" / "series.err" / "a.txt").write_bytes(image(1))
        (tmp_path / "in" / "series.err").rename(folder)
        far = FarSide(tmp_path / "far")
        assert run(outbox, iter([found]), [far], blank, ROOMY, threading.Event()).sent == 1


def test_purge_forgets_old_batches_and_not_that_their_files_were_sent(tmp_path):
    clock = ManualClock(1000.0)
    with Outbox.open(tmp_path / "outbox", clock=clock) as outbox:
        kept = folder_of(tmp_path / "in" / "kept", range(2))
        run(outbox, iter([kept]), [FarSide(tmp_path / "far")], blank, ROOMY, threading.Event())
        clock.advance(99.0)
        assert outbox.purge(older_than=100.0) == 0
        clock.advance(1.0)
        assert outbox.purge(older_than=100.0) == 1
        assert sum(outbox.status().batches.values()) == 0
        assert outbox.add(kept) is None


def test_names_are_not_left_in_the_database_when_a_batch_is_done(tmp_path):
    with Outbox.open(tmp_path / "outbox") as outbox:
        found = folder_of(tmp_path / "in" / "Doe-Jane-1970", range(30))
        assert outbox.add(found) == 1
        assert any(b"Doe-Jane" in file.read_bytes() for file in outbox.folder.root.glob("outbox.sqlite*"))
        run(outbox, iter([]), [FarSide(tmp_path / "far")], blank, ROOMY, threading.Event())
    for file in (tmp_path / "outbox").rglob("*"):
        assert not file.is_file() or b"Doe-Jane" not in file.read_bytes(), file


def test_a_server_that_is_away_for_a_while_is_waited_for(tmp_path, caplog):
    far = FarSide(tmp_path / "far")
    with server() as (url, restart), Outbox.open(tmp_path / "outbox", url) as outbox:
        stopped = []

        def clean(content):
            if len(far.arrivals) > 3 and not stopped:
                stopped.append(restart())
            return blank(content)

        found = folder_of(tmp_path / "in" / "series", range(40))
        outcome = run(outbox, iter([found]), [far], clean, Settings(watermark=0, group=4), threading.Event())
    assert (stopped, outcome.sent, outcome.errors) == ([None], 40, 0)
    assert len(far.arrivals) == len(set(far.arrivals)) == 40
    assert "paused: the outbox postgresql://" in caplog.text
