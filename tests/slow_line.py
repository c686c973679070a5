"""A slow line between two machines: by the kernel (netem) where it can, else by a router of our own between two tun devices.

``python slow_line.py PID PID`` is that router. Packets wait for their turn at the line's rate, then for its delay; a queue that
is full drops what comes, as a router's does, so that TCP at both ends sees what it sees on such a line.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from machines import Machine

_TUNSETIFF, _IFF_TUN_NO_PI, _CLONE_NEWNET = 0x400454CA, 0x1001, 0x40000000
_PACKET = 65536


@dataclass(frozen=True)
class Line:
    """Bits a second, seconds one way, and the bytes that wait at most."""

    rate: float = 20e6
    delay: float = 0.020
    queue: int = 250_000

    def __str__(self) -> str:
        return f"{self.rate / 1e6:g} Mbit/s, {2000 * self.delay:g} ms there and back"


class OneWay:
    """One direction of a line, as pure logic: what came when, and what is there when."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._free = 0.0  # when the last packet will be sent
        self._packets: deque[tuple[float, bytes]] = deque()

    def offer(self, packet: bytes, now: float) -> bool:
        """Take a packet; say whether there was room for it."""
        begin = max(now, self._free)
        if (begin - now) * self._line.rate / 8 + len(packet) > self._line.queue:
            return False
        self._free = begin + 8 * len(packet) / self._line.rate
        self._packets.append((self._free + self._line.delay, packet))
        return True

    def due(self, now: float) -> Iterator[bytes]:
        """Yield what has arrived."""
        while self._packets and self._packets[0][0] <= now:
            yield self._packets.popleft()[1]

    @property
    def next(self) -> float | None:
        """When the next packet arrives."""
        return self._packets[0][0] if self._packets else None


@contextmanager
def joined(one: Machine, other: Machine, line: Line) -> Iterator[str]:
    """Join two machines by a slow line, and say what makes it slow."""
    import machines

    machines.join(one, other)
    if all(_netem(machine, line) for machine in (one, other)):
        _be_usual(one, other, "eth0")
        yield "netem"
        return
    one.do("ip", "link", "delete", "eth0")
    router = subprocess.Popen(
        [sys.executable, __file__, str(one.pid), str(other.pid), str(line.rate), str(line.delay)], stdout=-1
    )
    try:
        assert router.stdout is not None
        assert router.stdout.readline() == b"ready\n"
        for machine in (one, other):
            machines.address(machine, "line")
        _be_usual(one, other, "line")
        yield "a router in user space, for this kernel has no netem"
    finally:
        router.kill()
        router.communicate()


def _netem(machine: Machine, line: Line) -> bool:
    shape = ["delay", f"{1000 * line.delay}ms", "rate", f"{line.rate:.0f}bit", "limit", str(line.queue // 1500)]
    done = subprocess.run(
        machine.command("tc", "qdisc", "add", "dev", "eth0", "root", "netem", *shape), capture_output=True, check=False
    )
    return done.returncode == 0


def _be_usual(one: Machine, other: Machine, device: str) -> None:
    """Have TCP fill the line as most machines do, whatever this one's kernel is set to."""
    for machine in (one, other):
        machine.do("ip", "route", "change", "10.77.0.0/24", "dev", device, "congctl", "cubic")


def _device(pid: int) -> int:
    """Return the descriptor of a new tun device in the network of a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/proc/{pid}/ns/net", "rb") as network:
        if libc.setns(network.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"the network of process {pid} cannot be entered")
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH", b"line", _IFF_TUN_NO_PI))
    return descriptor


def _route(ends: tuple[int, int], line: Line) -> None:
    ways = (OneWay(line), OneWay(line))
    while True:
        coming = [way.next for way in ways if way.next is not None]
        wait = max(0.0, min(coming) - time.monotonic()) if coming else None
        ready, _, _ = select.select(ends, [], [], wait)
        for end in ready:
            ways[ends.index(end)].offer(os.read(end, _PACKET), time.monotonic())
        for way, to in zip(ways, reversed(ends), strict=True):
            for packet in way.due(time.monotonic()):
                with suppress(OSError):  # a device that is not up yet
                    os.write(to, packet)


if __name__ == "__main__":
    pids, (rate, delay) = map(int, sys.argv[1:3]), map(float, sys.argv[3:5])
    devices = [_device(pid) for pid in pids]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    _route((devices[0], devices[1]), Line(rate, delay))
