"""De-identification in processes of their own."""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import suppress

import pytest
from executioner import in_a_child
from send.outbox_parts import FarSide, blank, folder_of, image

from rtbids.errors import BadData, ConnectionLost, InputMissing
from rtbids.send.apart import Apart, Fault
from rtbids.send.outbox import Outbox
from rtbids.send.pool import run
from rtbids.send.settings import Settings

APART = Settings(watermark=0, processes=True)


def falling(content: bytes):
    """A de-identification that an odd file brings down."""
    if content == image(3):
        os.kill(os.getpid(), signal.SIGSEGV)
    return blank(content)


def raising(content: bytes):
    raise {b"a": BadData("no image"), b"b": ConnectionLost("down"), b"c": InputMissing("no key", "make one")}.get(
        content, ValueError("Doe^Jane")
    )


@pytest.fixture
def apart():
    made = []

    def make(clean):
        made.append(Apart(clean))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_the_same_comes_out_as_in_this_process(apart):
    ours, theirs = blank(image(1)), apart(blank)(image(1))
    for name in ("content", "sop_class", "instance", "series", "study", "patient"):
        assert getattr(theirs, name) == getattr(ours, name)


@pytest.mark.parametrize(("content", "kind"), [(b"a", BadData), (b"b", ConnectionLost), (b"c", InputMissing)])
def test_errors_come_over_as_what_they_are(apart, content, kind):
    with pytest.raises(kind):
        apart(raising)(content)


def test_the_words_of_other_errors_stay_there(apart):
    with pytest.raises(Fault, match=r"^ValueError$"):
        apart(raising)(b"d")


@pytest.mark.timeout(60)
def test_a_file_that_brings_a_process_down_is_set_aside_and_the_rest_goes_on(tmp_path):
    far = FarSide(tmp_path / "far")
    with Outbox.open(tmp_path / "outbox") as outbox:
        found = folder_of(tmp_path / "in" / "series", range(8))
        outcome = run(outbox, iter([found]), [far], falling, APART, threading.Event())
        assert (outcome.sent, outcome.errors) == (7, 1)
        [bad] = [each for each in outbox.show(1).images if each.state == "ERROR"]
        assert bad.reason == "de-identification failed (its process ended): please report this"
        assert (outbox.folder.root / bad.quarantine).read_bytes() == image(3)


def test_where_it_cannot_be_handed_over_it_is_done_here(tmp_path, caplog):
    def local(content):
        return blank(content)

    far = FarSide(tmp_path / "far")
    with Outbox.open(tmp_path / "outbox") as outbox:
        found = folder_of(tmp_path / "in" / "series", range(2))
        assert run(outbox, iter([found]), [far], local, APART, threading.Event()).sent == 2
    assert "no processes of its own" in caplog.text


def test_the_other_process_ends_when_this_one_is_killed(tmp_path):
    def work():
        apart = Apart(blank)
        apart(image(1))
        (tmp_path / "number").write_text(str(apart._process.pid))
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(in_a_child(work), 0)
    number = int((tmp_path / "number").read_text())
    with suppress(ProcessLookupError):  # it is gone already
        ended, _, _ = select.select([os.pidfd_open(number)], [], [], 20)
        assert ended
