"""What stands in the way of ``rtbids run --on`` is said in one line, and one more on what to do, with the right exit code."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import sshd

SCRIPT = "def feedback(volume, run):\n    return float(volume.data.mean())\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[sshd.Sshd]:
    with sshd.running(tmp_path_factory.mktemp("s")) as running:  # a short name: sockets lie below it
        yield running


@pytest.fixture
def run(small, script, call):
    """Call ``run --on`` on a small data set and return exit code and what was said."""

    def called(place: str, *options: object) -> tuple[int, list[str]]:
        outcome = call("run", script(SCRIPT), small.root, "--speed", "max", "--volumes", 3, "--on", place, *options)
        return outcome.code, outcome.err.splitlines()

    return called


def known(server: sshd.Sshd) -> list[object]:
    return ["--identity", server.folder / "id", "--known-hosts", server.folder / "known_hosts"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_nobody_listens_on_that_port(server, run):
    code, said = run(f"ssh://{server.user}@127.0.0.1:{free_port()}", *known(server))
    assert code == 75
    assert "refuses connections" in said[0]
    assert len(said) <= 2


def test_there_is_no_such_host(server, run):
    code, said = run("ssh://nobody@no-such-host.invalid", *known(server))
    assert code == 75
    assert "no-such-host.invalid" in said[0]
    assert len(said) <= 2


def test_the_key_is_another(server, run, tmp_path):
    sshd.make_key(tmp_path / "other")
    code, said = run(server.address, "--identity", tmp_path / "other", "--known-hosts", server.folder / "known_hosts")
    assert code == 64
    assert len(said) <= 2


def test_the_host_is_unknown(server, run, tmp_path):
    (tmp_path / "nothing").touch()
    code, said = run(server.address, "--identity", server.folder / "id", "--known-hosts", tmp_path / "nothing")
    assert code == 74
    assert sshd.fingerprint(server.folder / "host_key.pub") in " ".join(said)
    assert len(said) <= 2


def test_rtbids_is_not_there(server, run):
    code, said = run(server.address, *known(server), "--remote-command", "/nowhere/rtbids far")
    assert code == 64
    assert "install" in " ".join(said)
    assert len(said) <= 2


def test_the_command_there_is_something_else(server, run):
    code, said = run(server.address, *known(server), "--remote-command", "echo welcome")
    assert code == 74
    assert "'welcome'" in said[0]
    assert len(said) <= 2


def test_only_other_verbs_are_allowed_there(server, run):
    code, said = run(server.address, *known(server), "--remote-command", "rtbids far --verbs probe")
    assert code == 64
    assert "experiment" in said[0]


def test_there_is_no_place_for_files_there(server, run):
    code, said = run(server.address, *known(server), "--remote-command", "sh -c 'XDG_CACHE_HOME=/dev/full/x exec rtbids far'")
    assert code == 73
    assert "/dev/full/x" in said[-1]
    assert len(said) == 2  # the first says where scripts run


@pytest.mark.parametrize("place", ["cloud", "ssh://", "ssh://me:secret@cloud", "ssh://cloud/folder"])
def test_the_address_is_none(run, place):
    code, said = run(place)
    assert code == 64
    assert "secret" not in " ".join(said)
    assert len(said) <= 2


def test_a_debugger_needs_the_script_here(run):
    code, said = run("ssh://cloud", "--in-process")
    assert code == 64
    assert "--in-process" in said[0]
