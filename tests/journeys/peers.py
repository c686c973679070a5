"""Programs at the other end of a DICOM network: dcmtk's tools and Orthanc."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtbids.clock import CLOCK

LONG = 30.0  # seconds: the bound of a wait for something that takes less than one


def program(name: str) -> str:
    """Return where a program is, Debian's places for daemons included; skip where it is not.

    Not beside this Python, where pynetdicom puts commands of the names of dcmtk's.
    """
    places = [place for place in os.get_exec_path() if place != str(Path(sys.executable).parent)]
    found = shutil.which(name, path=os.pathsep.join([*places, "/usr/sbin"]))
    if found is None:
        pytest.skip(f"{name} not found: apt-get install dcmtk orthanc")
    return found


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def orthanc(folder: Path, **settings: object) -> Iterator[int]:
    """Run an Orthanc that keeps its images in `folder`; give the port of its web interface."""
    port = free_port()
    usual = {
        "StorageDirectory": str(folder / "orthanc"),
        "IndexDirectory": str(folder / "orthanc"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
    }
    (folder / "orthanc.json").write_text(json.dumps({**usual, **settings}))
    with (folder / "orthanc.log").open("wb") as log, running(program("Orthanc"), folder / "orthanc.json", output=log):
        until(lambda: ask(port, "GET", "/system"), "Orthanc does not answer")
        yield port


@contextlib.contextmanager
def running(*command: object, output: object = subprocess.DEVNULL) -> Iterator[None]:
    """Run a daemon until the end of the block."""
    process = subprocess.Popen([str(part) for part in command], stdout=output, stderr=output)  # type: ignore[call-overload]
    try:
        yield
    finally:
        process.terminate()
        process.wait(LONG)


def ask(port: int, method: str, path: str, body: bytes = b"") -> bytes:
    """Return the answer of a web interface on this machine."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)) as connection:
        connection.request(method, path, body)
        answer = connection.getresponse()
        content = answer.read()
    assert answer.status == 200, content
    return content


def until(attempt: Callable[[], object], complaint: str) -> None:
    """Attempt to connect until it succeeds."""
    deadline = CLOCK.now() + LONG
    while True:
        try:
            attempt()
            return
        except ConnectionError:
            assert CLOCK.now() < deadline, complaint
            CLOCK.wait_until(CLOCK.now() + 0.05)
