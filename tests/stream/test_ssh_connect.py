"""Connecting to a real OpenSSH server, and to one within the test: who is let in, what is said where nobody is."""

from __future__ import annotations

import hashlib
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace

import paramiko
import pytest
import ssh_server
import sshd

from rtbids import __version__
from rtbids.errors import ConnectionLost, NeedsPerson, RtbidsError, StreamBroken, UsageFault
from rtbids.stream.ssh import dial as dialling
from rtbids.stream.ssh import settings
from rtbids.stream.ssh.address import Address
from rtbids.stream.ssh.channel import Channel
from rtbids.stream.ssh.connect import connect
from rtbids.stream.ssh.dial import Dialler
from rtbids.stream.ssh.settings import SshOptions


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Sshd]:
    with sshd.running(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without keys, settings or agent."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr(settings, "CONFIGS", (Path("~/.ssh/config"),))
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    return tmp_path / "home"


def options(server: sshd.Sshd, **changed: object) -> SshOptions:
    given = {"identity": server.folder / "id", "known_hosts": server.folder / "known_hosts", **changed}
    return SshOptions(**given)  # type: ignore[arg-type]


def read_all(channel: Channel) -> bytes:
    """Read what a command says, which is no link."""
    stream, said = channel._channel, b""
    while content := stream.recv(1 << 16):
        said += content
    return said


def test_a_command_runs_and_its_files_carry_bytes_both_ways(server: sshd.Sshd) -> None:
    channel = connect(Address.parse(server.address), options(server)).run("head -c 300000 | sha256sum")
    content, done = os.urandom(300_000), 0
    while done < len(content):
        done += channel.writer.write(memoryview(content)[done:])
    assert read_all(channel).split()[0].decode() == hashlib.sha256(content).hexdigest()
    assert channel.code == 0
    channel.close()


def test_the_socket_sends_at_once(server: sshd.Sshd) -> None:
    connection = connect(Address.parse(server.address), options(server))
    assert connection.transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    connection.close()


def test_a_read_that_waits_ends_when_another_thread_closes(server: sshd.Sshd) -> None:
    channel = connect(Address.parse(server.address), options(server)).run("cat")
    ended: list[int] = []
    reading = threading.Thread(target=lambda: ended.append(first_read(channel)))
    reading.start()
    channel.close()
    reading.join(20)
    assert ended == [0]


def test_settings_name_host_port_user_key_and_known_hosts(server: sshd.Sshd, home: Path) -> None:
    home.joinpath(".ssh", "config").write_text("Include more\nHost other\n  Port 1\n")
    home.joinpath(".ssh", "more").write_text(
        f"Host console\n  HostName 127.0.0.1\n  Port {server.port}\n  User {server.user}\n"
        f"  IdentityFile {server.folder}/id\n  IdentitiesOnly yes\n  UserKnownHostsFile {server.folder}/known_hosts\n"
    )
    channel = connect(Address.parse("ssh://console")).run("echo there")
    assert read_all(channel) == b"there\n"
    channel.close()


def test_the_address_goes_before_the_settings(home: Path) -> None:
    home.joinpath(".ssh", "config").write_text(
        "Host console\n  HostName real.example\n  Port 2222\n  User other\n  ProxyCommand nc %h %p %r\n  ConnectTimeout 3\n"
    )
    host = settings.host(Address.parse("ssh://me@console:22022"), SshOptions())
    assert (host.name, host.port, host.user, host.timeout) == ("real.example", 22022, "me", 3)
    assert host.proxy_command == "nc real.example 22022 me"
    assert host.label == "[real.example]:22022"


def test_a_jump_and_a_proxy_command_lead_to_the_host(server: sshd.Sshd, home: Path) -> None:
    login = f"  User {server.user}\n  IdentityFile {server.folder}/id\n  UserKnownHostsFile {server.folder}/known_hosts\n"
    home.joinpath(".ssh", "config").write_text(
        f"Host gate\n  HostName 127.0.0.1\n  Port {server.port}\n{login}"
        f"Host inner\n  HostName 127.0.0.1\n  Port {server.port}\n  ProxyJump gate\n{login}"
        f"Host piped\n  HostName 127.0.0.1\n  Port {server.port}\n  ProxyJump none\n"
        f"  ProxyCommand ssh -F none -p {server.port} -i {server.folder}/id -o BatchMode=yes "
        f"-o UserKnownHostsFile={server.folder}/known_hosts -W %h:%p {server.user}@127.0.0.1\n{login}"
    )
    for name in ("inner", "piped"):
        channel = connect(Address.parse(f"ssh://{name}")).run("echo through; cat")
        assert channel._channel.recv(100) == b"through\n"
        channel.close()


def test_jumps_in_a_circle_are_named(home: Path) -> None:
    home.joinpath(".ssh", "config").write_text("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n")
    with pytest.raises(UsageFault, match="circle"):
        connect(Address.parse("ssh://a"))


def test_settings_that_cannot_be_read_are_named(home: Path) -> None:
    home.joinpath(".ssh", "config").write_text("Host a\n  Port many\n")
    with pytest.raises(UsageFault, match="expected a number for port"):
        connect(Address.parse("ssh://a"))


def test_an_unknown_host_is_refused_with_its_fingerprint_and_what_to_do(server: sshd.Sshd, tmp_path: Path) -> None:
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(server.folder / "host_key")], capture_output=True, text=True, check=True
    )
    fingerprint = shown.stdout.split()[1]
    with pytest.raises(StreamBroken, match="is not a known host") as refused:
        connect(Address.parse(server.address), options(server, known_hosts=tmp_path / "none"))
    assert fingerprint in str(refused.value)
    assert f"--host-key-fingerprint {fingerprint}" in str(refused.value.hint)
    assert f"ssh -p {server.port} 127.0.0.1" in str(refused.value.hint)
    connect(Address.parse(server.address), options(server, known_hosts=tmp_path / "none", fingerprint=fingerprint)).close()


