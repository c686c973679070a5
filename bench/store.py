"""Files stored over the network from dcmtk's storescu on one association, beside dcmtk's own storescp."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtbids.replay.scanner import Phantom, dicoms

PHANTOM = Phantom(shape=(68, 68, 36), volumes=400)  # 336 kB a file
ROUNDS = 3
LIMIT = 280  # files a second, at the least, without fsync
LISTENING = re.compile(rb":(\d+)$")


def measure() -> Iterator[str]:
    if (storescu := _dcmtk("storescu")) is None:
        yield "dcmtk's storescu is not there: apt-get install dcmtk"
        return
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "files")
        files.mkdir()
        for number, content in enumerate(dicoms(PHANTOM)):
            (files / f"{number:04d}.dcm").write_bytes(content)
        rates = {name: _rate(storescu, listening, files) for name, listening in _RECEIVERS.items()}
        size = (files / "0000.dcm").stat().st_size
    for name, rate in rates.items():
        yield f"{name:<34} {rate:8.0f} files of {size // 1000} kB/s"
    for name in ("rtbids", "rtbids --fsync"):
        beside = rates[name] / rates["storescp"]
        yield f"{name:<34} {rates[name] / LIMIT:8.2f} × the {LIMIT} files/s to reach, {beside:.2f} × storescp"


def _rate(storescu: str, listening, files: Path) -> float:
    """Return files a second, the best of some rounds."""
    rates = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder, listening(Path(folder)) as port:
            begin = time.perf_counter()
            _call(storescu, "-aec", "RTBIDS", "+sd", "127.0.0.1", str(port), str(files))
            rates.append(PHANTOM.volumes / (time.perf_counter() - begin))
    return max(rates)


def _dcmtk(name: str) -> str | None:
    """Find a command of dcmtk: pynetdicom brings others of the same names, which stand beside this Python."""
    ours = str(Path(sys.executable).parent)
    return shutil.which(name, path=os.pathsep.join(place for place in os.get_exec_path() if place != ours))


def _call(*command: str) -> None:
    subprocess.run(command, check=True, env=_prompt(), stdout=subprocess.DEVNULL)


def _prompt() -> dict[str, str]:
    return {**os.environ, "TCP_NODELAY": "1"}  # dcmtk leaves Nagle's algorithm on otherwise


@contextmanager
def _rtbids(folder: Path, *options: str) -> Iterator[int]:
    """Watch the network as a user does, the stream going nowhere."""
    command = [sys.executable, "-m", "rtbids", "watch", "dicom-scp://127.0.0.1:0", "--spool", str(folder / "spool"), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        found = LISTENING.search(process.stderr.readline().rstrip())
        try:
            yield int(found[1])
        finally:
            process.terminate()


@contextmanager
def _storescp(folder: Path) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen(
        [_dcmtk("storescp"), "-od", str(folder), str(port)], env=_prompt(), stdout=subprocess.DEVNULL
    ) as process:
        while subprocess.run([_dcmtk("echoscu"), "127.0.0.1", str(port)], check=False, stderr=subprocess.DEVNULL).returncode:
            time.sleep(0.02)
        try:
            yield port
        finally:
            process.terminate()


_RECEIVERS = {
    "storescp": _storescp,
    "rtbids": _rtbids,
    "rtbids --fsync": lambda folder: _rtbids(folder, "--fsync"),
}
