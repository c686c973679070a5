"""``run.console`` from a script to the disk and back: whatever the disk does, the run goes on and answers leave on time."""

from __future__ import annotations

import gc
import logging
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from run.sessions import Lines, SmallDisk, lane, session, volume

from rtbids.errors import ConnectionLost, ExperimentFault, UsageFault
from rtbids.pipeline import Inbox
from rtbids.run.console import allowed
from rtbids.run.console.call import Answer, Call, Found, nothing
from rtbids.run.console.files import Files
from rtbids.run.lanes import Lane
from rtbids.run.process import console_calls, errands
from rtbids.run.process.asking import Asking
from rtbids.run.process.channel import Channel
from rtbids.run.process.console_calls import Calls
from rtbids.run.process.errands import MOST_WAITING, Errands
from rtbids.run.process.experiment_here import ExperimentHere
from rtbids.run.process.experiment_process import ExperimentProcess
from rtbids.run.process.incoming import Incoming
from rtbids.run.process.shared import kept
from rtbids.volume import Item

ASKS = """
from rtbids.errors import InputMissing, UsageFault

def feedback(volume, run):
    n = volume.index
    run.console.write(f"out{n}.bin", bytes([n]) * (n * 1_000_000))
    back = run.console.read(f"out{n}.bin")
    try:
        run.console.read("../secret")
        refused = ""
    except UsageFault as error:
        refused = str(error)
    try:
        run.console.read("absent.txt")
    except InputMissing as error:
        absent = str(error)
    return {
        "same": back == bytes([n]) * (n * 1_000_000),
        "text": run.console.text("protocol.txt"),
        "newest": run.console.newest("*.bin"),
        "sizes": [entry.size for entry in run.console.list(pattern="*.bin")],
        "refused": refused,
        "absent": absent,
    }
"""


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "protocol.txt").write_text("TR 1000")
    return folder


def answering(folder: Path) -> Answer:
    return Files([allowed.parse(str(folder))]).answer


def with_console(made: Lane, answer: Answer, *, here: bool = False) -> Lane:
    """Give the script of a lane a console, in a process of its own or in this one."""

    def make(recipe, is_overdue, recall):
        if here:
            return ExperimentHere(recipe, console=answer)
        return ExperimentProcess(recipe, is_overdue, recall, console=answer)

    made._make_host = make
    return made


def each_answered(kept_lines: Lines, names: list[str], count: int) -> Iterator[Item]:
    for index in range(count):
        yield volume(index)
        for name in names:
            kept_lines.wait_for(name, index)


@pytest.mark.parametrize("here", [False, True], ids=["its own process", "the run's process"])
def test_a_script_reads_writes_and_lists_files_and_the_record_counts_them(tmp_path, export, caplog, here):
    kept_lines, disk = Lines(), SmallDisk(10)
    asks = with_console(lane(tmp_path / "asks", ASKS, kept_lines), answering(export), here=here)
    session([asks], disk).run(Inbox(each_answered(kept_lines, ["asks"], 3)))

    assert [row["status"] for row in kept_lines.rows] == ["ok"] * 3
    for index, row in enumerate(kept_lines.rows):
        assert row["value"] == {
            "same": True,
            "text": "TR 1000",
            "newest": f"out{index}.bin",
            "sizes": [n * 1_000_000 for n in range(index + 1)],
            "refused": "../secret: a name has no '..'",
            "absent": "absent.txt: no such file at the console",
        }
    assert (export / "out2.bin").read_bytes() == b"\2" * 2_000_000
    assert disk.described["feedback"]["Experiments"]["asks"]["Console"] == {"Read": 6, "Written": 3, "Refused": 3}
    said = [record.getMessage() for record in caplog.records if "refuses" in record.getMessage()]
    assert said == ["asks: run.console refuses: ../secret: a name has no '..'"] * 3


def test_a_run_whose_script_asks_for_nothing_has_no_such_count(tmp_path, export):
    disk, kept_lines = SmallDisk(10), Lines()
    answers = with_console(lane(tmp_path / "answers", ANSWERS, kept_lines), answering(export))
    session([answers], disk).run(Inbox(each_answered(kept_lines, ["answers"], 2)))
    assert "Console" not in disk.described["feedback"]["Experiments"]["answers"]


