"""The tree of errors and its exit codes."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from rtbids import errors

# BIDS execution specification (draft), as DESIGN lists them for every command.
DOCUMENTED = {
    errors.UsageFault: 64,
    errors.BadData: 65,
    errors.InputMissing: 66,
    errors.NotBids: 16,
    errors.NothingMatched: 18,
    errors.ExperimentFault: 70,
    errors.CannotWrite: 73,
    errors.StreamBroken: 74,
    errors.ConnectionLost: 75,
}


def test_every_error_has_its_documented_exit_code() -> None:
    classes = {cls: cls.exit_code for cls in errors.RtbidsError.__subclasses__() if cls.__module__ == errors.__name__}
    stopped = classes.pop(errors.Stopped)
    assert classes == DOCUMENTED
    assert isinstance(stopped, property)


def test_exit_codes_differ() -> None:
    assert len(set(DOCUMENTED.values())) == len(DOCUMENTED)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_by_signal_has_the_shells_exit_code(number: int, code: int) -> None:
    stopped = errors.Stopped(number)
    assert (stopped.exit_code, str(stopped)) == (code, f"stopped by {signal.Signals(number).name}")


def test_a_hint_stands_beside_the_message() -> None:
    error = errors.BadData("expected 3, found 4", "try again")
    assert (str(error), error.hint) == ("expected 3, found 4", "try again")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_called_full(number: int) -> None:
    error = errors.cannot_write("study/x.nii", OSError(number, os.strerror(number)))
    assert (str(error), error.exit_code) == ("no space left for study/x.nii", 73)
    assert error.hint


def test_any_other_failure_to_write_says_the_systems_reason(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere") as caught:
        (tmp_path / "nowhere" / "a.nii").write_bytes(b"")
    assert str(errors.cannot_write("a.nii", caught.value)) == "cannot write a.nii: No such file or directory"
