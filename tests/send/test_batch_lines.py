"""What rtbids send show says of images that a destination did not take: each reason once, in 80 columns."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from send.outbox_parts import FarSide, blank, folder_of

from rtbids.cli.batch_lines import batch
from rtbids.clock import ManualClock
from rtbids.send import lines, owners
from rtbids.send.claims import claim_deliveries
from rtbids.send.destinations import Failure
from rtbids.send.outbox import Outbox
from rtbids.send.pool import run
from rtbids.send.settings import Settings
from rtbids.send.steps import answered

BUSY = Failure(
    "it does not take it now (status 503), for it is busy with other things that have to be done first", permanent=False
)
FULL = Failure("it is full", permanent=False)
NO = Failure("it does not take this class of image", permanent=True)
SETTINGS = Settings(watermark=0, attempts=1000)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    """One image, ready for a destination."""
    with Outbox.open(tmp_path / "outbox") as ready:
        run(ready, iter([folder_of(tmp_path / "in" / "7", [1])]), [], blank, SETTINGS, threading.Event())
        lines.serve(ready, [FarSide(tmp_path / "far")], alone=True)
        ready.clock = ManualClock(ready.clock.now())
        with ready.database.reading() as transaction:
            [[rules]] = transaction.rows("SELECT rules FROM image")
        ready.owner = owners.enter(ready.database, ready.clock.now(), rules)
        yield ready


def refuse(outbox: Outbox, failure: Failure, times: int) -> None:
    """Let the destination say no so many times, an hour apart."""
    for _ in range(times):
        outbox.clock.advance(3600.0)
        [waiting] = claim_deliveries(outbox, 1, 1)
        answered(outbox, 1, [(waiting, failure)], SETTINGS)


def said(outbox: Outbox, width: int = 80) -> str:
    shown = outbox.show(1)
    return "\n".join(batch(shown, shown.images, width))


def test_many_tries_are_one_line_a_reason(outbox: Outbox) -> None:
    refuse(outbox, BUSY, 200)
    refuse(outbox, FULL, 1)
    told = said(outbox)
    assert max(len(line) for line in told.splitlines() if not line.lstrip().startswith("/")) <= 80  # a path stays whole
    assert len(told.splitlines()) < 16
    flat = " ".join(told.split())
    assert flat.count(BUSY.reason) == flat.count(FULL.reason) == 1
    assert f"{BUSY.reason}: 200 times, last at 20" in flat  # on another day, and so with the date
    assert f"{FULL.reason}: at 20" in flat
    assert "DONEPROCESSING, next try at " in flat
    assert "DONEPROCESSING there" not in flat


def test_the_reason_of_an_error_is_told_once(outbox: Outbox) -> None:
    refuse(outbox, NO, 1)
    told = said(outbox)
    assert told.count(NO.reason) == 1
    assert "file:///far: ERROR\n" in told


def test_a_reason_that_no_destination_gave_is_told(outbox: Outbox, tmp_path: Path) -> None:
    bad = folder_of(tmp_path / "in" / "8", [2])
    bad.files[0].write_bytes(b"no image")
    outbox.owner = None
    run(outbox, iter([bad]), [], blank, SETTINGS, threading.Event())
    shown = outbox.show(2)
    assert "  reason     not a DICOM file\n" in "\n".join(batch(shown, shown.images))
