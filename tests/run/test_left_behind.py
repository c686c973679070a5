"""What a script starts ends with it, and does not hide from the run that the script has ended."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from multiprocessing import shared_memory
from pathlib import Path

import pytest
from run.sessions import FAR, Lines, lane, lines, session, volume

from rtbids.pipeline import Inbox
from rtbids.volume import Item

PATIENCE = 30.0  # seconds: no test waits so long unless it fails
STARTS = """
import os, subprocess, time

def start(run):
    child = {how}
    with open({numbers!r}, "a") as file:
        print(child.pid if hasattr(child, "pid") else child, file=file)

def feedback(volume, run):
    {then}
    return volume.index
"""
WAYS = {
    "a program": 'subprocess.Popen(["sleep", "1000"])',
    "a program that does not care": 'subprocess.Popen(["sh", "-c", "trap : TERM INT HUP; while :; do sleep 1000; done"])',
    "a program with all that is open": 'subprocess.Popen(["sleep", "1000"], close_fds=False)',
    "a fork": "os.fork() or time.sleep(1000)",
}
AGAIN = "volume.index == 1 and os._exit(3)"
HANGS = "volume.index == 1 and time.sleep(1000)"


def started(numbers: Path) -> list[int]:
    return [int(line) for line in numbers.read_text().split()]


def is_there(process: int) -> bool:
    """Say whether a process lives; what has died and was not waited for yet does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.skipif(sys.platform != "linux", reason="it is looked up in /proc whether a process lives")
@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("then", ["pass", AGAIN, HANGS], ids=["end", "exit", "hang"])
def test_what_a_script_has_started_is_gone_when_the_run_is(tmp_path, monkeypatch, how, then):
    monkeypatch.setattr("rtbids.run.process.patience.LAST_WORDS", 0.1)
    numbers = tmp_path / "numbers"
    script = STARTS.format(how=how, numbers=str(numbers), then=then)
    lines(script, tmp_path / "starts", (volume(index) for index in range(4)), 0.5)
    assert started(numbers)
    assert not any(map(is_there, started(numbers)))


@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS)
def test_a_script_that_has_ended_is_missed_at_once_whatever_it_leaves(tmp_path, how):
    kept = Lines()
    script = STARTS.format(how=how, numbers=str(tmp_path / "numbers"), then=AGAIN)

    def items() -> Iterator[Item]:
        for index in range(4):
            yield volume(index)
            kept.wait_for("starts", index)  # due in 100 s: its line leaves because the script's end is known

    session([lane(tmp_path / "starts", script, kept, FAR)]).run(Inbox(items()))
    assert [row["status"] for row in kept.rows] == ["ok", "alternate", "ok", "ok"]


def test_a_pool_of_processes_answers(tmp_path, capfd):
    script = """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import Pool

    def start(run):
        global pool, executor
        pool, executor = Pool(2), ProcessPoolExecutor(1)

    def feedback(volume, run):
        return sum(pool.map(abs, [-volume.index, -1])) + executor.submit(abs, -10).result()
    """
    rows = lines(textwrap.dedent(script), tmp_path / "pool", (volume(index) for index in range(4)), FAR)
    assert [(row["value"], row["status"]) for row in rows] == [(11, "ok"), (12, "ok"), (13, "ok"), (14, "ok")]
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="shared memory is not to be seen here")
def test_what_python_tidies_up_after_a_script_has_the_time_for_it(tmp_path):
    script = f"""
    from multiprocessing import shared_memory

    def start(run):
        global kept
        kept = shared_memory.SharedMemory(create=True, size=100)
        open({str(tmp_path / "name")!r}, "w").write(kept.name)

    def feedback(volume, run):
        return volume.index
    """
    lines(textwrap.dedent(script), tmp_path / "shares", iter([volume(0)]), FAR)
    with pytest.raises(FileNotFoundError):
        shared_memory.SharedMemory((tmp_path / "name").read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="it is looked up in /proc whether a process lives")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGQUIT])
def test_what_a_script_has_started_is_gone_when_the_run_is_killed(tmp_path, how):
    script = STARTS.format(how=WAYS["a program"], numbers=str(tmp_path / "numbers"), then="pass")
    run = f"""
    import sys
    sys.path.insert(0, {str(Path(__file__).parents[1])!r})
    from pathlib import Path
    from run.sessions import lines, volume

    def items():
        yield volume(0)
        yield volume(1)
        print("they are there", flush=True)
        sys.stdin.read()

    lines({script!r}, Path({str(tmp_path / "starts")!r}), items(), 1000.0)
    """
    command = [sys.executable, "-c", textwrap.dedent(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"they are there\n"
        while not (tmp_path / "numbers").exists() or not started(tmp_path / "numbers"):
            pass
        (child,) = started(tmp_path / "numbers")
        watched = os.pidfd_open(child)
        os.killpg(process.pid, how)  # as the terminal does it
        assert select.select([watched], [], [], PATIENCE)[0]
        os.close(watched)
