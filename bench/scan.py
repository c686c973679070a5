"""A scan into a folder that ``rtbids run`` watches, seen from both ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# The value is the moment at which the script has the volume.
SCRIPT = "import time\n\ndef feedback(volume, run):\n    return time.time()\n"


@dataclass(frozen=True)
class Watched:
    """A run in progress: its folder, its process, and its next line of feedback."""

    folder: Path
    process: subprocess.Popen[str]
    line: Callable[[], dict]


@contextmanager
def watched() -> Iterator[Watched]:
    """Start ``rtbids run`` with an archive on an empty folder; it is ended in order on leaving."""
    with tempfile.TemporaryDirectory() as place:
        export, script = Path(place) / "export", Path(place) / "experiment.py"
        export.mkdir()
        script.write_text(SCRIPT)
        command = ["run", script, export, "--bids-dir", Path(place) / "study", "--feedback", "-"]
        process = subprocess.Popen(
            [sys.executable, "-m", "rtbids", *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.readline()  # "watching …"
        stdout = process.stdout
        try:
            yield Watched(export, process, lambda: json.loads(stdout.readline()))
        finally:
            process.terminate()
            process.communicate()


def rename(content: bytes, path: Path) -> float:
    """Put a file in place by a rename; return the moment at which it is there."""
    hidden = path.with_name(f".{path.name}")
    hidden.write_bytes(content)
    os.rename(hidden, path)
    return time.time()


def in_place(content: bytes, path: Path) -> float:
    """Write a file under its final name; return the moment at which it is closed."""
    path.write_bytes(content)
    return time.time()
