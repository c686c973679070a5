"""From finished folders to destinations: every image once, its states in order, and what failed set aside."""

from __future__ import annotations

import threading

import pydicom
import pytest
from send.outbox_parts import FarSide, blank, folder_of, image

from rtbids.errors import InputMissing
from rtbids.send.found import Found
from rtbids.send.pool import run
from rtbids.send.settings import Settings
from rtbids.send.states import State

ROOMY = Settings(watermark=0)


def go(outbox, batches, *destinations, clean=blank, settings=ROOMY):
    return run(outbox, iter(batches), destinations, clean, settings, threading.Event())


def test_a_folder_arrives_once_and_every_state_is_written_down(outbox, tmp_path):
    far = FarSide(tmp_path / "far")
    outcome = go(outbox, [folder_of(tmp_path / "in" / "series", range(40))], far)
    assert (outcome.sent, outcome.errors, outcome.waiting) == (40, 0, 0)
    assert len(far.arrivals) == len(set(far.arrivals)) == 40
    assert all(pydicom.dcmread(file).PatientName == "" for file in far.folder.glob("*.dcm"))
    shown = outbox.show(1)
    assert shown.batch.state == "DONE"
    assert (shown.transitions[0].after, shown.transitions[-1].after) == ("NEW", "DONE")
    for each in shown.images:
        states = [step.after for step in each.transitions if step.url is None]
        assert states == ["NEW", "PROCESSING", "DONEPROCESSING", "SENT", "DONE"]


def test_what_is_known_is_not_taken_in_again(outbox, tmp_path):
    far = FarSide(tmp_path / "far")
    found = folder_of(tmp_path / "in" / "series", range(3))
    go(outbox, [found, found], far)
    assert outbox.add(found) is None
    assert outbox.knows(found)
    more = folder_of(tmp_path / "in" / "series", range(2, 5))  # 2 is written anew: the same image in another file
    go(outbox, [more], far)
    assert len(far.arrivals) == 5
    assert outbox.show(2).images[0].same_as == 3


def test_broken_files_are_set_aside_with_the_reason_and_the_rest_goes_on(outbox, tmp_path):
    far = FarSide(tmp_path / "far")
    found = folder_of(tmp_path / "in" / "series", range(3))
    foreign, short = found.root / "notes.txt", found.root / "short.dcm"
    foreign.write_text("not an image")
    short.write_bytes(image(9)[:1000])
    found = Found(found.label, found.root, (*found.files, foreign), broken=((short, "incomplete for 60 s"),))
    outcome = go(outbox, [found], far, settings=Settings(watermark=0, raw="delete"))
    assert (outcome.sent, outcome.errors) == (3, 2)
    [batch] = outbox.status().page
    assert (batch.state, batch.errors) == (State.SENT, 2)
    aside = sorted((outbox.folder.quarantine / "1").iterdir())
    assert [file.read_bytes() for file in aside] == [
        b"not an image",
        b"not a DICOM file\n",
        image(9)[:1000],
        b"incomplete for 60 s\n",
    ]
    assert {file.stat().st_mode & 0o777 for file in aside} == {0o600}
    assert sorted(file.name for file in found.root.iterdir()) == [
        "0000.dcm",
        "0001.dcm",
        "0002.dcm",
    ]  # nothing of a batch in error


def test_no_batch_of_that_number(outbox):
    with pytest.raises(InputMissing, match="no batch 7"):
        outbox.show(7)
