"""Files sent to Orthanc in each way there is, beside dcmtk's senders and pynetdicom as it comes."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import servers
from peers import program

from rtbids.replay.scanner import Phantom, dicoms
from rtbids.send.credentials import PASSWORD
from rtbids.send.destinations import Access, Destination, Item, delivered, parse, parts

PHANTOM = Phantom(shape=(68, 68, 36), volumes=200)  # 337 kB a file
ROUNDS = 3
GROUP = 20  # images that are sent and then asked for
LIMITS = {"C-STORE, one association": 75, "C-STORE, 4 associations": 100}  # files a second, at the least


def measure() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "files")
        sent = servers.items(files, list(dicoms(PHANTOM)))
        os.environ[PASSWORD] = servers.PASSWORD
        try:
            with servers.orthanc(Path(folder, "orthanc")) as orthanc:
                rates = _rates(orthanc, _ways(orthanc, files, sent))
        except pytest.skip.Exception as lacking:
            yield str(lacking)
            return
    for name, (rate, slowest) in rates.items():
        yield f"{name:<42} {rate:6.0f} files of {sent[0].size // 1000} kB/s (slowest round {slowest:.0f})"
    usual = rates["pynetdicom as it comes"][0]
    for name, limit in LIMITS.items():
        rate = rates[name][0]
        yield f"{name:<42} {rate / limit:6.2f} × the {limit} files/s to reach, {rate / usual:.1f} × pynetdicom as it comes"


def _rates(orthanc: servers.Orthanc, ways: dict[str, Callable[[], None]]) -> dict[str, tuple[float, float]]:
    """Return files a second of each way, the best and the worst of rounds in which each way has its turn."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            orthanc.clear()
            begin = time.perf_counter()
            way()
            rates[name].append(PHANTOM.volumes / (time.perf_counter() - begin))
            assert len(orthanc.instances()) == PHANTOM.volumes, name
    return {name: (max(found), min(found)) for name, found in rates.items()}


def _ways(orthanc: servers.Orthanc, files: Path, sent: list[Item]) -> dict[str, Callable[[], None]]:
    dicom, http = f"dicom://ORTHANC@127.0.0.1:{orthanc.dicom}", f"http://{servers.USER}@127.0.0.1:{orthanc.http}"
    rest, stow = f"orthanc+{http}", f"dicomweb+{http}/dicom-web"
    ours = {
        "C-STORE, one association": (dicom, 1, False),
        "C-STORE, 4 associations": (dicom, 4, False),
        "C-STORE, 4 associations, asked for after": (dicom, 4, True),
        "REST, one connection": (rest, 1, False),
        "REST, 4 connections": (rest, 4, False),
        "REST, 4 connections, asked for after": (rest, 4, True),
        "STOW-RS, one connection": (stow, 1, False),
        "STOW-RS, 4 connections": (stow, 4, False),
        "STOW-RS, 4 connections, asked for after": (stow, 4, True),
    }
    ways: dict[str, Callable[[], None]] = {
        name: lambda url=url, count=count, asked=asked: _ours(parse(url, Access()), sent, count, asked=asked)
        for name, (url, count, asked) in ours.items()
    }
    port = str(orthanc.dicom)
    for name, more in (("storescu", ("-xe", "+sd")), ("dcmsend", ("+sd",))):
        command = (program(name), "-aet", "RTBIDS", "-aec", "ORTHANC", *more, "127.0.0.1", port, str(files))
        ways[f"dcmtk {name}, TCP_NODELAY=1"] = lambda command=command: _call(command, {"TCP_NODELAY": "1"})
        ways[f"dcmtk {name} as it comes"] = lambda command=command: _call(command, {})
    ways["pynetdicom as it comes"] = lambda: _pynetdicom(orthanc.dicom, sent)
    return ways


def _ours(destination: Destination, sent: list[Item], count: int, *, asked: bool) -> None:
    """Send with so many connections at once; with `asked`, as `rtbids send` does, which believes no answer."""
    failures: list[object] = []

    def work(share: list[Item]) -> None:
        with destination.open() as connection:
            for group in parts(share, GROUP):
                answers = delivered(destination, connection, group) if asked else connection.send(group)
                failures.extend(failure for _, failure in answers if failure is not None)

    workers = [threading.Thread(target=work, args=(sent[start::count],)) for start in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures, failures[0]


def _call(command: tuple[str, ...], environment: dict[str, str]) -> None:
    subprocess.run(command, check=True, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)


def _pynetdicom(port: int, sent: list[Item]) -> None:
    from pynetdicom import AE

    application = AE("RTBIDS")
    application.add_requested_context(sent[0].sop_class, sent[0].syntax)
    association = application.associate("127.0.0.1", port, ae_title="ORTHANC")
    for item in sent:
        association.send_c_store(item.path)
    association.release()
