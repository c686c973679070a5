"""The far side over a real sshd: what comes and goes with a connection, and what stays."""

from __future__ import annotations

import json
import os
import pty
import queue
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sshd
from paramiko import auth_handler, packet, transport

from rtbids import private
from rtbids.cli import far_experiment
from rtbids.errors import ConnectionLost, RtbidsError, StreamBroken, UsageFault
from rtbids.stream.far import passing, registry
from rtbids.stream.link import NEAR, Arrived, Hello, Link, State, protocol
from rtbids.stream.ssh import settings
from rtbids.stream.ssh.address import Address
from rtbids.stream.ssh.dial import dial
from rtbids.stream.ssh.settings import SshOptions

QUICK = replace(NEAR, silence=2.0, delay=lambda failures: 0.01 * failures)
_opened: list[Link] = []
FAILING = """
import logging, signal, sys, threading
from rtbids.cli.far_verbs import echo as lasting
from rtbids.errors import CannotWrite
from rtbids.stream.far import keeper, relay as relays
from rtbids.stream.far.relay import relay

def full(link, arguments):
    next(link.members())
    raise CannotWrite("no space left for x", "free some")

def broken(link, arguments):
    1 / 0

def warning(link, arguments):
    logging.getLogger("rtbids").warning("little space left")
    link.finish(30)

def stuck(link, arguments):
    threading.Event().wait()

if __name__ == "__main__":
    keeper._STOPPING = 0.2
    relays.MOST = int(sys.argv[2]) if len(sys.argv) > 2 else relays.MOST
    verbs = {name: f"failing:{name}" for name in ("full", "broken", "warning", "stuck", "lasting")}
    linger = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    relay({**verbs, "absent": "no_such_module:verb", "gated": "behind_a_gate:verb"}, linger, {"lasting", "stuck"})
"""
GATE = """
from pathlib import Path
(Path(__file__).parent / "gate").read_bytes()  # returns when the test has opened it and let go
from rtbids.cli.far_verbs import echo as verb
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    folder = tmp_path_factory.mktemp("s")
    (folder / "failing.py").write_text(FAILING)
    (folder / "behind_a_gate.py").write_text(GATE)
    os.mkfifo(folder / "gate")
    with sshd.running(folder, {"PYTHONPATH": str(folder)}) as running:
        yield running


@pytest.fixture(autouse=True)
def here_is_there(server: sshd.Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Look for keepers where those of the server are, and leave none; no settings of who tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(server.folder / "far"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(settings, "CONFIGS", ())
    yield
    while _opened:
        _opened.pop().close()
    server.end_keepers()


def linked(server: sshd.Sshd, verb: str = "echo", command: str = "rtbids far", **options: Any) -> Link:
    ssh = SshOptions(server.folder / "id", server.folder / "known_hosts", None, command)
    _opened.append(dial(Address.parse(server.address), ssh, verb, options.pop("arguments", None), terms=QUICK, **options))
    return _opened[-1]


def numbered(number: int) -> bytes:
    return b"%d " % number * (1 + number % 300)


def take(link: Link, count: int) -> list[Arrived]:
    """Take and settle the next `count` members."""
    taken: list[Arrived] = []
    while len(taken) < count:
        arrived = link.take()
        if arrived is None:
            assert select.select([link], [], [], 60)[0], f"{len(taken)} of {count} came: {link.state}"
            continue
        link.settle(arrived.number)
        taken.append(arrived)
    return taken


def contents(taken: list[Arrived]) -> list[bytes]:
    return [bytes(arrived.member.content) for arrived in taken]


def keeper(link: Link) -> dict[str, Any]:
    """Return what the keeper of the only session says of itself."""
    link.wait_up(60)
    (said,) = registry.keepers()
    return said


def wait_for_end(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    assert select.select([descriptor], [], [], 60)[0], f"process {pid} goes on"
    os.close(descriptor)


def ended(link: Link) -> None:
    """End a link in order, and wait for its keeper."""
    pid = keeper(link)["pid"]
    link.finish(60)
    assert list(link.members()) == []
    link.close()
    wait_for_end(pid)


def test_a_thousand_members_come_back_and_nothing_stays_behind(server: sshd.Sshd) -> None:
    link = linked(server)
    for number in range(1000):
        link.send(f"m/{number}", numbered(number))
    assert contents(take(link, 1000)) == [numbered(number) for number in range(1000)]
    ended(link)
    assert list(server.folder.glob("far/rtbids/run/far-*/*")) == []


def test_what_the_far_side_keeps_is_for_its_owner_only(server: sshd.Sshd) -> None:
    link = linked(server)
    session = keeper(link)["session"][:16]
    (folder,) = server.folder.glob("far/rtbids/run/far-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    for suffix in ("sock", "json", "log"):
        assert (folder / f"{session}.{suffix}").stat().st_mode & 0o077 == 0
    ended(link)


@pytest.mark.slow
def test_twenty_killed_connections_lose_and_double_nothing(server: sshd.Sshd) -> None:
    ups: queue.SimpleQueue[State] = queue.SimpleQueue()
    link = linked(server, on_state=lambda state: ups.put(state) if state.is_up else None)
    content, kills, each = os.urandom(295_264), 20, 20
    came: list[Arrived] = []
    for kill in range(kills):
        ups.get(timeout=60)
        for number in range(kill * each, (kill + 1) * each):
            link.send(f"{number}", b"%d" % number, content)
        came += take(link, 5)
        assert server.kill_connections()
    came += take(link, kills * each - len(came))
    assert [bytes(arrived.member.content[: -len(content)]) for arrived in came] == [b"%d" % n for n in range(kills * each)]
    assert all(arrived.member.content[-len(content) :] == content for arrived in came)
    assert (link.state.cuts, link.state.renewed) == (kills, 0)
    ended(link)


def test_keys_that_are_agreed_anew_in_the_midst_hold_nothing_up(server: sshd.Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet.Packetizer, "REKEY_BYTES", 1 << 20)  # 512 MiB otherwise: once or twice in a long run
    agreed: list[object] = []
    activate = transport.Transport._activate_outbound
    monkeypatch.setattr(transport.Transport, "_activate_outbound", lambda self: agreed.append(self) or activate(self))
    link, content = linked(server), os.urandom(295_264)
    for number in range(40):
        link.send(f"{number}", b"%d" % number, content)
    assert contents(take(link, 40)) == [b"%d" % number + content for number in range(40)]
    assert len(agreed) > 5
    assert link.state.cuts == 0
    ended(link)


def test_a_frozen_connection_is_given_up_and_made_anew(server: sshd.Sshd) -> None:
    link = linked(server)
    link.send("before", b"1")
    assert contents(take(link, 1)) == [b"1"]
    assert server.freeze()
    link.send("after", b"2")
    assert contents(take(link, 1)) == [b"2"]
    assert link.state.cuts == 1
    server.kill_connections()
    ended(link)


def test_a_connection_that_is_killed_while_it_logs_in_is_made_anew(server: sshd.Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    kills: list[int] = []
    wait = auth_handler.AuthHandler.wait_for_response

    def killed_first(self: Any, event: Any) -> Any:
        if self.auth_method == "publickey" and not kills:
            kills.append(server.kill_connections())
        return wait(self, event)

    link = linked(server)
    link.wait_up(60)
    monkeypatch.setattr(auth_handler.AuthHandler, "wait_for_response", killed_first)
    server.kill_connections()
    link.send("after", b"2")
    assert contents(take(link, 1)) == [b"2"]
    assert kills
    ended(link)


def test_a_killed_keeper_is_replaced_and_the_near_side_knows(server: sshd.Sshd) -> None:
    link = linked(server)
    link.send("before", b"1")
    take(link, 1)
    first = keeper(link)["pid"]
    os.kill(first, signal.SIGKILL)
    link.send("after", b"2")
    assert contents(take(link, 1)) == [b"2"]
    assert link.state.renewed == 1
    assert keeper(link)["pid"] != first
    ended(link)


def test_a_keeper_that_is_stopped_says_so(server: sshd.Sshd) -> None:
    link = linked(server)
    pid = keeper(link)["pid"]
    os.kill(pid, signal.SIGTERM)
    with pytest.raises(ConnectionLost, match="stopped by SIGTERM"):
        list(link.members())
    wait_for_end(pid)


def test_sessions_have_a_keeper_each_and_all_are_listed(server: sshd.Sshd) -> None:
    first, second = linked(server), linked(server)
    for link in (first, second):
        link.wait_up(60)
        link.send("one", b"1")
        take(link, 1)
    listed = registry.keepers()
    assert len({said["pid"] for said in listed}) == len({said["session"] for said in listed}) == 2
    assert [said["verb"] for said in listed] == ["echo", "echo"]
    assert [said["link"]["taken"] for said in listed] == [1, 1]
    for link in (first, second):
        link.finish(60)
        link.close()
    for said in listed:
        wait_for_end(said["pid"])


def test_a_keeper_to_which_nobody_comes_back_ends(server: sshd.Sshd) -> None:
    link = linked(server, command="rtbids far --linger 0.2")
    pid = keeper(link)["pid"]
    link.close()
    wait_for_end(pid)


@pytest.mark.parametrize("error", [None, StreamBroken("the source was cut")], ids=["left", "failed"])
def test_a_near_side_that_closes_before_its_end_leaves_no_keeper(error: StreamBroken | None, server: sshd.Sshd) -> None:
    link = linked(server)
    pid = keeper(link)["pid"]
    link.send("one", b"1")
    take(link, 1)
    link.close(error)
    wait_for_end(pid)


def test_a_session_that_is_to_be_kept_is_there_when_the_near_side_comes_back(server: sshd.Sshd) -> None:
    link = linked(server, "lasting", f"{sys.executable} -m failing 0", arguments={"keep": True})
    said = keeper(link)
    server.kill_connections()
    link.send("after", b"2")
    assert contents(take(link, 1)) == [b"2"]
    assert keeper(link)["pid"] == said["pid"]
    ended(link)


def test_a_keeper_that_is_stopped_ends_though_what_it_does_goes_on(server: sshd.Sshd) -> None:
    link = linked(server, "stuck", f"{sys.executable} -m failing", arguments={"keep": True})
    pid = keeper(link)["pid"]
    os.kill(pid, signal.SIGTERM)
    wait_for_end(pid)


def test_sessions_of_a_user_are_not_without_number(server: sshd.Sshd) -> None:
    first = linked(server)
    first.wait_up(60)
    second = linked(server, "lasting", f"{sys.executable} -m failing 5 1")
    with pytest.raises(ConnectionLost, match="1 sessions of this user are there already"):
        second.wait_up(60)
    second.close()  # or it would be let in when the first has ended, and its keeper be there in the next test
    ended(first)


def test_what_cannot_begin_is_refused_with_the_reason(server: sshd.Sshd) -> None:
    with pytest.raises(RtbidsError, match="absent failed: ModuleNotFoundError: No module named 'no_such_module'"):
        linked(server, "absent", f"{sys.executable} -m failing").wait_up(60)


def test_a_far_side_that_is_up_has_what_it_needs(server: sshd.Sshd) -> None:
    link = linked(server, "gated", f"{sys.executable} -m failing")
    with (server.folder / "gate").open("wb"):  # opens when the verb is being imported
        assert not link.state.is_up
    link.wait_up(60)
    link.send("one", b"1")
    take(link, 1)
    ended(link)


def far(environment: dict[str, str], hello: Hello, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a far side without SSH and greet it."""
    command = [sys.executable, "-m", "rtbids", "far", "--linger", "2", *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, env={**os.environ, **environment}, **pipes)  # type: ignore[call-overload]
    process.stdin.write(b"".join(bytes(part) for part in protocol.framed(protocol.HELLO, hello.content())))
    process.stdin.flush()
    return process  # type: ignore[no-any-return]


