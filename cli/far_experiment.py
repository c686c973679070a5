"""The far side of ``rtbids run --on``: it has the scripts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from rtbids.pipeline import be_quick
from rtbids.priority import first_in_line
from rtbids.run.far.scripts import Scripts
from rtbids.run.far.store import Store, cache
from rtbids.run.process.launcher import Launcher
from rtbids.stream.link import Link


def experiment(link: Link, arguments: Mapping[str, Any]) -> None:
    """Run experiments' scripts for a run on another machine, until that ends."""
    with suppress(OSError):  # where scripts write that name no folder
        os.chdir(Path.home())
    be_quick()
    with tempfile.TemporaryDirectory(prefix="rtbids-on-") as folder, closing(Launcher()) as launcher, first_in_line():
        Scripts(link, launcher, Store(cache()), Path(folder)).serve()
