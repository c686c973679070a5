"""The tree of errors that a user may see, each with its exit code.

::

    RtbidsError                 1
    ├── UsageFault             64   a wrong option, a malformed or unknown setting
    ├── BadData                65   DICOM, NIfTI or tables that cannot be used
    ├── InputMissing           66   no such file, folder, experiment or sample
    ├── NotBids                16   the input is not a valid BIDS data set
    ├── NothingMatched         18   filters that match no run
    ├── ExperimentFault        70   the experimenter's script cannot be loaded or started
    ├── CannotWrite            73   an output that cannot be created, or is taken
    ├── StreamBroken           74   a stream that ended without its end marker
    ├── ConnectionLost         75   a link that was refused or lost; trying again may help
    └── Stopped           128 + n   ended by signal n after closing cleanly

The codes are those of the BIDS execution specification (draft). Only ``rtbids.cli.main`` turns an error into a
message and an exit code.
"""

from __future__ import annotations

import errno
import os
import signal as signals
import traceback
from pathlib import Path


class RtbidsError(Exception):
    """What was expected, what was found and where, in one line; ``hint`` says what to do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageFault(RtbidsError):
    exit_code = 64


class BadData(RtbidsError):
    exit_code = 65


class LeftOut(BadData):
    """What a setting says is to be left out: no error where many are gone through."""


class NeedsPerson(UsageFault):
    """What only a person can put right, and what goes on by itself as soon as that is done."""


class InputMissing(RtbidsError):
    exit_code = 66


class NotBids(RtbidsError):
    exit_code = 16


class NothingMatched(RtbidsError):
    exit_code = 18


class ExperimentFault(RtbidsError):
    exit_code = 70


class CannotWrite(RtbidsError):
    exit_code = 73


class StreamBroken(RtbidsError):
    exit_code = 74


class ConnectionLost(RtbidsError):
    exit_code = 75


class Stopped(RtbidsError):
    """A signal asked for the end, and everything was closed cleanly."""

    def __init__(self, signal: int, hint: str | None = None) -> None:
        super().__init__(f"stopped by {signals.Signals(signal).name}", hint)
        self.signal = signal

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        return 128 + self.signal


def cannot_write(path: str | os.PathLike[str], cause: OSError) -> CannotWrite:
    """Say in one line why `path` could not be written."""
    if cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return CannotWrite(f"no space left for {path}", "free some space and start again; what was written is kept")
    return CannotWrite(f"cannot write {path}: {cause.strerror or cause}")


def internal_fault(error: BaseException) -> str:
    """Tell a fault of rtbids itself by its kind and place: its own words could quote what stands in a header."""
    trace = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(trace[-1].filename).name}, line {trace[-1].lineno}" if trace else ""
    return f"an internal fault of rtbids: {type(error).__name__}{place}"
