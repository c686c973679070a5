"""What goes wrong in a thread is heard of, and never ends in exit code 0."""

from __future__ import annotations

import threading

import click
import pytest

from rtbids.archive.syncer import Syncer
from rtbids.cli.main import run
from rtbids.clock import ManualClock
from rtbids.errors import BadData, RtbidsError
from rtbids.threads import Answerable


def _odd() -> None:
    raise ValueError("Nemo^Nobody")


def _bad() -> None:
    raise BadData("expected 3, found 4")


def test_what_broke_a_thread_off_is_raised_where_it_is_joined_and_quotes_nothing() -> None:
    thread = Answerable(_odd, "placer", "the next rtbids goes on")
    thread.start()
    with pytest.raises(
        RtbidsError, match=r"^the placer broke off: an internal fault of rtbids: ValueError in test_answerable_threads.py, "
    ) as found:
        thread.join()
    assert (found.value.exit_code, found.value.hint) == (1, "please report it; the next rtbids goes on")
    thread.join()  # it was said


def test_an_error_of_ours_comes_through_as_it_is() -> None:
    thread = Answerable(_bad, "placer", "")
    thread.start()
    with pytest.raises(BadData, match=r"^expected 3, found 4$"):
        thread.join()


def test_a_thread_that_ends_well_raises_nothing() -> None:
    thread = Answerable(lambda: None, "placer", "")
    thread.start()
    thread.join()
    assert thread.daemon


def test_whatever_the_syncer_met_is_raised_by_the_next_who_appends() -> None:
    syncer = Syncer(_odd, "x.nii", ManualClock())
    syncer.appended()
    syncer.close()
    with pytest.raises(ValueError, match="Nemo"):
        syncer.appended()


@pytest.mark.parametrize(("own", "code"), [(0, 1), (75, 75)])
def test_a_command_one_of_whose_threads_broke_off_does_not_end_well(own: int, code: int, capsys) -> None:
    @click.command()
    def command() -> int:
        thread = threading.Thread(target=_odd, name="console")
        thread.start()
        thread.join()
        return own

    assert run(command, []) == code
    said = capsys.readouterr().err
    assert said.startswith(
        "warning: console broke off: an internal fault of rtbids: ValueError in test_answerable_threads.py, "
    )
    assert ("rtbids: not all was done: console broke off" in said) == (own == 0)
    assert "Nemo" not in said
    assert "Traceback" not in said
