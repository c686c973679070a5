"""A machine that is reached by SSH, and ``rtbids stream`` to it and from it, as a user of this one calls it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import nibabel
import numpy as np
import sshd

from rtbids.deidentify.mapping import Key
from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom
from rtbids.stream.far import registry

RTBIDS = [sys.executable, "-m", "rtbids"]
PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 12.0), repetition_time=0.5, volumes=100, block=10)
PATIENCE = 90.0


class FarSide:
    """A server, a home of the near side that knows it, and what was started there."""

    def __init__(self, server: sshd.Sshd, home: Path) -> None:
        self.server = server
        self.home = home
        self.started: list[subprocess.Popen[bytes]] = []
        home.mkdir()
        Key.make(home / "site.key")
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"},
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "RTBIDS_SITE_KEY": str(home / "site.key"),
        }

    def place(self, path: Path | str) -> str:
        return f"{self.server.address}{path}"

    @property
    def options(self) -> list[str]:
        return ["--identity", str(self.server.folder / "id"), "--known-hosts", str(self.server.folder / "known_hosts")]

    def start(self, *arguments: object, **options: object) -> subprocess.Popen[bytes]:
        command = [*RTBIDS, *map(str, arguments)]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        self.started.append(subprocess.Popen(command, env=self.environment, start_new_session=True, **pipes))
        return self.started[-1]

    def stream(self, *arguments: object, **options: object) -> subprocess.Popen[bytes]:
        return self.start("stream", *arguments, *self.options, **options)

    def run(self, *arguments: object) -> tuple[int, str]:
        return finished(self.stream(*arguments))

    def keepers(self) -> list[dict]:
        before = os.environ.get("XDG_STATE_HOME")
        os.environ["XDG_STATE_HOME"] = str(self.server.folder / "far")
        try:
            return registry.keepers()
        finally:
            os.environ.pop("XDG_STATE_HOME")
            if before is not None:
                os.environ["XDG_STATE_HOME"] = before

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@contextmanager
def far_side(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[FarSide]:
    with sshd.running(folder, environment) as server:  # whose name is short: so are those of sockets
        side = FarSide(server, folder / "home")
        try:
            yield side
        finally:
            side.close()


def finished(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, err = process.communicate(timeout=PATIENCE)
    assert b"Traceback" not in err, err.decode()
    return process.returncode, err.decode()


def dicoms(folder: Path) -> Sequence[Path]:
    """Return the files of a run, outside of the folder that is watched."""
    folder.mkdir()
    scanner.scan(scanner.dicoms(PHANTOM), folder, interval=0)
    return sorted(folder.iterdir())


def export(files: Sequence[Path], folder: Path) -> None:
    """Put files where they are watched, as a scanner does: each in one step."""
    for path in files:
        os.link(path, folder / path.name)


def expected(count: int = 100) -> np.ndarray:
    return np.stack([PHANTOM.volume(number) for number in range(count)], axis=3)


def voxels(study: Path) -> np.ndarray:
    (file,) = study.rglob("*_bold.nii*")
    return np.asarray(nibabel.load(file).dataobj)


def count(study: Path) -> int:
    """Return how many volumes are in the run that grows; 0 where none does."""
    for file in study.rglob("sub-*_bold.nii"):
        with file.open("rb") as header:
            return int.from_bytes(header.read(50)[48:50], "little")
    return 0


def until(holds: Callable[[], bool], *processes: subprocess.Popen[bytes]) -> None:
    """Wait for what other processes, none of which is to end, bring about; they give no event for what they write."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        for process in processes:
            assert process.poll() is None, process.stderr.read().decode()
        select.select([], [], [], 0.02)


def reading(path: Path, found: list[bytes]) -> threading.Thread:
    """Read a pipe to its end, from a thread."""

    def read() -> None:
        with path.open("rb") as file:
            found.append(file.read())

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread
