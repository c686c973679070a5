"""Who stops reading what an outbox says gets no traceback, and no complaint of the outbox."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conftest import RTBIDS

from rtbids.send.found import Found
from rtbids.send.outbox import Outbox


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    (tmp_path / "7").mkdir()
    files = [tmp_path / "7" / f"{number}.dcm" for number in range(2000)]
    for file in files:
        file.write_bytes(b"an image")
    with Outbox.open(tmp_path / "outbox") as opened:
        opened.add(Found("7", tmp_path / "7", tuple(files)))
    return tmp_path / "outbox"


@pytest.mark.parametrize("lines", [0, 1])
@pytest.mark.parametrize("words", ["status", "status --json", "status --follow", "show 1", "show 1 --json", "times"])
def test_a_reader_that_has_gone_ends_the_command_as_it_does_any_other(outbox: Path, words: str, lines: int) -> None:
    command = [*RTBIDS, "send", *words.split(), "--outbox", str(outbox)]
    asked = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    for _ in range(lines if "--json" not in words else 0):
        assert asked.stdout.readline()
    asked.stdout.close()
    said = asked.stderr.read().decode()
    asked.stderr.close()
    assert (asked.wait(60), said) in ((74, "rtbids: the reader of standard output has gone\n"), (0, ""))