@pytest.mark.parametrize("here", [False, True], ids=["its own process", "the run's process"])
def test_without_an_allowed_folder_the_error_says_which_option_to_give(tmp_path, caplog, here):
    kept_lines = Lines()
    script = "def feedback(volume, run):\n    return len(run.console.read('protocol.txt'))\n"
    asks = with_console(lane(tmp_path / "asks", script, kept_lines), nothing, here=here)
    session([asks]).run(Inbox(each_answered(kept_lines, ["asks"], 1)))
    assert [row["reason"] for row in kept_lines.rows] == ["error"]
    said = [record.getMessage() for record in caplog.records]
    assert [text for text in said if "run.console refuses" in text and "--allow DIR" in text]
    assert [text for text in said if "volume 0: feedback() raised" in text and "--allow DIR" in text]


ANSWERS = "def feedback(volume, run):\n    return volume.index\n"
WAITS = "def feedback(volume, run):\n    return len(run.console.read('slow.txt', timeout=60))\n"
GIVES_UP = """
from rtbids.errors import ConnectionLost

def feedback(volume, run):
    try:
        return len(run.console.read("slow.txt", timeout=0.05))
    except ConnectionLost as error:
        return {"gave up": str(error)}
"""


class Slow:
    """A disk that does not answer before it is let go."""

    def __init__(self) -> None:
        self.goes, self.asked = threading.Event(), threading.Semaphore(0)

    def answer(self, call: Call) -> Found:
        self.asked.release()
        assert self.goes.wait(60)
        return Found(b"slow")


def test_a_disk_that_hangs_delays_no_alternate_and_nobody_else(tmp_path):
    kept_lines, slow, disk, deadline = Lines(), Slow(), SmallDisk(100), 0.5
    lanes = [
        with_console(lane(tmp_path / "waits", WAITS, kept_lines, deadline), slow.answer),
        with_console(lane(tmp_path / "gives_up", GIVES_UP, kept_lines), slow.answer),
        lane(tmp_path / "answers", ANSWERS, kept_lines),
    ]

    def items() -> Iterator[Item]:
        yield from each_answered(kept_lines, [each.name for each in lanes], 4)
        slow.goes.set()

    session(lanes, disk).run(Inbox(items()))
    waits, gives_up, answers = (kept_lines.of(each.name) for each in lanes)
    on_time = [row for row in waits if row["status"] != "late"]
    assert [row["reason"] for row in on_time] == ["deadline"] * 4
    late = [row["sent"] - row["due"] for row in on_time]
    assert all(0 <= seconds < 0.25 for seconds in late), late  # 0.25 s: this machine may be busy, and the disk hangs for 60
    assert [row["value"] for row in answers] == [0, 1, 2, 3]
    assert [row["status"] for row in gives_up] == ["ok"] * 4
    assert "the disk had not answered after 0.05 s" in gives_up[0]["value"]["gave up"]
    assert len(disk.volumes) == 4
    assert [each.tally.restarts for each in lanes] == [0, 0, 0]


def test_what_comes_after_its_caller_gave_up_is_nobody_elses_answer(tmp_path, export):
    """The next call gets its own, and the descriptor of the one that was late is closed."""
    slow, answer = Slow(), answering(export)

    def first_slow(call: Call) -> Found:
        return slow.answer(call) if call.name == "slow.txt" else answer(call)

    with Both(first_slow) as both:
        with pytest.raises(ConnectionLost, match=r"run.console.read\('slow.txt'\) was given up"):
            both.asking.ask(Call("read", "slow.txt", timeout=0.05))
        slow.goes.set()
        for _ in range(3):
            assert bytes(both.asking.ask(Call("read", "protocol.txt", timeout=60)).content) == b"TR 1000"


