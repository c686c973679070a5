"""A throw-away OpenSSH server of the tests' own: its keys, its port, its far side's folders; nothing under /etc is used."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PROGRAM = Path("/usr/sbin/sshd")
_PRIVILEGE_SEPARATION = Path("/run/sshd")


class Sshd:
    """A running server. `folder` holds ``id`` (a key that it takes), ``known_hosts`` and the state of its far side."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.user = getpass.getuser()
        self.log: list[str] = []
        self._environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "XDG_STATE_HOME": str(folder / "far"),
            **(environment or {}),
        }
        make_key(folder / "host_key")
        make_key(folder / "id")
        self._start()

    @property
    def address(self) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}"

    @property
    def label(self) -> str:
        return f"[127.0.0.1]:{self.port}"

    def _start(self) -> None:
        for _ in range(5):  # a port that another process takes between our look and sshd's is no fault
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
            (self.folder / "sshd_config").write_text(self._settings(), encoding="utf-8")
            command = [str(PROGRAM), "-D", "-e", "-f", str(self.folder / "sshd_config")]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            listens = threading.Event()
            threading.Thread(target=self._listen, args=(self._process, listens), daemon=True).start()
            if listens.wait(20) and self._process.poll() is None:
                self._know_host()
                return
        pytest.fail("sshd does not start:\n" + "".join(self.log))

    def _settings(self) -> str:
        variables = " ".join(f'"{name}={value}"' for name, value in self._environment.items())
        return "\n".join(
            (
                f"Port {self.port}",
                "ListenAddress 127.0.0.1",
                f"HostKey {self.folder / 'host_key'}",
                f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
                "PidFile none",
                "StrictModes no",
                "UsePAM no",
                "PasswordAuthentication no",
                "KbdInteractiveAuthentication no",
                "PermitRootLogin prohibit-password",
                "AllowTcpForwarding yes",
                "MaxStartups 100",
                "LogLevel INFO",
                f"SetEnv {variables}\n",
            )
        )

    def _listen(self, process: subprocess.Popen[str], listens: threading.Event) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.log.append(line)
            if "Server listening" in line:
                listens.set()
        listens.set()  # it has ended

    def _know_host(self) -> None:
        self.authorize()
        self.folder.joinpath("known_hosts").write_text(f"{self.label} {self.public('host_key')}\n", encoding="utf-8")

    def authorize(self, options: str = "") -> None:
        """Let the key in, with what is said before a key in authorized_keys."""
        self.folder.joinpath("authorized_keys").write_text(f"{options} {self.public('id')}\n".lstrip(), encoding="utf-8")

    def public(self, name: str) -> str:
        """Return type and content of a public key."""
        return " ".join(self.folder.joinpath(f"{name}.pub").read_text(encoding="utf-8").split()[:2])

    def connections(self) -> list[int]:
        """Return the processes that serve a connection each."""
        return children(self._process.pid)

    def kill_connections(self) -> int:
        """Kill what serves connections, as a broken network would; the far commands are left to notice it. Return how many."""
        return self._signal(signal.SIGKILL)

    def freeze(self) -> int:
        """Stop what serves connections: they stay open and say nothing."""
        return self._signal(signal.SIGSTOP)

    def _signal(self, number: int) -> int:
        there = [pid for pid in self.connections() if _is_sshd(pid)]
        there += [child for pid in there for child in children(pid) if _is_sshd(child)]
        for pid in there:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(there)

    def close(self) -> None:
        self.kill_connections()
        self._process.kill()
        self._process.wait()
        self.end_keepers()

    def end_keepers(self) -> None:
        """End what a test left running on the far side."""
        for path in self.folder.glob("far/rtbids/run/*/*.json"):
            end_keeper(path)


def end_keeper(path: Path) -> None:
    """End what a test left running on the far side, whose process its file names."""
    with suppress(OSError, ValueError, KeyError):
        os.kill(int(json.loads(path.read_text())["pid"]), signal.SIGKILL)
    for left in path.parent.glob(f"{path.stem}.*"):
        left.unlink()


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)], check=True)


def fingerprint(path: Path) -> str:
    """Return what ``ssh-keygen`` says of a key."""
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(path)], capture_output=True, text=True, check=True)
    return shown.stdout.split()[1]


def children(pid: int) -> list[int]:
    """Return the processes that `pid` started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            if f"\nPPid:\t{pid}\n" in status.read_text():
                found.append(int(status.parent.name))
    return found


def _is_sshd(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() in ("sshd", "sshd-session")
    return False


@contextmanager
def running(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Sshd]:
    """Run a server while the block lasts; skip the test where there is no OpenSSH server."""
    if not PROGRAM.exists() or not shutil.which("ssh-keygen"):
        pytest.skip("no OpenSSH server (apt-get install openssh-server)")
    if os.getuid() == 0:
        _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)  # where one that root runs keeps its unprivileged half
    server = Sshd(folder, environment)
    try:
        yield server
    finally:
        server.close()