def answer(process: subprocess.Popen[bytes]) -> tuple[str, dict[str, Any]]:
    """Return the name and the fields of the first member of a far side, "" where it ends without."""
    assert process.stdout is not None
    header = process.stdout.read(512)
    if len(header) < 512:
        return "", {}
    size = int(header[124:135], 8)
    return header[:100].rstrip(b"\0").decode(), json.loads(process.stdout.read(-(-size // 512) * 512)[:size])


def gone(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def test_a_session_is_kept_only_where_the_verb_asks_for_it(server: sshd.Sshd) -> None:
    process = far({}, Hello("9" * 32, "echo", {"keep": True}), "--linger", "0.2")
    assert answer(process)[0] == protocol.HELLO
    (said,) = registry.keepers()
    gone(process)
    wait_for_end(said["pid"])


def test_scripts_of_a_run_that_was_killed_end_when_it_begins_anew_and_no_others(server: sshd.Sshd) -> None:
    def began(number: int, sender: str) -> tuple[subprocess.Popen[bytes], int]:
        session = f"{number}" * 32
        process = far({}, Hello(session, "experiment", {"sender": sender}), "--linger", "600")
        assert answer(process)[0] == protocol.HELLO
        return process, next(said["pid"] for said in registry.keepers() if said["session"] == session)

    killed, first = began(1, "me")
    other, second = began(2, "somebody else")
    gone(killed)
    again, _ = began(3, "me")
    wait_for_end(first)
    assert second in {said["pid"] for said in registry.keepers()}
    for process in (other, again):
        gone(process)


def test_folders_of_far_runs_that_were_killed_are_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, foreign = tmp_path / "rtbids-on-left", tmp_path / "rtbids-on-foreign"
    for folder in (left, foreign):
        (folder / "volumes").mkdir(parents=True)
    (left / "lock").touch()
    with far_experiment.own_folder() as mine:
        with far_experiment.own_folder() as beside:
            assert mine.is_dir()
        assert not beside.exists()
        assert not left.exists()
        assert foreign.exists()
    assert list(tmp_path.iterdir()) == [foreign]


@pytest.mark.parametrize("length", [10, 45, 90])
def test_a_home_with_a_long_name_has_a_far_side_too(length: int) -> None:
    with tempfile.TemporaryDirectory(prefix="l") as short:
        home = Path(short) / ("x" * length)
        home.mkdir()
        process = far({"XDG_STATE_HOME": str(home), "TMPDIR": short, "XDG_RUNTIME_DIR": ""}, Hello("a" * 32, "echo"))
        try:
            assert answer(process)[0] == protocol.HELLO
            (path,) = Path(short).rglob("*.sock")
            assert path.parent.stat().st_mode & 0o777 == 0o700
        finally:
            gone(process)
            for path in Path(short).rglob("*.json"):
                sshd.end_keeper(path)


def test_a_place_that_no_socket_fits_in_is_said_and_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory(prefix="l") as short:
        long = Path(short) / ("x" * 100)
        long.mkdir()
        process = far({"XDG_STATE_HOME": str(long), "TMPDIR": str(long), "XDG_RUNTIME_DIR": ""}, Hello("a" * 32, "echo"))
        name, said = answer(process)
        assert (name, said["code"]) == (protocol.REFUSED, 73)
        assert "no place for the socket of a session" in said["error"]
        process.communicate(timeout=30)
        assert not list(Path(short).rglob("*.sock"))


def test_a_key_for_one_verb_cannot_take_over_a_session_of_another(server: sshd.Sshd) -> None:
    owner = far({}, Hello("b" * 32, "echo"))
    assert answer(owner)[0] == protocol.HELLO
    other = far({}, Hello("b" * 32, "probe"), "--verbs", "probe")
    try:
        name, said = answer(other)
        assert (name, said["code"]) == (protocol.REFUSED, 64)
        assert "is one of echo, not of 'probe'" in said["error"]
        assert owner.poll() is None  # its connection goes on
    finally:
        gone(owner)
        gone(other)


def far_folder(server: sshd.Sshd) -> Path:
    folder = registry.folders()[0]
    assert folder.is_relative_to(server.folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def test_a_line_about_a_session_that_cannot_be_written_holds_nothing_up(server: sshd.Sshd) -> None:
    blocked = far_folder(server) / f"{'c' * 16}.json"
    blocked.mkdir()  # as a full disk would
    process = far({}, Hello("c" * 32, "echo"))
    try:
        assert answer(process)[0] == protocol.HELLO
    finally:
        os.kill(next(said["pid"] for said in registry.keepers()), signal.SIGKILL)
        gone(process)
        blocked.rmdir()


def test_a_log_that_cannot_be_written_is_told_to_the_near_side(server: sshd.Sshd) -> None:
    blocked = far_folder(server) / f"{'d' * 16}.log"
    blocked.mkdir()
    process = far({}, Hello("d" * 32, "echo"))
    try:
        name, said = answer(process)
        assert (name, said["code"]) == (protocol.REFUSED, 73)
        assert str(blocked) in said["error"]
    finally:
        gone(process)
        blocked.rmdir()


def test_what_another_keeper_has_put_in_its_place_is_left(server: sshd.Sshd) -> None:
    first, path = registry.listening("e" * 32)
    number = path.stat().st_ino
    second, _ = registry.listening("e" * 32)
    with first, second:
        registry.forget(path, number, failed=False)
        assert private.is_alive(path)
        registry.forget(path, path.stat().st_ino, failed=False)
    assert not path.exists()


def test_a_lock_that_was_removed_meanwhile_holds_nobody(server: sshd.Sshd) -> None:
    entered: list[int] = []

    def enter() -> None:
        with registry.alone("f" * 32):
            entered.append(2)
            assert path.exists()

    with registry.alone("f" * 32):
        (path,) = registry.folders()[0].glob(f"{'f' * 16}.lock")
        path.unlink()  # by a keeper that ended
        enter()  # as a process that found no file would
    assert entered == [2]


def test_descriptors_of_a_message_that_is_none_are_closed(server: sshd.Sshd, tmp_path: Path) -> None:
    link = linked(server)
    pid = keeper(link)["pid"]
    passed = tmp_path / "passed"
    passed.touch()
    for fields, count in (({"do": "attach", "hello": "{}"}, 2), ({"do": "attach", "hello": "{}"}, 1), ({"do": "else"}, 2)):
        with registry.connected(keeper(link)["session"]) as end, passed.open() as file:  # type: ignore[union-attr]
            passing.send(end, fields, (file.fileno(),) * count)
            assert end.recv(1) == b""
    assert passed not in [path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir()]
    ended(link)


def test_the_machine_is_described(server: sshd.Sshd) -> None:
    link = linked(server, "probe")
    (told,) = take(link, 1)
    fields = json.loads(bytes(told.member.content))
    assert told.member.name == "probe.json"
    assert {"version", "cores", "memory", "free", "time"} <= set(fields)
    link.send("and", b"echo")
    assert contents(take(link, 1)) == [b"echo"]
    ended(link)


def test_a_key_that_may_do_one_thing_only_cannot_do_another(server: sshd.Sshd) -> None:
    server.authorize('restrict,command="rtbids far --verbs probe"')
    try:
        with pytest.raises(UsageFault, match="'echo' is not allowed here") as refused:
            linked(server, command="something else").wait_up(60)
        assert "allowed: probe" in str(refused.value.hint)
        link = linked(server, "probe", command="something else")
        take(link, 1)
        ended(link)
    finally:
        server.authorize()


def test_a_far_side_of_another_version_is_named(server: sshd.Sshd) -> None:
    source = "from rtbids.stream.link import protocol as p; p.VERSION = 99; from rtbids.cli.main import main; main()"
    with pytest.raises(UsageFault, match="protocol 99"):
        linked(server, command=f'{sys.executable} -c "{source}" far').wait_up(60)


def test_a_far_side_without_rtbids_and_one_that_talks_end_the_link_at_once(server: sshd.Sshd) -> None:
    with pytest.raises(UsageFault, match="has no rtbids"):
        linked(server, command="PATH=/nowhere; rtbids far").wait_up(60)
    with pytest.raises(StreamBroken, match="'Welcome!' before rtbids began"):
        linked(server, command="echo Welcome!; rtbids far").wait_up(60)


def test_what_ends_a_verb_is_told_at_the_near_side(server: sshd.Sshd) -> None:
    link = linked(server, "full", f"{sys.executable} -m failing")
    link.send("one", b"1")
    with pytest.raises(RtbidsError, match="no space left for x") as told:
        list(link.members())
    assert (told.value.exit_code, told.value.hint) == (73, "free some")


def test_a_warning_of_the_far_side_is_logged_here(server: sshd.Sshd, caplog: pytest.LogCaptureFixture) -> None:
    link = linked(server, "warning", f"{sys.executable} -m failing")
    assert list(link.members()) == []
    assert "127.0.0.1: little space left" in caplog.messages


def test_a_fault_of_ours_is_told_with_where_its_log_is(server: sshd.Sshd) -> None:
    link = linked(server, "broken", f"{sys.executable} -m failing")
    with pytest.raises(RtbidsError, match="ZeroDivisionError") as told:
        list(link.members())
    log = Path(str(told.value.hint).removeprefix("see "))
    assert "1 / 0" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_the_far_side_is_not_started_by_hand() -> None:
    main, end = pty.openpty()
    try:
        command = [sys.executable, "-m", "rtbids", "far"]
        done = subprocess.run(command, stdin=end, capture_output=True, text=True, check=False, timeout=60)
    finally:
        os.close(main)
        os.close(end)
    assert (done.returncode, done.stdout) == (64, "")
    assert "not by hand" in done.stderr


@pytest.mark.parametrize("verbs", ["", "echo,shell", ","])
def test_a_verb_that_is_not_there_cannot_be_allowed(verbs: str) -> None:
    command = [sys.executable, "-m", "rtbids", "far", "--verbs", verbs]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 64
    assert "--verbs" in done.stderr


@pytest.mark.parametrize("content", [b"", b"GET / HTTP/1.1\r\n\r\n" * 100, bytes(4096)])
def test_what_is_no_hello_ends_the_far_side_with_one_line(content: bytes) -> None:
    done = subprocess.run([sys.executable, "-m", "rtbids", "far"], input=content, capture_output=True, check=False, timeout=60)
    assert done.returncode in (74, 75)
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") <= 2