class Both:
    """Both ends of a channel, the run's served by a thread as by the loop; the worker's by whoever asks."""

    def __init__(self, answer: Answer) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.run, self.worker = Channel(ours), Channel(theirs)
        self.calls = Calls("asks", answer)
        self.incoming = Incoming(self.worker)
        self.asking = Asking(self.worker, self.incoming)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop)

    def _loop(self) -> None:
        while not self._over.is_set() and self.run.fileno() >= 0:
            ready, _, _ = select.select([self.run, self.calls.ready], [self.run] if self.run.is_behind else [], [], 0.05)
            self.run.flush()
            for line, along in self.calls.outcomes():
                self.run.post(line, along)
            if self.run in ready and not self.run.poll():
                return
            while (message := self.run.receive(wait=False)) is not None:
                self.calls.take(message, self.run.descriptor() if message["size"] is not None else None)

    def __enter__(self) -> Both:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()
        self.calls.close()
        self.run.close()
        self.worker.close()


def in_threads(count: int, do: Callable[[int], None]) -> None:
    """Do it in so many threads at once, and raise what one of them raised."""
    raised: list[BaseException] = []

    def one(index: int) -> None:
        try:
            do(index)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=one, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


def read_and_write(asking: Asking, index: int) -> None:
    for turn in range(10):
        found = asking.ask(Call("read", f"{index}.txt", timeout=60))
        assert bytes(found.content) == (str(index) * 1000).encode()
        asking.ask(Call("write", f"{index}-out.txt", content=f"{index} {turn}".encode(), timeout=60))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open descriptors are counted in /proc")
def test_many_threads_ask_at_once_each_has_its_own_answer_and_no_descriptor_stays_open(export):
    for index in range(20):
        (export / f"{index}.txt").write_text(str(index) * 1000)
    gc.collect()  # what earlier tests have left
    before = len(os.listdir("/proc/self/fd"))
    with Both(answering(export)) as both:
        in_threads(20, partial(read_and_write, both.asking))
    assert both.calls.errands.counts == {"Read": 200, "Written": 200, "Refused": 0}
    assert [(export / f"{index}-out.txt").read_text() for index in range(20)] == [f"{index} 9" for index in range(20)]
    del both
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_call_at_the_end_of_the_run_says_so():
    with Both(Slow().answer) as both:
        both.calls.errands.run = lambda call, tell: both.run.close()
        with pytest.raises(ConnectionLost, match="the run has ended"):
            both.asking.ask(Call("read", "protocol.txt", timeout=60))


def test_volumes_and_files_that_come_at_once_are_not_mixed_up(export):
    """A volume that comes while a thread of the script waits for a file is the serving thread's, its voxels with it."""
    ours, theirs = socket.socketpair()
    run, worker = Channel(ours), Channel(theirs)
    incoming = Incoming(worker)
    for number in range(20):
        incoming.expect(number)
        voxels = kept(memoryview(b"volume %d" % number))
        run.send({"do": "volume", "stored": False, "index": number}, voxels)
        os.close(voxels)
        run.send({"do": "sent"})
        line, along = console_calls.answered(number, Found(b"file %d" % number))
        run.post(line, along)
    for number in range(20):
        message, descriptor = incoming.outcome(number, Call("read", timeout=60))
        assert bytes(console_calls.found(message, descriptor).content) == b"file %d" % number
        incoming._outcomes.pop(number)
    for number in range(20):
        message, descriptor = incoming.next()
        assert (message["do"], message["index"]) == ("volume", number)
        assert os.pread(descriptor, 100, 0) == b"volume %d" % number
        os.close(descriptor)
        assert incoming.next() == ({"do": "sent"}, None)
    run.close()
    assert incoming.next() is None
    worker.close()


FORKS = """
import os
from rtbids.errors import ConnectionLost

def feedback(volume, run):
    reads, writes = os.pipe()
    if not (child := os.fork()):
        try:
            run.console.read("protocol.txt")
        except ConnectionLost as error:
            os.write(writes, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return {"child": os.read(reads, 1000).decode(), "parent": run.console.text("protocol.txt")}
"""


def test_a_process_that_the_script_starts_is_told_to_leave_it_to_the_script(tmp_path, export):
    kept_lines = Lines()
    forks = with_console(lane(tmp_path / "forks", FORKS, kept_lines), answering(export))
    session([forks]).run(Inbox(each_answered(kept_lines, ["forks"], 2)))
    assert {row["value"]["parent"] for row in kept_lines.rows} == {"TR 1000"}
    assert all("not in those that it starts" in row["value"]["child"] for row in kept_lines.rows)


