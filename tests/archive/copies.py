"""Copying a data set within one process, and the process that kills itself at steps of that.

``python copies.py FOLDER`` says in a line for every other step what a kill there had left, and what the next copy made of it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from itertools import count as numbers
from pathlib import Path
from typing import Any

from rtbids.archive.mirror import Copy
from rtbids.archive.origin import File, Origin

FILES = ("dataset_description.json", "participants.tsv", "sub-01/func/sub-01_task-nf_bold.json")


def study(root: Path, names: Iterable[str]) -> Path:
    """Make a folder of files that say their names, as an opened data set is."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / ".rtbids" / "growing").mkdir(parents=True)
    return root


def manifest(origin: Origin) -> dict[str, Any]:
    files = origin.files()
    return {
        "files": {name: (file.sha256, file.size, file.mode) for name, file in files.items()},
        "folders": origin.folders(list(files)),
    }


def half_copied(
    here: Path, there: Path, content: Callable[[Path], bytes] = Path.read_bytes, count: int | None = None
) -> tuple[Copy, dict[str, File]]:
    """Send what is lacking there, or the first `count` files and a part of the next."""
    origin = Origin(here)
    files, copy = origin.files(), Copy(there, origin.name, 0o755)
    lacking = copy.lacking(manifest(origin))
    for name in lacking[:count]:
        copy.take(name, memoryview(content(files[name].path)))
    for name in lacking[count:][:1] if count is not None else ():
        copy.take(name, memoryview(b"s"))
    return copy, files


def copied(here: Path, there: Path) -> tuple[set[str], set[str], set[str]]:
    """Copy what has changed; return the names that crossed, those that are there then and those that were refused."""
    origin = Origin(here)
    files, copy = origin.files(), Copy(there, origin.name, here.stat().st_mode & 0o777)
    lacking = copy.lacking(manifest(origin))
    for name in lacking:
        copy.take(name, memoryview(files[name].path.read_bytes()))
    present, refused = copy.place()
    return set(lacking), set(present), set(refused)


def killed(folder: Path, step: int) -> dict[str, Any] | None:
    """Copy what has changed, killed at `step`; return what became of it, None where there was no such step."""
    import growth

    here, there = folder / "here", folder / f"there-{step}"
    shutil.copytree(folder / "there", there, copy_function=os.link)
    if not (child := os.fork()):
        growth.die_at(step, str(there))
        copied(here, there)
        os._exit(0)
    if not os.waitpid(child, 0)[1]:
        return None
    found = {name: (there / name).read_text() for name in FILES}
    _, present, refused = copied(here, there)
    return {
        "step": step,
        "changed": [name for name, text in found.items() if text == f"{name}, changed"],
        "odd": [name for name, text in found.items() if text not in (name, f"{name}, changed")],
        "then": [sorted(present), sorted(refused)],
    }


def main(folder: Path) -> None:
    here = study(folder / "here", FILES)
    copied(here, folder / "there")
    for name in FILES:
        (here / name).write_text(f"{name}, changed")
    for step in numbers(2, 2):
        if (outcome := killed(folder, step)) is None:
            return
        sys.stdout.write(f"{json.dumps(outcome)}\n")
        sys.stdout.flush()  # or a child would say it too


if __name__ == "__main__":
    main(Path(sys.argv[1]))
