"""How long a volume takes to a script in its own process, and its answer back, where the script does nothing."""

from __future__ import annotations

import select
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rtbids.errors import ExperimentFault
from rtbids.run.doctor.probe_folder import probe_folder
from rtbids.run.doctor.row import Cost, Row, look, ok
from rtbids.run.doctor.spread import Spread, span, spread
from rtbids.run.process.experiment_process import ExperimentProcess
from rtbids.run.process.host import Answer, Faulted, Gone, Loaded, Reply
from rtbids.run.process.shared import Shared
from rtbids.run.recipe import recipe
from rtbids.volume import Volume

SCRIPT = "def feedback(volume, run):\n    return 0.0\n"
LOADING, PATIENCE = 8.0, 2.0  # seconds
WARM = 2  # volumes before those that count
SLOW = 0.1  # seconds


@dataclass(frozen=True)
class Channel:
    """Seconds: `started` until the script was there, `took` from volume to answer."""

    started: float
    took: Spread


def measure(volumes: Sequence[Volume]) -> Channel:
    """Start a script and ask it; raise ExperimentFault where it does not answer, OSError where there is no place for it."""
    with probe_folder(Path(tempfile.gettempdir())) as inner:
        folder = inner / "probe"
        folder.mkdir()
        (folder / recipe.SCRIPT).write_text(SCRIPT, encoding="utf-8")
        begun = time.perf_counter()
        process = ExperimentProcess(recipe.read(str(folder)), lambda entities, index: False, lambda entities, index: None)
        try:
            _await(process, Loaded, LOADING)
            started = time.perf_counter() - begun
            return Channel(started, spread([_asked(process, volume) for volume in volumes][WARM:]))
        finally:
            process.close()


def _asked(process: ExperimentProcess, volume: Volume) -> float:
    begun = time.perf_counter()
    process.offer(Shared(volume))
    _await(process, Answer, PATIENCE)
    return time.perf_counter() - begun


def _await(process: ExperimentProcess, wanted: type[Reply], seconds: float) -> None:
    """Wait for a reply."""
    until = time.perf_counter() + seconds
    while (left := until - time.perf_counter()) > 0:
        select.select([process], [process] if process.is_behind else [], [], left)
        process.flush()
        for reply in process.replies():
            if isinstance(reply, Gone):
                raise ExperimentFault(f"a script's process has ended: {reply.why}")
            if isinstance(reply, Faulted):
                raise reply.error
            if isinstance(reply, wanted):
                return
    raise ExperimentFault(f"a script's process did not answer within {seconds:g} s")


def judge(channel: Channel) -> tuple[Row, ...]:
    text = (
        f"asked and answered in {span(channel.took.median)} (p99 {span(channel.took.p99)}) by a process of its own, "
        f"started in {span(channel.started)}"
    )
    if channel.took.median > SLOW:
        return (look("script", text, "slow: is the machine busy?", "end what is not needed"),)
    return (ok("script", text),)


def costs(channel: Channel) -> tuple[Cost, ...]:
    return (Cost("script", channel.took.median, channel.took.p99),)