def test_another_fingerprint_than_the_given_one_is_refused(server: sshd.Sshd) -> None:
    with pytest.raises(StreamBroken, match="expected SHA256:AAAA"):
        connect(Address.parse(server.address), options(server, fingerprint="SHA256:AAAA"))


def test_a_changed_host_key_is_refused(server: sshd.Sshd, tmp_path: Path) -> None:
    sshd.make_key(tmp_path / "other")
    changed = tmp_path / "known_hosts"
    changed.write_text(f"{server.label} {' '.join((tmp_path / 'other.pub').read_text().split()[:2])}\n")
    with pytest.raises(StreamBroken, match=r"has changed.*known_hosts:1 holds SHA256:"):
        connect(Address.parse(server.address), options(server, known_hosts=changed))


def test_a_server_with_several_keys_shows_the_known_one(tmp_path: Path) -> None:
    rsa, ecdsa = ssh_server.RSA, ssh_server.ECDSA
    with ssh_server.running(rsa, ecdsa, methods="password", password="right") as there:
        known = tmp_path / "known_hosts"
        known.write_text(f"{there.label} ssh-rsa {rsa.get_base64()}\n")
        address = Address.parse(f"ssh://me@127.0.0.1:{there.port}")
        connect(address, SshOptions(known_hosts=known), lambda prompt: "right").close()


@pytest.mark.parametrize("methods", ["password", "keyboard-interactive"])
def test_a_password_is_asked_for_until_it_is_right_and_then_no_more(methods: str, tmp_path: Path) -> None:
    typed, prompts = iter(["wrong", "right"]), []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return next(typed)

    with ssh_server.running(methods=methods, password="right") as there:
        address = Address.parse(f"ssh://me@127.0.0.1:{there.port}")
        dial = Dialler(address, SshOptions(fingerprint=there_fingerprint()), ask)
        for _ in range(2):  # the second time nobody is asked
            dial().close()
    assert prompts == ["Password of me@127.0.0.1: "] * 2


def there_fingerprint() -> str:
    fingerprint: str = ssh_server.ECDSA.fingerprint
    return fingerprint


def test_a_key_and_then_a_password_where_the_server_wants_both(tmp_path: Path) -> None:
    sshd.make_key(tmp_path / "id")
    key = paramiko.Ed25519Key.from_private_key_file(str(tmp_path / "id"))
    with ssh_server.running(methods="publickey,password", password="right", key=key) as there:
        address = Address.parse(f"ssh://me@127.0.0.1:{there.port}")
        connect(address, SshOptions(tmp_path / "id", fingerprint=there_fingerprint()), lambda prompt: "right").close()


