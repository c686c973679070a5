"""What rtbids send status and show say, and what they keep to themselves where others may read."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest
from conftest import RTBIDS
from rich.console import Console

from rtbids.cli import outbox_tables
from rtbids.cli.held import Noted, noted
from rtbids.cli.outbox_tables import moment, span
from rtbids.clock import ManualClock
from rtbids.send.found import Found
from rtbids.send.outbox import Outbox
from rtbids.watch.finished import Held

NAME = "Quagliarella_Zsofia"
NOW = 1_800_000_000.0


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """An outbox with three batches, the folder of one of which names somebody."""
    folder = tmp_path / "outbox"
    with Outbox.open(folder, clock=ManualClock(NOW)) as opened:
        for name in ("7", NAME, "a name that is by far too long for a screen of eighty columns " * 3):
            raw = tmp_path / name / "1.dcm"
            raw.parent.mkdir()
            raw.write_bytes(name.encode())
            opened.add(Found(raw.parent.name, raw.parent, (raw,)))
    return folder


def screen(folder: Path, width: int, page: int = 1, lines: int = 20) -> list[str]:
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115 (rich's own closes it)
    with Outbox.open(folder, create=False, clock=ManualClock(NOW + 7300)) as opened:
        console.print(outbox_tables.status(opened, page, lines, width))
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_screen_fits_the_terminal_and_has_a_line_a_batch(outbox: Path, width: int) -> None:
    lines = screen(outbox, width)
    assert max(map(len, lines)) <= width
    assert sum("NEW" in line for line in lines) == 4  # the counts, and three batches
    assert any(NAME[:8] in line for line in lines)
    assert any("the oldest of those under way came 2 h ago" in line for line in lines)


def test_older_batches_are_on_further_pages(outbox: Path) -> None:
    assert "batches 1 to 2 of 3, newest first; older ones: --page 2" in screen(outbox, 80, 1, 2)
    assert [line.split()[0] for line in screen(outbox, 80, 2, 2) if line.rstrip().endswith(" 7")] == ["1"]


def test_a_folder_that_does_not_finish_is_on_the_screen_with_its_name_and_in_a_pipe_without(outbox: Path) -> None:
    noting = Noted(outbox)
    noting.tell([Held(NAME + ".tmp", "its name says that it is being written", NOW)])
    assert f"not finished for 2 h: {NAME}.tmp: its name says that it is being" in "\n".join(screen(outbox, 100))
    with Outbox.open(outbox, create=False) as opened:
        told = "\n".join(outbox_tables.plain(opened, 1, 20)) + str(outbox_tables.as_json(opened, 1, 20))
    assert "its name says that it is being written" in told
    assert NAME not in told
    noting.close()
    assert list(noted(outbox)) == []


def test_what_a_process_that_is_gone_has_noted_is_removed(outbox: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    path = outbox / f"unfinished-{os.uname().nodename}-{gone.pid}.json"
    path.write_text('[{"label": "X", "reason": "it still changes", "since": 0.0}]')
    assert list(noted(outbox)) == []
    assert not path.exists()


def test_what_is_noted_is_its_owners_only(outbox: Path) -> None:
    Noted(outbox).tell([Held(NAME, "it still changes", NOW)])
    (path,) = outbox.glob("unfinished-*.json")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_terminal_gets_a_table_and_a_pipe_gets_lines(outbox: Path) -> None:
    command = [*RTBIDS, "send", "status", "--outbox", str(outbox)]
    ours, theirs = pty.openpty()
    subprocess.run(command, stdout=theirs, stderr=theirs, check=True, env={**os.environ, "COLUMNS": "80", "TERM": "xterm"})
    os.close(theirs)
    assert NAME[:8] in os.read(ours, 1 << 16).decode()
    os.close(ours)
    piped = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    assert piped[0] == "senders\t0"
    assert [line.split("\t")[1] for line in piped if line.startswith("batch")] == ["3", "2", "1"]
    assert NAME not in "\n".join(piped)


def test_times_are_said_shortly() -> None:
    assert [span(seconds) for seconds in (-1, 0.3, 59, 61, 7300, 200000)] == ["0 s", "0 s", "59 s", "1 min", "2 h", "2 d"]
    assert len(moment(NOW, NOW)) == len("12:00:00")
    assert moment(NOW, NOW + 3 * 86400)[:3] == "202"