STARTED_AGAIN = """
import os

def feedback(volume, run):
    if volume.index == 1 and not run.console.newest("been"):
        run.console.write("been", "")
        run.console.read("slow.txt", timeout=60)
    return run.console.text("protocol.txt").count("T")
"""


def test_a_script_that_is_started_again_has_no_answers_of_the_one_before(tmp_path, export):
    """It hangs in the console at one volume until somebody starts it again; the disk answers after that."""
    kept_lines, slow, answer = Lines(), Slow(), answering(export)

    def answered(call: Call) -> Found:
        return slow.answer(call) if call.name == "slow.txt" else answer(call)

    asks = with_console(lane(tmp_path / "asks", STARTED_AGAIN, kept_lines), answered)

    def items() -> Iterator[Item]:
        yield volume(0)
        kept_lines.wait_for("asks", 0)
        yield volume(1)
        assert slow.asked.acquire(timeout=30)
        os.kill(asks.host.process, 9)
        kept_lines.wait_for("asks", 1)
        slow.goes.set()
        for index in (2, 3):
            yield volume(index)
            kept_lines.wait_for("asks", index)

    session([asks]).run(Inbox(items()))
    assert [row["status"] for row in kept_lines.rows] == ["ok", "alternate", "ok", "ok"]
    assert asks.tally.restarts == 1


HOSTILE = {
    "no number": {"say": "console", "call": "read", "name": "x", "pattern": "*", "timeout": 1.0, "size": None},
    "no such call": {"say": "console", "number": 1, "call": "remove", "name": "x", "pattern": "*", "timeout": 1, "size": None},
    "a call that is no text": {"say": "console", "number": 1, "call": ["read"], "name": "x", "pattern": "*", "timeout": 1},
    "a size without a file": {
        "say": "console",
        "number": 1,
        "call": "write",
        "name": "x",
        "pattern": "",
        "timeout": 1,
        "size": 5,
    },
    "half a character": {
        "say": "console",
        "number": 1,
        "call": "read",
        "name": "\ud800",
        "pattern": "",
        "timeout": 1,
        "size": None,
    },
}
SAYS = """
import gc, json
from rtbids.run.process.channel import Channel

def feedback(volume, run):
    if volume.index == 1:
        (channel,) = [one for one in gc.get_objects() if isinstance(one, Channel)]
        {what}
    return volume.index
"""


@pytest.mark.parametrize("message", HOSTILE.values(), ids=HOSTILE)
def test_a_call_that_is_none_ends_the_script_and_not_the_run(tmp_path, export, message):
    kept_lines = Lines()
    script = SAYS.format(what=f"channel.send(json.loads({console_calls.encoded(message).decode()!r}))")
    says = with_console(lane(tmp_path / "says", script, kept_lines, 5.0), answering(export))
    session([says]).run(Inbox(each_answered(kept_lines, ["says"], 3)))
    assert [row["volume"] for row in kept_lines.rows if row["status"] != "late"] == [0, 1, 2]
    assert kept_lines.rows[-1]["status"] == "ok"


def test_a_flood_of_calls_that_nobody_waits_for_is_bounded(tmp_path, export):
    kept_lines, slow = Lines(), Slow()
    call = console_calls.encoded(console_calls.asked(7, Call("read", "protocol.txt", timeout=60))).decode()
    script = SAYS.format(what=f"[channel.send(json.loads({call!r})) for _ in range(2000)]")
    says = with_console(lane(tmp_path / "says", script, kept_lines), slow.answer)

    def items() -> Iterator[Item]:
        yield from each_answered(kept_lines, ["says"], 4)
        assert says.host._calls.errands._waiting.qsize() <= MOST_WAITING
        slow.goes.set()

    session([says]).run(Inbox(items()))
    assert [row["status"] for row in kept_lines.rows] == ["ok"] * 4