def test_without_a_terminal_the_one_line_says_so(tmp_path: Path) -> None:
    with ssh_server.running(methods="password", password="right") as there:
        address = Address.parse(f"ssh://me@127.0.0.1:{there.port}")
        with pytest.raises(NeedsPerson, match="lets user me in by none of: no key") as refused:
            connect(address, SshOptions(fingerprint=there_fingerprint()))
    assert "no terminal to ask for it in" in str(refused.value.hint)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_passphrase_is_asked_for_until_it_opens_the_key(kind: str, server: sshd.Sshd, tmp_path: Path) -> None:
    sshd.make_key(tmp_path / "locked", kind, "open sesame")
    authorized = server.folder / "authorized_keys"
    before = authorized.read_text()
    authorized.write_text(before + (tmp_path / "locked.pub").read_text())
    typed = iter(["wrong", "open sesame"])
    try:
        connect(
            Address.parse(server.address), options(server, identity=tmp_path / "locked"), lambda prompt: next(typed)
        ).close()
    finally:
        authorized.write_text(before)
    assert list(typed) == []


def test_an_agent_holds_the_key(server: sshd.Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert agent.stdout is not None
        agent.stdout.readline()  # it listens
        subprocess.run(["ssh-add", "-q", str(server.folder / "id")], env={**os.environ, "SSH_AUTH_SOCK": str(path)}, check=True)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        connect(Address.parse(server.address), options(server, identity=None)).close()
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait()


def test_keys_that_are_not_taken_are_named_with_user_and_host(server: sshd.Sshd, tmp_path: Path) -> None:
    sshd.make_key(tmp_path / "stranger")
    with pytest.raises(NeedsPerson) as refused:
        connect(Address.parse(server.address), options(server, identity=tmp_path / "stranger"))
    for part in (str(tmp_path / "stranger"), f"user {server.user}", "127.0.0.1"):
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "no such file"), (b"no key\n", "no private key"), (b"-----BEGIN OPENSSH PRIVATE KEY-----\nx\n", "no private key")],
)
def test_a_key_file_that_is_none_is_named(content: bytes | None, why: str, server: sshd.Sshd, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(NeedsPerson, match=why):
        connect(Address.parse(server.address), options(server, identity=tmp_path / "key"))


def test_another_user_is_refused(server: sshd.Sshd) -> None:
    with pytest.raises(NeedsPerson, match="user nobody-of-this-name"):
        connect(Address.parse(f"ssh://nobody-of-this-name@127.0.0.1:{server.port}"), options(server))


def test_a_host_that_is_not_there_a_closed_port_and_a_silent_one_may_be_tried_again(home: Path) -> None:
    home.joinpath(".ssh", "config").write_text("Host *\n  ConnectTimeout 1\n")
    with pytest.raises(ConnectionLost, match=r"there is no host no-such-host\.invalid"):
        connect(Address.parse("ssh://no-such-host.invalid"))
    with socket.create_server(("127.0.0.1", 0)) as listener:  # it accepts and says nothing
        port = listener.getsockname()[1]
        with pytest.raises(ConnectionLost, match="no SSH server answers"):
            connect(Address.parse(f"ssh://127.0.0.1:{port}"))
    with pytest.raises(ConnectionLost, match=f"refuses connections on port {port}"):
        connect(Address.parse(f"ssh://127.0.0.1:{port}"))


def test_what_answers_in_another_language_is_no_ssh_server(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            end = listener.accept()[0]
            with end:
                end.sendall(b"HTTP/1.1 400 Bad Request\r\n" * 200)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(ConnectionLost, match="no SSH server answers"):
            connect(Address.parse(f"ssh://127.0.0.1:{listener.getsockname()[1]}"))
    assert capfd.readouterr().err == ""


def test_a_server_that_accepts_a_command_and_freezes_is_given_up(tmp_path: Path, home: Path) -> None:
    home.joinpath(".ssh", "config").write_text("Host *\n  ConnectTimeout 1\n")

    class Frozen(ssh_server.Server):
        def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
            over.wait(30)
            return False

    over = threading.Event()
    there = ssh_server.Running(Frozen("right", "password", None), (ssh_server.ECDSA,))
    address = Address.parse(f"ssh://me@127.0.0.1:{there.port}")
    connection = connect(address, SshOptions(fingerprint=there_fingerprint()), lambda prompt: "right")
    try:
        with pytest.raises(ConnectionLost, match="starts no command"):
            connection.run("anything")
    finally:
        over.set()
        there.close()


def first_read(channel: Channel) -> int:
    """Read once, however long that takes."""
    while True:
        try:
            count: int = channel.reader.readinto(memoryview(bytearray(512)))  # type: ignore[attr-defined]
            return count
        except TimeoutError:
            continue


def begun(server: sshd.Sshd, command: str) -> RtbidsError:
    """Start a command that is no far side and return what its reader says of it."""
    channel = connect(Address.parse(server.address), options(server)).run(command)
    with pytest.raises(RtbidsError) as raised:
        first_read(channel)
    channel.close()
    return raised.value


def test_rtbids_that_is_missing_there_is_said_with_how_to_install_this_version(server: sshd.Sshd) -> None:
    lost = settings.FAR_COMMAND.replace("exec", "PATH=/nowhere; exec")
    error = begun(server, lost)
    assert isinstance(error, UsageFault)
    assert f"python3 -m venv ~/rtbids && ~/rtbids/bin/pip install rtbids=={__version__} && " in str(error.hint)
    assert f"ssh -p {server.port} {server.user}@127.0.0.1" in str(error.hint)
    assert "--remote-command" in str(error.hint)


def test_a_container_program_that_is_missing_there_is_named(server: sshd.Sshd) -> None:
    error = begun(server, "no-docker run -i site/rtbids far")
    assert isinstance(error, UsageFault)
    assert "no-docker" in str(error)
    assert "--remote-command" in str(error.hint)


def test_a_python_without_rtbids_counts_as_missing(server: sshd.Sshd) -> None:
    assert "has no rtbids" in str(begun(server, "echo 'No module named rtbids' >&2; exit 1"))


def test_a_login_script_that_talks_is_quoted(server: sshd.Sshd) -> None:
    error = begun(server, "echo Welcome to the cluster; echo; cat")
    assert isinstance(error, StreamBroken)
    assert "'Welcome to the cluster'" in str(error)
    assert "login script" in str(error.hint)


def test_a_far_command_that_fails_says_its_last_words(server: sshd.Sshd) -> None:
    error = begun(server, "echo first >&2; echo no memory left >&2; exit 3")
    assert isinstance(error, UsageFault)
    assert "exit code 3" in str(error)
    assert "no memory left" in str(error)


def test_no_more_than_the_end_of_what_the_far_side_says_is_kept(server: sshd.Sshd) -> None:
    channel = connect(Address.parse(server.address), options(server)).run("yes | head -c 5000000 >&2; echo last >&2; echo done")
    assert read_all(channel) == b"done\n"  # five windows of standard error held nothing up
    assert channel.code == 0
    channel._listener.join(20)
    assert len(channel.said) <= 4096
    assert channel.said.endswith("last")
    channel.close()


def test_escape_codes_of_the_far_side_do_not_reach_the_terminal(server: sshd.Sshd) -> None:
    error = begun(server, r"printf '\033]0;owned\007\033[2Jbye' >&2; exit 3")
    assert str(error).isprintable()
    assert "bye" in str(error)


def test_a_name_in_an_address_cannot_say_a_setting(home: Path) -> None:
    home.joinpath(".ssh", "config").write_text("Host x\n  Port 22\n")
    for user in ('me"\nProxyCommand touch owned\n#', "me\nProxyCommand touch owned"):  # wherever it came from
        host = settings.host(Address("console", user), SshOptions())
        assert (host.proxy_command, host.user) == (None, user)


class Leaving(ssh_server.Server):
    """Ends the connection between a key and the answer to it."""

    def __init__(self, leave: str) -> None:
        super().__init__(None, "publickey", None)
        self.leave = leave

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        transport = self.transports()[-1]
        if self.leave == "cut":
            transport.sock.shutdown(socket.SHUT_RDWR)
        elif self.leave == "silence":
            over.wait(30)
        else:
            say_farewell(transport, int(self.leave))
        return int(paramiko.AUTH_FAILED)


over = threading.Event()


def say_farewell(transport: paramiko.Transport, code: int) -> None:
    message = paramiko.Message()
    message.add_byte(b"\x01")
    message.add_int(code)
    message.add_string("Too many\x1b[2J failures")
    message.add_string("")
    transport._send_message(message)


@pytest.mark.parametrize(
    ("leave", "raised"),
    [("cut", ConnectionLost), ("silence", ConnectionLost), ("11", ConnectionLost), ("2", NeedsPerson), ("14", NeedsPerson)],
)
def test_only_a_server_that_says_no_needs_a_person(
    leave: str, raised: type[RtbidsError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtbids.stream.ssh.connect._ANSWER", 1.0)
    sshd.make_key(tmp_path / "id")
    server = Leaving(leave)
    there = ssh_server.Running(server, (ssh_server.ECDSA,))
    server.transports = lambda: there.transports  # type: ignore[attr-defined]
    try:
        with pytest.raises(RtbidsError) as refused:
            connect(
                Address.parse(f"ssh://me@127.0.0.1:{there.port}"), SshOptions(tmp_path / "id", fingerprint=there_fingerprint())
            )
    finally:
        over.set()
        there.close()
        over.clear()
    assert type(refused.value) is raised, str(refused.value)
    assert str(refused.value).isprintable()


def test_a_server_that_let_one_in_and_does_so_no_more_is_tried_again_and_not_too_often(
    server: sshd.Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, asked = 1000.0, []
    monkeypatch.setattr(dialling, "connect", lambda *arguments: (asked.append(arguments), connect(*arguments))[1])
    monkeypatch.setattr(dialling, "time", SimpleNamespace(monotonic=lambda: now))
    dial = Dialler(Address.parse(server.address), options(server, remote_command="printf link/; cat"))
    first = dial()
    first_read(first)
    first.close()
    server.folder.joinpath("authorized_keys").rename(server.folder / "away")
    try:
        for _ in range(3):
            with pytest.raises(ConnectionLost, match="lets user"):
                dial()
        assert len(asked) == 2  # the server is asked again when some time is over
        now += dialling.HOLD
        with pytest.raises(ConnectionLost, match="lets user"):
            dial()
        assert len(asked) == 3
    finally:
        server.folder.joinpath("away").rename(server.folder / "authorized_keys")
    now += 4 * dialling.HOLD
    dial().close()


def test_a_far_command_that_was_there_and_is_not_now_is_tried_again(server: sshd.Sshd, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nprintf link/; cat\n")
    program.chmod(0o755)
    dial = Dialler(Address.parse(server.address), options(server, remote_command=str(program)))
    with closing(dial()) as first:
        first_read(first)
    program.unlink()
    with closing(dial()) as second, pytest.raises(ConnectionLost, match="not found there any more"):
        first_read(second)


def test_a_code_is_asked_for_each_time_and_a_password_once(tmp_path: Path) -> None:
    prompts: list[str] = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return "right" if "assword" in prompt else "123456"

    with ssh_server.running(methods="keyboard-interactive", password="right") as there:
        there.server.prompts = (("Password: ", "right"), ("Code\x1b[2J: ", "123456"))
        dial = Dialler(Address.parse(f"ssh://me@127.0.0.1:{there.port}"), SshOptions(fingerprint=there_fingerprint()), ask)
        dial().close()
        assert prompts == ["Password of me@127.0.0.1: ", "127.0.0.1: Code [2J:"]
        with pytest.raises(NeedsPerson) as refused:  # beside a run nobody is asked, nor is a code sent that was used
            dial()
    assert "a code is wanted each time" in str(refused.value.hint)
    assert len(prompts) == 2


def test_who_is_asked_for_a_code_alone_is_not_asked_for_a_password() -> None:
    typed, prompts = iter(["000000", "123456"]), []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return next(typed)

    with ssh_server.running(methods="keyboard-interactive", password="") as there:
        there.server.prompts = (("Code:", "123456"),)
        connect(Address.parse(f"ssh://me@127.0.0.1:{there.port}"), SshOptions(fingerprint=there_fingerprint()), ask).close()
    assert prompts == ["127.0.0.1: Code:"] * 2  # the wrong one was not kept


def fill(channel: Channel) -> None:
    """Write until the connection ends."""
    with suppress(OSError):
        while True:
            with suppress(TimeoutError):
                channel.writer.write(memoryview(bytes(1 << 20)))


def test_a_frozen_connection_through_another_is_closed_at_once(server: sshd.Sshd, home: Path) -> None:
    login = f"  User {server.user}\n  IdentityFile {server.folder}/id\n  UserKnownHostsFile {server.folder}/known_hosts\n"
    login += f"  HostName 127.0.0.1\n  Port {server.port}\n"
    home.joinpath(".ssh", "config").write_text(f"Host gate\n{login}Host inner\n{login}  ProxyJump gate\n")
    channel = connect(Address.parse("ssh://inner")).run("cat >/dev/null")
    outermost = channel.connection._before
    assert outermost is not None
    outermost.transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # full before the window of SSH is
    assert server.freeze()
    writing = threading.Thread(target=fill, args=(channel,), daemon=True)
    writing.start()
    try:
        while select.select([], [outermost.transport.sock], [], 1.0)[1]:  # until it takes nothing for a second
            pass
        closing = threading.Thread(target=channel.close, daemon=True)
        closing.start()
        closing.join(10)
        assert not closing.is_alive()
        writing.join(10)
        assert not writing.is_alive()
    finally:
        server.kill_connections()
