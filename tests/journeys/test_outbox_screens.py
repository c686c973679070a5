"""What rtbids send status and show say, and what they keep to themselves where others may read."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from conftest import RTBIDS
from rich.console import Console

from rtbids.cli import outbox_tables, outboxes
from rtbids.cli.held import Noted, noted
from rtbids.cli.outbox_tables import moment, span
from rtbids.clock import ManualClock
from rtbids.send.found import Found
from rtbids.send.outbox import Outbox
from rtbids.send.states import State
from rtbids.send.status import Status
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


@pytest.mark.parametrize("width", [60, 80, 160])
@pytest.mark.parametrize("count", [0, 210, 123456])
def test_the_states_are_in_rows_in_which_none_stands_alone(width: int, count: int) -> None:
    found = SimpleNamespace(images=dict.fromkeys(State, count), oldest=None)
    rows = [text.plain for text in outbox_tables._images(cast(Status, found), width)]
    assert max(map(len, rows)) <= width
    assert [word for row in rows for word in row.split()] == ["images", *(w for state in State for w in (state, str(count)))]
    assert min(sum(word in set(State) for word in row.split()) for row in rows) >= 2


def test_the_status_says_why_images_are_in_error_or_wait_and_how_to_see_which(outbox: Path) -> None:
    with Outbox.open(outbox, create=False) as opened, opened.database.writing() as transaction:
        transaction.count("UPDATE image SET state = 'ERROR', reason = 'not a DICOM file' WHERE id < 3")
        transaction.count("UPDATE image SET state = 'PROCESSING', reason = 'the source is away' WHERE id = 3")
    asked = subprocess.run([*RTBIDS, "send", "status", "--outbox", str(outbox)], check=True, capture_output=True, text=True)
    assert "reason\tERROR\t2\tnot a DICOM file\nreason\tPROCESSING\t1\tthe source is away\n" in asked.stdout
    lines = screen(outbox, 80)
    assert "ERROR 2: not a DICOM file" in lines
    assert "PROCESSING 1: the source is away" in lines
    with Outbox.open(outbox, create=False) as opened:
        opened.named = outboxes.named(Path("ob 1"), None)
        console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115 (rich's own closes it)
        console.print(outbox_tables.status(opened, 1, 20, 80))
        assert "which images: rtbids send show BATCH --errors --outbox 'ob 1'" in console.export_text()
        assert outbox_tables.as_json(opened, 1, 20)["reasons"][0] == {
            "state": "ERROR",
            "reason": "not a DICOM file",
            "images": 2,
        }


def test_names_of_folders_and_files_of_a_batch_are_shown_in_a_terminal_only(outbox: Path) -> None:
    command = [*RTBIDS, "send", "show", "2", "--outbox", str(outbox)]
    piped = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert NAME not in piped
    assert ".dcm" not in piped
    assert "names are shown in a terminal only" in piped
    ours, theirs = pty.openpty()
    subprocess.run(command, stdout=theirs, stderr=theirs, check=True, env={**os.environ, "COLUMNS": "80", "TERM": "xterm"})
    os.close(theirs)
    told = os.read(ours, 1 << 16).decode()
    assert f"/{NAME}\r\n" in told
    assert "file       1.dcm" in told
    os.close(ours)


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
