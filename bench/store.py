"""Files stored over the network by dcmtk's storescu, beside dcmtk's own storescp; and on the disk, beside what that can do."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rtbids.replay.scanner import Phantom, dicoms

PHANTOM = Phantom(shape=(68, 68, 36), volumes=400)  # 336 kB a file
ROUNDS = 3
LIMIT = 280  # files a second, at the least, without fsync
SIDE_BY_SIDE = (1, 4)  # associations
DISK = "the disk alone, one fsync each"
ANYWHERE = "dicom-scp://127.0.0.1:0"
LISTENING = re.compile(rb":(\d+)$")


def measure() -> Iterator[str]:
    if (storescu := _dcmtk("storescu")) is None:
        yield "dcmtk's storescu is not there: apt-get install dcmtk"
        return
    with tempfile.TemporaryDirectory() as folder:
        files = _files(Path(folder, "files"))
        size = files[0].stat().st_size
        rates: dict[tuple[str, int], list[float]] = {}
        for _ in range(ROUNDS):  # in turn, so that what else the machine does is the same for all
            for name, listening in _RECEIVERS.items():
                for count in SIDE_BY_SIDE:
                    rates.setdefault((name, count), []).append(_rate(storescu, listening, _shared_out(files, count)))
            for count in SIDE_BY_SIDE:
                rates.setdefault((DISK, count), []).append(_disk(_shared_out(files, count)))
    for (name, count), found in rates.items():
        yield f"{name:<34} {count} at once {max(found):6.0f} files of {size // 1000} kB/s, at the least {min(found):.0f}"
    for name in ("rtbids", "rtbids --fsync", "rtbids send"):
        best = max(rates[name, 1])
        beside = best / max(rates["storescp", 1])
        yield f"{name:<34} {best / LIMIT:8.2f} × the {LIMIT} files/s to reach, {beside:.2f} × storescp"


def _files(folder: Path) -> list[Path]:
    folder.mkdir()
    for number, content in enumerate(dicoms(PHANTOM)):
        (folder / f"{number:04d}.dcm").write_bytes(content)
    return sorted(folder.iterdir())


def _shared_out(files: list[Path], count: int) -> list[list[Path]]:
    return [files[first::count] for first in range(count)]


def _rate(storescu: str, listening: Callable, shares: list[list[Path]]) -> float:
    """Return files a second, each share over an association of its own."""
    with tempfile.TemporaryDirectory() as folder, listening(Path(folder)) as port:
        to = [storescu, "-aec", "RTBIDS", "127.0.0.1", str(port)]
        return _timed(shares, lambda share: _call(*to, *map(str, share)))


def _disk(shares: list[list[Path]]) -> float:
    """Return how many such files a second are written, named and put on the disk by one fsync each."""
    content = shares[0][0].read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        return _timed(shares, lambda share: [_put(content, Path(folder, path.name)) for path in share])


def _put(content: bytes, path: Path) -> None:
    with open(path.with_suffix(".part"), "wb", buffering=0) as file:
        file.write(content)
        path.with_suffix(".part").rename(path)
        os.fsync(file.fileno())


def _timed(shares: list[list[Path]], work: Callable) -> float:
    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return PHANTOM.volumes / (time.perf_counter() - begin)


def _dcmtk(name: str) -> str | None:
    """Find a command of dcmtk: pynetdicom brings others of the same names, which stand beside this Python."""
    ours = str(Path(sys.executable).parent)
    return shutil.which(name, path=os.pathsep.join(place for place in os.get_exec_path() if place != ours))


def _call(*command: str) -> None:
    subprocess.run(command, check=True, env=_prompt(), stdout=subprocess.DEVNULL)


def _prompt() -> dict[str, str]:
    return {**os.environ, "TCP_NODELAY": "1"}  # dcmtk leaves Nagle's algorithm on otherwise


@contextmanager
def _rtbids(*words: str) -> Iterator[int]:
    """Listen as a user does, what comes going nowhere."""
    with subprocess.Popen(
        [sys.executable, "-m", "rtbids", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        lines = iter(process.stderr.readline, b"")
        found = next(filter(None, (LISTENING.search(line.rstrip()) for line in lines)))
        try:
            yield int(found[1])
        finally:
            process.kill()  # what it has received is of no use to anybody


def _watch(folder: Path, *options: str):
    return _rtbids("watch", ANYWHERE, "--spool", str(folder / "spool"), *options)


def _send(folder: Path):
    return _rtbids("send", ANYWHERE, f"file://{folder}/sent", "--outbox", str(folder / "outbox"), "--no-deidentify")


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
    "rtbids": _watch,
    "rtbids --fsync": lambda folder: _watch(folder, "--fsync"),
    "rtbids send": _send,
}
