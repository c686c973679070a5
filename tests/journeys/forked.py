"""The command line in processes that start at once: forked from one that has imported what ``rtbids send`` needs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

LONG = 100.0  # seconds: the bound of a wait for something that takes a few
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "__main__",
        "forked",
        "pydicom",
        "pynetdicom",
        "rtbids.cli.outbox_tables",
        "rtbids.cli.outboxes",
        "rtbids.cli.sending",
        "rtbids.deidentify.by_recipe",
        "rtbids.send.storage",
        "rtbids.watch.folders",
        "rtbids.watch.series_scp",
    ]
)


class Forked:
    """A process of ``rtbids``; what it prints is in files."""

    def __init__(self, arguments: list[str], folder: Path, cwd: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._out, self._err = folder / "out", folder / "err"
        values = (arguments, str(self._out), str(self._err), dict(os.environ), str(cwd or folder))
        self._process = _CONTEXT.Process(target=_run, args=values)
        self._process.start()

    @property
    def said(self) -> str:
        """What it has written for people."""
        return self._err.read_text() if self._err.exists() else ""

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def signal(self, number: signal.Signals) -> int | None:
        """Send a signal; return the exit code."""
        if self._process.is_alive():
            os.kill(self._process.pid or 0, number)
        self._process.join(LONG)
        return self._process.exitcode

    def ended(self) -> tuple[int, bytes, str]:
        """Wait for the end; return the exit code and what was printed."""
        self._process.join(LONG)
        assert self._process.exitcode is not None, self.said
        return self._process.exitcode, self._out.read_bytes(), self.said


def _run(arguments: list[str], out: str, err: str, environment: Mapping[str, str], cwd: str) -> None:
    from rtbids.cli import main

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for number, path in ((0, os.devnull), (1, out), (2, err)):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
        os.close(file)
    code = main.run(main.cli, arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # as at the end of a program, without what pytest's processes do at theirs
