"""An outbox that may be read and not written, or neither: what it says when it is asked, by who is not its owner."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from executioner import in_a_child
from send.outbox_parts import folder_of

from rtbids.cli import main, outbox_tables, outboxes  # noqa: F401 (a stranger may not read them when they are needed)
from rtbids.cli.send import command  # noqa: F401
from rtbids.send.outbox import Outbox

NOBODY = 65534


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may look into, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700)
    shutil.rmtree(folder)


def stranger(place: Path, *words: object) -> Answer:
    """Call ``rtbids send`` as somebody to whom modes apply: another user, where we may be one."""
    out, err = place / "out", place / "err"

    def call() -> None:
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        with open(1, "w") as sys.stdout, open(2, "w") as sys.stderr:
            code = main.run(main.cli, ["send", *map(str, words), "--outbox", str(place / "outbox")])
        os._exit(code)

    _, status = os.waitpid(in_a_child(call), 0)
    return Answer(os.waitstatus_to_exitcode(status), out.read_text(), err.read_text())


def make(place: Path, left: str) -> Path:
    """Make an outbox of three images, and leave it as its sender does that has ended, or was killed."""
    folder = place / "outbox"

    def work() -> None:
        opened = Outbox.open(folder)
        opened.add(folder_of(place / "in" / "7", range(3)))
        if left == "closed":
            opened.close()

    os.waitpid(in_a_child(work), 0)
    log = folder / "outbox.sqlite-wal"
    assert log.exists() == (left != "closed")
    if left == "killed, and its memory is gone":
        (folder / "outbox.sqlite-shm").unlink()
    return folder


def allow(folder: Path, mode: int) -> None:
    for path in folder.rglob("*"):
        path.chmod(mode if path.is_dir() else mode & 0o666)
    folder.chmod(mode)


@pytest.mark.parametrize("left", ["closed", "killed", "killed, and its memory is gone"])
def test_an_outbox_that_may_only_be_read_is_read_with_all_that_its_log_holds(place: Path, left: str) -> None:
    folder = make(place, left)
    allow(folder, 0o555)
    before = sorted((path.name, path.stat().st_size) for path in folder.iterdir())
    status = stranger(place, "status", "--json")
    assert (status.code, status.err) == (0, "")
    assert json.loads(status.out)["images"]["NEW"] == 3
    assert stranger(place, "show", 1).out.count("image ") == 3
    assert len(stranger(place, "times").out.splitlines()) == 1 + 3 + 1
    assert sorted((path.name, path.stat().st_size) for path in folder.iterdir()) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="who owns an outbox may change its modes; another user is needed, and so root")
@pytest.mark.parametrize("words", [("retry", "--all"), ("dismiss", 1), ("purge", "--older-than", "1d")], ids=str)
def test_what_changes_an_outbox_that_may_only_be_read_is_refused_in_a_line(place: Path, words: tuple[object, ...]) -> None:
    allow(make(place, "closed"), 0o555)
    done = stranger(place, *words)
    assert (done.code, done.out) == (73, "")
    assert done.err.startswith(f"rtbids: cannot write into the outbox {place / 'outbox'}: ")


@pytest.mark.parametrize("words", [("status",), ("show", 1), ("times",), ("retry", "--all")], ids=str)
@pytest.mark.parametrize("what", ["folder", "database"])
def test_an_outbox_that_may_not_be_read_says_whose_it_is(place: Path, words: tuple[object, ...], what: str) -> None:
    folder = make(place, "closed")
    allow(folder, 0o555)
    (folder if what == "folder" else folder / "outbox.sqlite").chmod(0)
    done = stranger(place, *words)
    assert (done.code, done.out) in ((66, ""), (73, ""))
    first, *rest = done.err.splitlines()
    assert "Permission denied" in first or "not permitted" in first
    assert [line.strip() for line in rest] == (
        ["it belongs to root: sudo -u root rtbids send ..."] if os.geteuid() == 0 else []
    )
