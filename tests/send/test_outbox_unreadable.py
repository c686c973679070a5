"""A raw file that cannot be read is the fault of its place: its image is in ERROR, and the others go."""

from __future__ import annotations

import encodings.ascii  # noqa: F401
import errno
import os
import shutil
import tempfile
import threading
from pathlib import Path

import pytest
from send.outbox_parts import FarSide, blank, folder_of, image

from rtbids.errors import CannotWrite
from rtbids.send import setting_aside
from rtbids.send.database import NoSpace
from rtbids.send.folder import full
from rtbids.send.found import Found
from rtbids.send.outbox import Outbox
from rtbids.send.pool import run
from rtbids.send.settings import Settings
from rtbids.send.states import State

NOBODY = 65534


@pytest.fixture
def place():
    """A folder in which this process is a user who may not read everything."""
    with tempfile.TemporaryDirectory() as folder:
        was = os.geteuid()
        if was == 0:
            go(Path(folder), folder_of(Path(folder) / "warm", [9]))  # all is imported that this user may not read either
            shutil.rmtree(Path(folder) / "outbox")
            shutil.rmtree(Path(folder) / "far")
            os.chown(folder, NOBODY, -1)
            os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            os.seteuid(was)


def go(place, *found, **settings):
    given = Settings(**{"watermark": 0, "attempts": 1, "age": 0.0} | settings)
    with Outbox.open(place / "outbox") as outbox:
        outcome = run(outbox, iter(found), [FarSide(place / "far")], blank, given, threading.Event())
        return outcome, outbox.show(1)


@pytest.mark.parametrize("raw", ["keep", "delete"])
@pytest.mark.parametrize("broken", [False, True], ids=["to be sent", "known to be broken"])
def test_a_file_that_may_not_be_read_holds_back_no_other(place, raw, broken):
    found = folder_of(place / "in", [1, 2, 3])
    bad = found.files[0]
    bad.chmod(0)
    if broken:
        found = Found(found.label, found.root, found.files[1:], broken=((bad, "it is cut off"),))
    outcome, shown = go(place, found, raw=raw)
    assert (outcome.sent, outcome.errors) == (2, 1)
    [failed] = [each for each in shown.images if each.state is State.ERROR]
    assert failed.reason == ("it is cut off" if broken else "the file cannot be read: Permission denied")
    assert go(place, raw=raw)[0].errors == 0  # and the next start is not ended by it
    with Outbox.open(place / "outbox") as outbox:
        [file] = [file for file in (bad, *outbox.folder.quarantine.rglob("*.dcm")) if file.exists()]
        file.chmod(0o600)
        assert file.read_bytes() == image(1)


def test_a_file_that_its_disk_does_not_give_holds_back_no_other(tmp_path):
    found = folder_of(tmp_path / "in", [2, 3])
    odd = Path("/proc/self/mem")  # of its first byte the system says: input/output error
    outcome, shown = go(tmp_path, Found("in", found.root, (odd, *found.files)))
    assert (outcome.sent, outcome.errors) == (2, 1)
    assert shown.images[0].reason == "the file cannot be read: Input/output error"
    assert not list((tmp_path / "outbox" / "quarantine").iterdir())


def test_a_broken_file_that_may_not_be_taken_away_is_copied(place):
    found = folder_of(place / "in", [1])
    found.files[0].write_bytes(b"no image")
    found.root.chmod(0o500)
    try:
        outcome, shown = go(place, found, raw="delete")
    finally:
        found.root.chmod(0o700)
    assert outcome.errors == 1
    assert (place / "outbox" / str(shown.images[0].quarantine)).read_bytes() == b"no image"
    assert found.files[0].read_bytes() == b"no image"


def test_what_was_carried_in_part_goes_where_there_is_no_room(tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "there"
    source.write_bytes(b"an image")

    def no_room(one, other):
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "replace", no_room)
    with pytest.raises(OSError, match="no room"):
        setting_aside.carry(source, target, move=False)
    assert [file.name for file in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, NoSpace), (errno.EDQUOT, NoSpace), (errno.EROFS, CannotWrite)])
def test_a_quarantine_that_takes_nothing_is_told(code, kind):
    assert type(full(Path("quarantine"), OSError(code, "no"))) is kind
