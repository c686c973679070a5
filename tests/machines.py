"""Machines in namespaces of their own: network, host name, users, homes and processes. Nothing of them is left afterwards.

What a machine is made of lies in memory, and all that runs there ends with whoever made it. Only root may make one.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import sshd

ROOT = Path(__file__).resolve().parent.parent
USER, PASSWORD = "me", "a password for this test"
ADDRESSES = {"console": "10.77.0.1", "cloud": "10.77.0.2"}
RTBIDS = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m rtbids "$@"\n'
_NAMESPACES = ["--mount", "--uts", "--net", "--pid"]
_SETUP = r"""
set -e
name=$1 user=$2 secret=$3 hosts=$4; shift 4
mount -t tmpfs -o mode=755 tmpfs /mnt
cd /mnt
for top in /*; do
    case $top in
    /etc) cp -a /etc etc ;;
    /data | /home | /mnt | /root | /run | /tmp) mkdir -m 755 ".$top" ;;
    *) if [ -L "$top" ]; then cp -P "$top" .; elif [ -d "$top" ]; then mkdir ".$top"; mount --rbind "$top" ".$top"; fi ;;
    esac
done
for place; do mkdir -p ".$place"; mount --rbind "$place" ".$place"; done
chmod 1777 tmp
mkdir -p run/sshd data/export old
pivot_root . old
umount -l /old
cp -r /etc/skel "/home/$user"
echo "$user:x:4711:4711::/home/$user:/bin/bash" >> /etc/passwd
echo "$user:x:4711:" >> /etc/group
printf '%s\n' "$user:$secret:19000:0:99999:7:::" >> /etc/shadow
echo "$hosts" >> /etc/hosts
rm -f /etc/ssh/ssh_host_*
chown -R "$user:$user" "/home/$user" /data
hostname "$name"
ip link set lo up
echo ready
trap '' CHLD  # who is left without a parent is not left as a zombie
exec sleep infinity
"""


class Machine:
    """One machine: a host of the name `name` with one user."""

    def __init__(self, name: str) -> None:
        self.name = name
        secret = _crypted(PASSWORD)
        hosts = "\n".join(f"{address} {host}" for host, address in ADDRESSES.items())
        kept = dict.fromkeys(str(Path(place).resolve()) for place in (ROOT, sys.prefix, sys.base_prefix))
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc"]
        command += ["sh", "-c", _SETUP, "sh", name, USER, secret, hosts, *kept]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            _, said = self._process.communicate()
            pytest.skip(f"no namespaces here: {said.decode().strip()}")
        (self.pid,) = sshd.children(self._process.pid)

    @property
    def root(self) -> Path:
        """Its files, as they are seen from here."""
        return Path(f"/proc/{self.pid}/root")

    @property
    def home(self) -> Path:
        return self.root / "home" / USER

    def command(self, *words: str) -> list[str]:
        """Return what runs a command there, as root."""
        return ["nsenter", "--target", str(self.pid), *_NAMESPACES, *words]

    def login(self, script: str, environment: Mapping[str, str] | None = None) -> list[str]:
        """Return what runs lines of a shell there, in one login of its user."""
        changes = [f"{name}={value}" for name, value in (environment or {}).items()]
        person = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--reset-env", "env", *changes]
        return self.command(*person, "bash", "-l", "-c", f"cd\n{script}")

    def do(self, *words: str) -> str:
        """Run a command there as root, and return what it says."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def serve_ssh(self) -> None:
        """Start its SSH server, with keys of its own, as its operating system sets it up."""
        self.do("ssh-keygen", "-A")
        self.do(str(sshd.PROGRAM), "-E", "/run/sshd.log", "-o", "PasswordAuthentication=yes")

    def person(self, script: str, given: str = "") -> str:
        """Run lines of a shell as its user; return what they say."""
        done = subprocess.run(self.login(script), input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script}: {done.stderr}"
        return done.stdout

    def crossed(self) -> int:
        """Return how many bytes have gone out and come in so far."""
        rows = [row.replace(":", " ").split() for row in self.do("cat", "/proc/net/dev").splitlines()[2:]]
        return sum(int(row[1]) + int(row[9]) for row in rows if row[0] != "lo")

    def put(self, name: str, script: str) -> None:
        """Put a program into the home of its user."""
        self.person(f'mkdir -p "$(dirname {name})" && cat > {name} && chmod 755 {name}', script)

    def has_rtbids(self) -> None:
        """Put the environment of the tests where the far side of a connection is looked for."""
        self.put(".local/bin/rtbids", RTBIDS)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def _crypted(password: str) -> str:
    done = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextmanager
def two() -> Iterator[tuple[Machine, Machine]]:
    """Give a console and a cloud machine that no cable joins yet; skip the test where that is not permitted."""
    lacking = [name for name in ("unshare", "nsenter", "setpriv", "ip", "openssl", "ssh-keygen") if not shutil.which(name)]
    if os.getuid() or lacking or not sshd.PROGRAM.exists():
        pytest.skip(f"two machines need root and {', '.join(lacking) or 'an OpenSSH server'}")
    machines = [Machine(name) for name in ADDRESSES]
    try:
        yield machines[0], machines[1]
    finally:
        for machine in machines:
            machine.close()


def join(one: Machine, other: Machine) -> None:
    """Join two machines by a cable."""
    subprocess.run(
        ["ip", "link", "add", "eth0", "netns", str(one.pid), "type", "veth", "peer", "name", "eth0", "netns", str(other.pid)],
        check=True,
    )
    for machine in (one, other):
        address(machine, "eth0")


def let_in(one: Machine, other: Machine) -> None:
    """Have the user of one machine know the other, and be let in there."""
    made = one.person("mkdir -m 700 .ssh && ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519 && cat .ssh/id_ed25519.pub")
    key = other.do("cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2]
    one.person("cat > .ssh/known_hosts", " ".join([other.name, *key]) + "\n")
    other.person("mkdir -m 700 .ssh && cat > .ssh/authorized_keys", made)


def address(machine: Machine, device: str) -> None:
    """Give a device of a machine its address."""
    machine.do("ip", "address", "add", f"{ADDRESSES[machine.name]}/24", "dev", device)
    machine.do("ip", "link", "set", device, "up")
