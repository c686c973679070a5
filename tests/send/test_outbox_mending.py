"""What somebody does by hand about images in ERROR, also where somebody else does something at the same moment."""

from __future__ import annotations

import os
import threading
from contextlib import closing

import pytest
from send.outbox_parts import blank, folder_of, image

from rtbids.errors import LeftOut, NothingMatched
from rtbids.send import mending
from rtbids.send.destinations import Failure
from rtbids.send.found import Found
from rtbids.send.pool import run
from rtbids.send.settings import Settings
from rtbids.send.states import State
from rtbids.watch.incoming import Incoming


def go(outbox, batches, *destinations, clean=blank, **settings):
    return run(outbox, iter(batches), destinations, clean, Settings(**{"watermark": 0} | settings), threading.Event())


def a_fault(content):
    raise ValueError("of the engine")


def of_a_stream(outbox, *numbers):
    """Receive a series as over the network."""
    with closing(Incoming(outbox.folder.incoming)) as incoming:
        for number in numbers:
            incoming.keep(image(number))
        [series] = incoming.finished(everything=True)
    return Found(series.label, series.root, series.files, spooled=True)


def left_over(outbox):
    """Return what the next process finds of those before it."""
    with closing(Incoming(outbox.folder.incoming)) as incoming:
        return [Found(left.label, left.root, left.files, spooled=True) for left in incoming.leftovers()]


def refuse_the_first(item):
    return Failure("not this one", permanent=True) if item.instance == blank(image(1)).instance else None


@pytest.mark.parametrize("raw", ["keep", "delete"])
def test_a_retry_reads_the_image_that_failed_and_no_other_that_has_its_place(outbox, far, tmp_path, raw):
    first = folder_of(tmp_path / "in", [1])
    go(outbox, [first], far, clean=a_fault, raw=raw)
    first.files[0].write_bytes(image(2))
    os.utime(first.files[0], (1e9, 1e9))
    assert outbox.retry(1) == 1
    go(outbox, [first], far, raw=raw)
    assert sorted(far.arrivals) == sorted(blank(image(number)).instance for number in (1, 2))
    assert outbox.status().batches[State.DONE] == 2


def test_an_image_that_fails_again_stays_in_quarantine_with_its_reason(outbox, far, tmp_path):
    first = folder_of(tmp_path / "in", [1])
    go(outbox, [first], far, clean=a_fault, raw="delete")
    first.files[0].write_bytes(image(2))
    for _ in range(2):
        outbox.retry(1)
        go(outbox, [], far, clean=a_fault, raw="delete")
    kept = sorted(outbox.folder.quarantine.rglob("*-*"))
    assert [file.name for file in kept] == ["1-0001.dcm", "1-0001.dcm.reason.txt"]
    assert (kept[0].read_bytes(), first.files[0].read_bytes()) == (image(1), image(2))
    outbox.retry(1)
    assert go(outbox, [], far, raw="delete").sent == 1
    assert not kept[0].exists()


def test_what_came_over_the_network_and_failed_is_sent_when_retried_whatever_came_since(outbox, far):
    first = of_a_stream(outbox, 1)
    go(outbox, [first], far, clean=a_fault)
    second = of_a_stream(outbox, 2)
    assert second.root != first.root
    first.root.mkdir(parents=True, exist_ok=True)
    first.files[0].write_bytes(image(3))  # as if a path could be used twice
    outbox.add(second)
    outbox.retry(1)
    assert go(outbox, [], far).errors == 0
    assert sorted(far.arrivals) == sorted(blank(image(number)).instance for number in (1, 2))
    assert first.files[0].read_bytes() == image(3)


@pytest.mark.parametrize("spooled", [True, False], ids=["network", "folder"])
def test_what_was_dismissed_is_never_sent_also_when_its_batch_was_purged(outbox, far, tmp_path, spooled):
    far.refusing = refuse_the_first
    found = of_a_stream(outbox, 1, 2) if spooled else folder_of(tmp_path / "in", [1, 2])
    go(outbox, [found], far, raw="delete")
    assert outbox.dismiss(1) == 1
    go(outbox, [], far, raw="delete")
    assert [file.read_bytes() for file in outbox.folder.quarantine.rglob("*.dcm")] == ([image(1)] if spooled else [])
    assert outbox.purge(older_than=-1.0) == 1
    far.refusing = lambda item: None
    go(outbox, left_over(outbox) if spooled else [found], far)
    assert far.arrivals == [blank(image(2)).instance]
    assert not list(outbox.folder.incoming.rglob("*.dcm"))
    assert not list(outbox.folder.quarantine.rglob("*.dcm"))


def test_what_was_left_out_is_not_asked_for_again_when_its_batch_was_purged(outbox, far, tmp_path):
    asked = []

    def clean(content):
        asked.append(content)
        if content == image(1):
            raise LeftOut("the recipe leaves it out")
        return blank(content)

    found = folder_of(tmp_path / "in", [1, 2])
    go(outbox, [found], far, clean=clean, raw="delete")
    outbox.purge(older_than=-1.0)
    go(outbox, [found], far, clean=clean, raw="delete")
    assert len(asked) == 2


@pytest.mark.parametrize("other", ["retry", "dismiss"])
@pytest.mark.parametrize("one", ["retry", "dismiss"])
def test_of_two_who_see_to_an_image_at_once_the_second_is_told(outbox, far, tmp_path, monkeypatch, one, other):
    go(outbox, [folder_of(tmp_path / "in", [1])], far, clean=a_fault)
    before, done = mending._before, []

    def meanwhile(*given):
        found = before(*given)
        if not done:
            done.append(other)
            getattr(outbox, other)(1)
        return found

    monkeypatch.setattr(mending, "_before", meanwhile)
    by_hand = getattr(outbox, one)
    with pytest.raises(NothingMatched):
        by_hand(1)
    outcome = go(outbox, [], far)
    assert (outcome.sent, outcome.errors) == ((1, 0) if other == "retry" else (0, 0))
    assert outbox.status().batches[State.DONE] == 1
