"""kill -9 at random moments of a run over the network: what its sender was told is stored is in the data set or the spool."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest
from journeys.test_dicom_network import SOURCE, listening
from journeys.validity import errors
from peers import LONG

from rtbids.dicomnet import Address, Sender
from rtbids.errors import ConnectionLost
from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom

PHANTOM = Phantom(shape=(32, 32, 9), voxel=(6.0, 6.0, 12.0), repetition_time=0.5, volumes=400, block=4)
MOMENTS = 4
SCRIPT = "def feedback(volume, run):\n    return float(volume.data.mean())\n"


def send_until_it_dies(files: list[bytes], address: Address) -> int:
    """Return how many files were acknowledged."""
    count = 0
    with contextlib.suppress(ConnectionLost), Sender(address) as sender:
        for content in files:
            sender.send(content)
            count += 1
    return count


def archived(study: Path) -> Counter[int]:
    """Return which volumes the runs of a data set hold, having compared each with what was measured."""
    found: Counter[int] = Counter()
    for file in study.glob("sub-*/func/*_bold.nii*"):
        voxels = np.asarray(nibabel.load(file).dataobj)
        fields = json.loads(Path(str(file).partition(".nii")[0] + ".json").read_text())
        missing = set(fields.get("MissingVolumes", ()))
        indices = [index for index in range(PHANTOM.volumes) if index not in missing][: voxels.shape[3]]
        for place, index in enumerate(indices):
            assert np.array_equal(voxels[..., place], PHANTOM.volume(index)), f"{file.name}, volume {index}"
        found.update(indices)
    return found


def kill(process: subprocess.Popen) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("form", ["mosaic", "slices"])
def test_an_image_that_was_acknowledged_outlives_a_run_killed_at_any_moment(script, start, call, tmp_path, monkeypatch, form):
    monkeypatch.setattr("rtbids.dicomnet.association.SILENCE", 3.0)  # of the sender here, whose answer may never come
    study, spool, experiment = tmp_path / "study", tmp_path / "spool", script(SCRIPT)
    files = list(scanner.dicoms(PHANTOM, form))
    images = len(files) // PHANTOM.volumes
    options = ("--spool", spool, "--task", "kill", "--bids-dir", study, "--feedback", tmp_path / "feedback.jsonl")
    chance, sent, unfinished = random.Random(7), 0, 0
    for _ in range(MOMENTS):
        run = start("run", experiment, SOURCE, *options)
        killer = threading.Timer(chance.uniform(0.1, 0.9), kill, (run,))
        address = listening(run)
        killer.start()
        sent += send_until_it_dies(files[sent:], address)
        killer.join()
        _, said = run.communicate(timeout=LONG)
        assert run.returncode == -signal.SIGKILL, said.decode()
        unfinished += any(spool.glob("*.dcm"))
    assert sent < len(files), "the sender was done before the last kill: this test would show too little"
    assert unfinished, "no kill came while an image was on its way: this test would show nothing"
    again = call("run", experiment, SOURCE, *options, "--no-wait")
    assert again.code == 0, again.err
    found = archived(study)
    acknowledged = set(range(sent // images))
    assert acknowledged - set(found) == set()
    assert found.total() - len(found) <= MOMENTS  # one volume a kill: in the data set, and its image not yet out of the spool
    assert not list(spool.glob("*.dcm"))
    assert errors(study) == []
