"""Scripts behind a real sshd on loopback: from a volume that is here to the script there, and to its answer."""

from __future__ import annotations

import select
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests"))
import figures
import numpy as np
import sshd

from rtbids.clock import CLOCK
from rtbids.pipeline import be_quick
from rtbids.run.far.seats import FarLauncher
from rtbids.run.process.experiment_process import ExperimentProcess
from rtbids.run.process.host import Answer
from rtbids.run.process.launcher import Launcher
from rtbids.run.process.shared import Shared
from rtbids.run.process.starter import Starter
from rtbids.run.recipe import recipe
from rtbids.stream.ssh.address import Address
from rtbids.stream.ssh.dial import dial
from rtbids.stream.ssh.settings import SshOptions
from rtbids.volume import Volume, volume_of

COUNT, SPACING = 300, 0.1
TO_SCRIPT = 5.0, 15.0  # ms to reach: median, 99th percentile
SCRIPT = "import time\n\ndef feedback(volume, run):\n    return time.time()\n"


def measure() -> Iterator[str]:
    if not sshd.PROGRAM.exists():
        yield "no sshd here: nothing measured"
        return
    be_quick()  # as a run is
    with tempfile.TemporaryDirectory(prefix="rt") as folder, ExitStack() as stack:
        server = stack.enter_context(sshd.running(Path(folder)))
        (Path(folder) / "experiment.py").write_text(SCRIPT)
        local = stack.enter_context(closing(Launcher()))
        here = _delays(local, Path(folder))
        there = _delays(stack.enter_context(closing(_far(server))), Path(folder))
    yield figures.spread("volume → script here", [script for script, _ in here])
    yield figures.spread("volume → script there", to_script := [script for script, _ in there])
    yield figures.spread("volume → answer from there", [answer for _, answer in there])
    median, most = TO_SCRIPT
    found = 1000 * np.percentile(to_script, [50, 99])
    yield f"{'of what there is to reach':<34} median {found[0] / median:8.2f}      p99 {found[1] / most:8.2f}"


def _far(server: sshd.Sshd) -> FarLauncher:
    options = SshOptions(server.folder / "id", server.folder / "known_hosts")
    link = dial(Address.parse(server.address), options, "experiment")
    link.wait_up(30)
    return FarLauncher(link)


def _delays(launcher: Starter, folder: Path) -> list[tuple[float, float]]:
    """Return seconds until the script had each volume, and until its answer was here."""
    found = recipe.read(str(folder))
    host = ExperimentProcess(found, lambda entities, index: False, lambda entities, index: None, launcher=launcher)
    with closing(host):
        host.wait_until_loaded()
        return [_delay(host, index) for index in range(COUNT)][1:]  # the first begins the run


def _delay(host: ExperimentProcess, index: int) -> tuple[float, float]:
    time.sleep(SPACING)
    volume = _volume(index)
    begin = time.time()
    host.offer(Shared(volume))
    while True:
        select.select([host], [host] if host.is_behind else [], [])
        host.flush()
        for reply in host.replies():
            if isinstance(reply, Answer):
                assert isinstance(reply.value, float), reply.error
                return reply.value - begin, time.time() - begin


def _volume(index: int) -> Volume:
    voxels = np.random.default_rng(index).integers(0, 4096, (64, 64, 36), np.int16)
    entities, metadata = {"subject": "01", "task": "nf", "run": "01"}, {"RepetitionTime": 1.0, "TaskName": "nf"}
    return volume_of(voxels, np.eye(4), entities, metadata, index, times={"received": CLOCK.now()})
