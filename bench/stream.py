"""A recorded run to a named pipe behind a real sshd on loopback until all is safe there, beside a bare ``ssh`` pipe."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests"))
import figures
import numpy as np
import ssh_link
import sshd

from rtbids.cli import far_ends, receiving
from rtbids.pipeline import be_quick
from rtbids.stream import bidsi, units, wire
from rtbids.stream.branch import Branch
from rtbids.stream.linked import write_link
from rtbids.stream.ssh.settings import SshOptions
from rtbids.volume import Item, RunEnd, Volume, volume_of

SHAPE, COUNT, SPACED, SPACING, ROUNDS = (64, 64, 36), 1000, 200, 0.05, 3
ENTITIES = {"subject": "01", "task": "bench", "run": "01"}
METADATA = {"RepetitionTime": 1.0, "TaskName": "bench"}


def measure() -> Iterator[str]:
    if not sshd.PROGRAM.exists() or not shutil.which("ssh"):
        yield "no sshd or no ssh here: nothing measured"
        return
    with tempfile.TemporaryDirectory(prefix="rt") as name, sshd.running(Path(name)) as server:
        folder = Path(name)
        be_quick()  # as the command is
        run = _recorded(folder / "run.tar")
        yield figures.spread(f"volume → reader of a pipe there, one every {1000 * SPACING:.0f} ms", _to_reader(server, folder))
        rounds = [(_inside(server, run, folder), ssh_link._bare(server)) for _ in range(ROUNDS)]
        ours, bare = zip(*rounds, strict=True)
        for what, rates in (("units to a pipe there, all safe", ours), ("ssh host 'cat > /dev/null'", bare)):
            yield f"{what:<34} {statistics.median(rates):8.0f} MB/s"
        yield f"{'of it, median of rounds':<34} {100 * statistics.median(a / b for a, b in rounds):8.0f} %"


def volume(index: int) -> Volume:
    data = np.random.default_rng(index % 50).integers(-(2**15), 2**15, SHAPE, dtype=np.int16)
    return volume_of(data, np.eye(4), ENTITIES, METADATA, index)


def _recorded(path: Path) -> Path:
    with path.open("wb", buffering=0) as file:
        bidsi.write(chain(map(volume, range(COUNT)), [RunEnd(ENTITIES, COUNT)]), file)
    return path


def _far(server: sshd.Sshd) -> far_ends.Far:
    return far_ends.Far(SshOptions(server.folder / "id", server.folder / "known_hosts", None, "rtbids far"))


def _branch(server: sshd.Sshd, pipe: Path, *, reads: bool = True) -> Branch:
    """Return what sends units to a pipe over there, whose reader, where it `reads`, throws away what it reads."""
    if not pipe.exists():
        os.mkfifo(pipe, 0o600)
    if reads:
        subprocess.Popen(["dd", f"if={pipe}", "of=/dev/null", "bs=1M"], stderr=subprocess.DEVNULL)
    link = far_ends.dial("receive", far_ends.address(f"{server.address}{pipe}"), _far(server), {})
    far_ends.ready(link, receiving.READY)
    return Branch("bench", lambda coming: write_link(coming, link), room=64 << 20).start()


def _to_reader(server: sshd.Sshd, folder: Path) -> list[float]:
    """Return how long volumes are under way from the watcher's hands to those of the pipe's reader over there."""
    pipe, came = folder / "spaced", []
    branch = _branch(server, pipe, reads=False)

    def read() -> None:
        with pipe.open("rb", buffering=0) as file:
            came.extend(time.time() for _ in filter(_is_volume, bidsi.read(file)))

    reader = threading.Thread(target=read)
    reader.start()
    sent = []
    for unit in units.of_items([*map(volume, range(SPACED)), RunEnd(ENTITIES, SPACED)]):
        if unit.is_image:
            time.sleep(SPACING)
            sent.append(time.time())
        branch.put(unit)
    branch.end()
    branch.join()
    reader.join()
    return [there - here for here, there in zip(sent, came, strict=True)]


def _is_volume(item: Item) -> bool:
    return isinstance(item, Volume)


def _inside(server: sshd.Sshd, run: Path, folder: Path) -> float:
    """Return the throughput of units, as the members that a tar gives, in MB/s."""
    branch = _branch(server, folder / "flat")
    begin = time.perf_counter()
    with run.open("rb", buffering=0) as file:
        for unit in units.of_members(wire.members(file, "the run")):
            branch.put(unit)
    branch.end()
    branch.join()
    assert branch.error is None, branch.error
    return run.stat().st_size / (time.perf_counter() - begin) / 1e6
