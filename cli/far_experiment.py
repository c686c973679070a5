"""The far side of ``rtbids run --on``: it has the scripts."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from rtbids.pipeline import be_quick
from rtbids.priority import first_in_line
from rtbids.run.far.output_there import Output
from rtbids.run.far.scripts import Scripts
from rtbids.run.far.store import Store, cache
from rtbids.run.process.launcher import Launcher
from rtbids.stream.far import keeper, takeover
from rtbids.stream.link import Link

_PREFIX = "rtbids-on-"
_LOCK = "lock"


def experiment(link: Link, arguments: Mapping[str, Any]) -> None:
    """Run experiments' scripts for a run on another machine, until that ends; scripts of one that was killed there end now."""
    home = str(Path.home())
    with suppress(OSError):  # where scripts write that name no folder
        os.chdir(home)
    keeper.tell(place=home)
    takeover.retire("experiment", home, arguments)
    be_quick()
    with own_folder() as folder, closing(Output()) as output, closing(Launcher(output.end)) as launcher, first_in_line():
        Scripts(link, launcher, output, Store(cache()), folder).serve()


@contextmanager
def own_folder() -> Iterator[Path]:
    """Give a folder that is removed afterwards; those go now that were left by processes that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        _remove_left(path)
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name, (Path(name) / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = Path(name) / "volumes"
        folder.mkdir()
        yield folder


def _remove_left(lock: Path) -> None:
    with suppress(OSError), lock.open("r+") as file:  # in use, another user's, or gone meanwhile
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(lock.parent, ignore_errors=True)
