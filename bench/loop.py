"""The whole loop: from the moment a DICOM file is whole in the folder to the volume in the experimenter's script."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from figures import Figure, milliseconds

from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom

VOLUMES = 150
INTERVAL = 0.1  # seconds
SCRIPT = """
import time
def feedback(volume, run):
    return {"there": time.monotonic()}
"""


def measure(place: Path) -> list[Figure]:
    script = place / "experiment.py"
    script.write_text(SCRIPT)
    mosaics = list(scanner.dicoms(Phantom(volumes=VOLUMES)))
    arrivals: tuple[scanner.Arrival, ...] = ("rename", "in place")
    figures = []
    for how in arrivals:
        times = latencies(place / how.replace(" ", "-"), script, mosaics, how)
        figures += milliseconds(f"loop: 64×64×27 mosaic there ({how}) to script", times, median=5.0, p99=15.0)
    return figures


def latencies(folder: Path, script: Path, mosaics: list[bytes], how: scanner.Arrival) -> list[float]:
    """Drop `mosaics` into a watched folder and return the seconds from each one's last byte to the script."""
    folder.mkdir()
    feedback = folder.with_suffix(".jsonl")
    command = [sys.executable, "-m", "rtbids", "run", str(script), str(folder), "--volumes", str(VOLUMES)]
    command += ["--bids-dir", str(folder.with_suffix(".study")), "--feedback", str(feedback)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        run.stderr.readline()  # "watching ...": the folder is now looked at
        whole = [drop(content, folder, number, how) for number, content in enumerate(mosaics)]
        run.stderr.read()
    lines = [json.loads(line) for line in feedback.read_text().splitlines()]
    return [line["value"]["there"] - whole[line["volume"]] for line in lines if line["status"] == "ok"]


def drop(content: bytes, folder: Path, number: int, how: scanner.Arrival) -> float:
    """Let one file appear and return when it was whole."""
    time.sleep(INTERVAL)
    scanner.scan([content], folder, interval=0, how=how, number=number)
    return time.monotonic()