def test_one_call_too_many_is_told_at_once():
    slow = Slow()
    calls = Errands("asks", slow.answer)
    told: list[errands.Outcome] = []
    calls.run(lambda: Call("read"), told.append)
    assert slow.asked.acquire(timeout=30)  # it is under way, and the next wait
    for _ in range(MOST_WAITING + 1):
        calls.run(lambda: Call("read"), told.append)
    assert [str(outcome) for outcome in told] == ["the console is behind: 16 calls wait already"]
    slow.goes.set()


def test_a_file_that_does_not_come_whole_costs_its_call_only(export):
    with Both(answering(export)) as both:
        message = {**console_calls.asked(0, Call("write", "new.txt", content=b"12345", timeout=60)), "size": 50}
        both.incoming.expect(0)
        descriptor = kept(memoryview(b"12345"))
        both.worker.send(message, descriptor)
        os.close(descriptor)
        told, _ = both.incoming.outcome(0, Call("write", timeout=60))
        assert "a file of 5 bytes that should have 50" in told["error"]
        reads, writes = os.pipe()  # which a read would wait for
        both.incoming.expect(1)
        both.worker.send({**message, "number": 1}, reads)
        told, _ = both.incoming.outcome(1, Call("write", timeout=60))
        assert "cannot be read" in told["error"]
        os.close(reads)
        os.close(writes)
    assert [path.name for path in export.iterdir()] == ["protocol.txt"]


def test_refusals_are_said_up_to_a_rate_and_then_counted(export, caplog):
    calls = Errands("asks", answering(export))
    for _ in range(100):
        with pytest.raises(UsageFault, match=r"\.\."):
            calls.ask(Call("read", "../x\n\x1b[31m", timeout=60))
    calls.close()
    said = [record.getMessage() for record in caplog.records]
    assert errands.BURST <= len(said) <= errands.BURST + 20  # and as many as the seconds allow that this took
    assert said[0] == "asks: run.console refuses: ../x \\x1b[31m: a name has no '..'"
    assert said[-1] == f"asks: {100 - (len(said) - 1)} more calls of run.console were refused"
    assert calls.counts == {"Read": 0, "Written": 0, "Refused": 100}
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_what_goes_wrong_in_the_disk_costs_the_call_and_no_other(export):
    def broken(call: Call) -> Found:
        if call.name == "broken":
            raise RuntimeError("no idea")
        return answering(export)(call)

    calls = Errands("asks", broken)
    with pytest.raises(ExperimentFault, match=r"the console cannot do it \(RuntimeError: no idea\)"):
        calls.ask(Call("read", "broken", timeout=60))
    assert bytes(calls.ask(Call("read", "protocol.txt", timeout=60)).content) == b"TR 1000"
    calls.close()


def test_a_write_that_waits_when_its_time_is_over_is_not_done(export):
    slow, answer = Slow(), answering(export)
    calls = Errands("asks", lambda call: slow.answer(call) if call.kind == "read" else answer(call))
    calls.run(lambda: Call("read"), lambda outcome: None)
    assert slow.asked.acquire(timeout=30)
    with pytest.raises(ConnectionLost, match="given up"):
        calls.ask(Call("write", "new.txt", content=b"late", timeout=0.01))
    slow.goes.set()
    assert calls.ask(Call("newest", pattern="*", timeout=60)).name == "protocol.txt"
    calls.close()
    assert [path.name for path in export.iterdir()] == ["protocol.txt"]


@pytest.mark.parametrize(("deadline", "seconds"), [(0.2, 1.0), (100.0, 10.0), (None, 5.0)], ids=str)
def test_the_usual_time_out_leaves_the_script_time_before_it_is_started_again(tmp_path, deadline, seconds):
    """Five deadlines, or repetition times (1 s), where that is less than ten seconds; it is ended after ten of them."""
    kept_lines, script = Lines(), "def feedback(volume, run):\n    return run.console._timeout\n"
    asks = with_console(lane(tmp_path / "asks", script, kept_lines, deadline), nothing)
    session([asks]).run(Inbox(each_answered(kept_lines, ["asks"], 2)))
    assert kept_lines.rows[-1]["value"] == seconds
