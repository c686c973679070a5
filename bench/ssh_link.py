"""A link over a real sshd on loopback: from `send` to the far side's application; throughput beside a bare ``ssh`` pipe."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests"))
import figures
import sshd

from rtbids.stream import link
from rtbids.stream.ssh.address import Address
from rtbids.stream.ssh.connect import connect
from rtbids.stream.ssh.dial import dial
from rtbids.stream.ssh.settings import SshOptions

VOLUME = os.urandom(295_264)
COUNT, SPACED, SPACING, ROUNDS = 1000, 300, 0.1, 3
STARTS = 5


def measure() -> Iterator[str]:
    if not sshd.PROGRAM.exists():
        yield "no sshd here: nothing measured"
        return
    with tempfile.TemporaryDirectory(prefix="rt") as folder, ExitStack() as stack:
        there = {"PYTHONPATH": str(Path(__file__).parent)}
        server = stack.enter_context(sshd.running(Path(folder), there))
        yield figures.spread(f"send → application there, one every {1000 * SPACING:.0f} ms", _delays(server))
        ours, bare = zip(*[(_throughput(server), _bare(server)) for _ in range(ROUNDS)], strict=True)
        for name, rates in (("link with receipts", ours), ("ssh host 'cat > /dev/null'", bare)):
            yield f"{name:<34} {statistics.median(rates):8.0f} MB/s"
        share = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
        yield f"{'link / ssh, median of rounds':<34} {100 * share:8.0f} %"
        starts = [_start(server) for _ in range(STARTS)]
        yield figures.spread("exec → answer to the hello", [seconds for seconds, _ in starts])
        yield figures.spread("connect and log in", [seconds for _, seconds in starts])


def _far(server: sshd.Sshd, stamps: bool) -> link.Link:
    options = SshOptions(server.folder / "id", server.folder / "known_hosts", None, f"{sys.executable} -c '{_COMMAND}'")
    far = dial(Address.parse(server.address), options, "stamp", {"stamps": stamps})
    far.wait_up(30)
    return far


_COMMAND = 'from rtbids.stream.far.relay import relay; relay({"stamp": "stamping:stamp"}, 5)'


def _delays(server: sshd.Sshd) -> list[float]:
    far = _far(server, stamps=True)
    came = far.members()
    delays = []
    for number in range(SPACED):
        time.sleep(SPACING)
        sent = time.time()
        far.send(f"volume-{number:05d}.nii", VOLUME)
        arrived = next(came)
        delays.append(float(bytes(arrived.member.content)) - sent)
        far.settle(arrived.number)
    _end(far)
    return delays


def _throughput(server: sshd.Sshd) -> float:
    far = _far(server, stamps=False)
    begin = time.perf_counter()
    for number in range(COUNT):
        far.send(f"volume-{number:05d}.nii", VOLUME)
    far.finish(120)
    elapsed = time.perf_counter() - begin
    far.close()
    return COUNT * len(VOLUME) / elapsed / 1e6


def _end(far: link.Link) -> None:
    far.finish(30)
    far.close()


def _bare(server: sshd.Sshd) -> float:
    """Return MB/s of a pipe through OpenSSH's own client."""
    ssh = shutil.which("ssh")
    assert ssh
    command = [ssh, "-F", "none", "-p", str(server.port), "-i", str(server.folder / "id"), "-o", "BatchMode=yes"]
    command += ["-o", f"UserKnownHostsFile={server.folder / 'known_hosts'}", f"{server.user}@127.0.0.1", "cat > /dev/null"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0) as there:
        assert there.stdin is not None
        there.stdin.write(bytes(1))  # once this is taken it is as far as it would be at the start of a run
        begin = time.perf_counter()
        for _ in range(COUNT):
            view = memoryview(VOLUME)
            while view:
                view = view[there.stdin.write(view) :]
        there.stdin.close()
        there.wait()
        return COUNT * len(VOLUME) / (time.perf_counter() - begin) / 1e6


def _start(server: sshd.Sshd) -> tuple[float, float]:
    """Return seconds from the far command to the answer to the hello, and those to connect before."""
    options = SshOptions(server.folder / "id", server.folder / "known_hosts", None, "rtbids far")
    begin = time.perf_counter()
    connection = connect(Address.parse(server.address), options)
    connected = time.perf_counter()
    channel = connection.run(options.remote_command)
    far = link.dial(lambda: channel, "echo")
    far.wait_up(30)
    done = time.perf_counter()
    _end(far)
    return done - connected, connected - begin
