"""What goes wrong on the way: nothing is lost, nothing is sent raw, and the reason is said."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from send.outbox_parts import FarSide, blank, folder_of, image

from rtbids.dicomnet import NotWanted
from rtbids.errors import ConnectionLost, InputMissing, NothingMatched, UsageFault
from rtbids.send.backoff import FIRST
from rtbids.send.destinations import Failure
from rtbids.send.found import Found
from rtbids.send.outbox import Outbox
from rtbids.send.pool import run
from rtbids.send.settings import Settings
from rtbids.send.states import State

ROOMY = Settings(watermark=0)


@pytest.fixture
def outbox(database, tmp_path):
    with Outbox.open(tmp_path / "outbox", database) as found:
        yield found
        with found.database.reading() as transaction:
            counted = dict(transaction.rows("SELECT state, count(*) FROM image WHERE dismissed = 0 GROUP BY state"))
        assert {state: count for state, count in found.status().images.items() if count} == counted


@pytest.fixture
def series(tmp_path):
    return folder_of(tmp_path / "in" / "series", range(6))


def go(outbox, batches, *destinations, clean=blank, settings=ROOMY, stop=None):
    return run(outbox, iter(batches), destinations, clean, settings, stop or threading.Event())


def test_images_wait_for_a_destination_that_is_down_and_status_says_so(outbox, series, far):
    far.fault = ConnectionLost("nobody answers")
    outcome = go(outbox, [series], far, settings=Settings(watermark=0, patience=1.5))
    assert (outcome.waiting, outcome.errors, outcome.down) == (6, 0, ("file:///far: nobody answers",))
    status = outbox.status()
    assert status.images[State.DONEPROCESSING] == 6
    [destination] = status.destinations
    assert (destination.waiting, destination.reason) == (6, "nobody answers")
    assert destination.since <= status.now
    assert destination.next_try > destination.since
    far.fault = None
    assert go(outbox, [], far).waiting == 0
    assert len(far.arrivals) == 6
    assert outbox.status().destinations[0].since is None


def test_a_destination_that_will_not_have_us_is_not_waited_for(outbox, series, far, caplog):
    far.fault = NotWanted("the certificate is not of an authority that is known")
    outcome = go(outbox, [series], far, settings=Settings(watermark=0, room=1.0))
    [said] = [message for message in caplog.messages if message.startswith(far.url)]
    assert said == "file:///far: the certificate is not of an authority that is known; its images wait"
    assert (outcome.waiting, outcome.errors) == (6, 0)
    assert outbox.status().destinations[0].reason == "the certificate is not of an authority that is known"


def test_one_destination_does_not_hold_back_another(outbox, series, far, tmp_path):
    down = FarSide(tmp_path / "down", url="file:///down", fault=ConnectionLost("nobody answers"))
    outcome = go(outbox, [series], down, far, settings=Settings(watermark=0, patience=1.0))
    assert (len(far.arrivals), outcome.sent, outcome.waiting) == (6, 0, 6)
    down.fault = None
    assert go(outbox, [], down, far).sent == 6
    assert (len(far.arrivals), len(down.arrivals)) == (6, 6)


def test_images_that_are_refused_are_in_error_and_go_out_when_retried(outbox, series, far):
    refused = {blank(image(number)).instance for number in (1, 4)}
    far.refusing = lambda item: Failure("0xA900: not this class", permanent=True) if item.instance in refused else None
    outcome = go(outbox, [series], far, settings=Settings(watermark=0, raw="delete"))
    assert (outcome.sent, outcome.errors) == (4, 2)
    shown = outbox.show(1)
    assert (shown.batch.state, shown.batch.errors) == (State.SENT, 2)
    assert [each.reason for each in shown.images if each.state is State.ERROR] == ["0xA900: not this class"] * 2
    assert len(list(series.root.iterdir())) == 6  # nothing of a batch with an error is removed
    far.refusing = lambda item: None
    assert outbox.retry(batch=1) == 2
    assert go(outbox, [], far, settings=Settings(watermark=0, raw="delete")).sent == 2
    assert len(far.arrivals) == len(set(far.arrivals)) == 6
    assert outbox.show(1).batch.state is State.DONE
    assert not series.root.exists()
    with pytest.raises(NothingMatched, match="nothing is in ERROR"):
        outbox.retry()


def test_a_full_destination_is_tried_again_without_an_error(outbox, series, far):
    far.refusing = lambda item: Failure("0xA700: out of resources", permanent=False)
    settings = Settings(watermark=0, patience=1.2, attempts=1)
    assert go(outbox, [series], far, settings=settings).errors == 0
    [destination] = outbox.status().destinations
    assert (destination.reason, destination.waiting) == ("0xA700: out of resources", 6)
    far.refusing = lambda item: None
    with outbox.database.writing() as transaction:
        transaction.count("UPDATE delivery SET due = 0")  # as if time had passed
    go(outbox, [], far)
    assert len(far.arrivals) == 6


def test_what_is_refused_for_now_is_given_up_after_enough_tries_and_time(outbox, series, far):
    far.refusing = lambda item: Failure("busy", permanent=False)
    assert go(outbox, [series], far, settings=Settings(watermark=0, attempts=1, age=0.0)).errors == 6
    assert outbox.status().images[State.ERROR] == 6


def test_after_a_link_that_broke_the_far_side_is_asked_before_anything_is_sent_again(outbox, series, far):
    far.breaks_after = 2
    go(outbox, [series])
    go(outbox, [], far, settings=Settings(watermark=0, group=4))
    assert len(far.arrivals) == len(set(far.arrivals)) == 6
    assert far.opened == 2


def test_the_same_uid_with_other_content_is_set_aside(outbox, series, far, tmp_path):
    other = folder_of(tmp_path / "in" / "other", [2, 7], pixel=99)
    outcome = go(outbox, [series, other], far, settings=Settings(watermark=0, workers=1))
    assert (outcome.sent, outcome.errors) == (7, 1)
    [bad] = [each for each in outbox.show(2).images if each.state is State.ERROR]
    assert "with other content" in bad.reason
    assert (outbox.folder.root / bad.quarantine).read_bytes() == image(2, pixel=99)


def test_the_batch_waits_while_the_service_of_identifiers_is_down_and_is_never_sent_raw(outbox, series, far):
    tries = []

    def clean(content):
        tries.append(time.monotonic())
        if len(tries) > 2:
            return blank(content)
        assert outbox.status().images[State.PROCESSING] == 6
        assert far.arrivals == []
        raise ConnectionLost("the service of identifiers does not answer")

    outcome = go(outbox, [series], far, clean=clean, settings=Settings(watermark=0, workers=1))
    assert (outcome.sent, outcome.errors) == (6, 0)
    assert tries[1] - tries[0] >= FIRST


def test_a_key_that_is_lost_stops_the_work_and_loses_nothing(outbox, series, far):
    def clean(content):
        raise InputMissing("no site key", "make one")

    with pytest.raises(InputMissing, match="no site key"):
        go(outbox, [series], far, clean=clean)
    assert outbox.status().images[State.ERROR] == 0
    assert go(outbox, [], far).sent == 6


def test_a_fault_of_de_identification_is_told_without_its_words(outbox, series, far, caplog):
    def clean(content):
        raise ValueError("Doe^Jane was not expected")

    with caplog.at_level(logging.DEBUG):
        outcome = go(outbox, [series], far, clean=clean)
    assert outcome.errors == 6
    assert far.arrivals == []
    assert "Jane" not in caplog.text + str(outbox.show(1).as_json())


def test_without_de_identification_images_go_as_they_are_and_that_is_said(outbox, series, far, caplog):
    go(outbox, [series], far, clean=None)
    assert sorted(file.read_bytes() for file in far.folder.glob("*.dcm")) == sorted(image(number) for number in range(6))
    assert "not de-identified" in caplog.text
    shown = outbox.show(1)
    assert all(each.as_is and "not de-identified" in each.transitions[2].reason for each in shown.images)
    assert all(each.instance is None and each.file is None for each in shown.images)  # wiped: they identify


def test_nothing_of_who_it_was_is_kept_when_a_batch_is_done_or_logged_at_any_time(outbox, tmp_path, far, caplog):
    found = folder_of(tmp_path / "in" / "Doe-Jane", range(3))
    with caplog.at_level(logging.DEBUG):
        go(outbox, [found], far)
    shown = outbox.show(1)
    assert (shown.batch.label, shown.root, {each.file for each in shown.images}) == (None, None, {None})
    assert "Jane" not in caplog.text + str(outbox.status().as_json()) + str(shown.as_json())


def test_without_a_destination_images_stay_ready(outbox, series):
    assert go(outbox, [series], settings=Settings(watermark=0, raw="delete")).waiting == 6
    assert len(list(series.root.iterdir())) == 6
    assert outbox.status().images[State.DONEPROCESSING] == 6


def test_a_folder_without_an_image_is_a_batch_in_error(outbox, far, tmp_path):
    (tmp_path / "empty").mkdir()
    empty = Found("empty", tmp_path / "empty", ())
    go(outbox, [empty, empty], far)
    [batch] = outbox.status().page
    assert (batch.state, batch.has_error, batch.reason) == (State.ERROR, True, "the folder holds no DICOM image")


def test_a_file_that_is_gone_is_in_error_until_it_is_back_and_retried(outbox, series, far):
    content = series.files[3].read_bytes()
    assert outbox.add(series) == 1
    series.files[3].unlink()
    assert go(outbox, [], far).errors == 1
    [gone] = [each for each in outbox.show(1).images if each.state is State.ERROR]
    assert gone.reason == "its file is gone"
    series.files[3].write_bytes(content)
    outbox.retry(image=gone.image)
    assert go(outbox, [], far).sent == 1
    assert len(far.arrivals) == 6


def test_a_quarantined_file_goes_back_when_it_is_retried(outbox, series, far):
    series.files[0].write_bytes(b"not yet an image")
    go(outbox, [series], far, settings=Settings(watermark=0, raw="delete"))
    assert not series.files[0].exists()
    outbox.retry()
    assert series.files[0].read_bytes() == b"not yet an image"
    assert not list(outbox.folder.quarantine.rglob("*"))
    series.files[0].write_bytes(image(0))
    assert go(outbox, [], far, settings=Settings(watermark=0, raw="delete")).sent == 1
    assert not series.root.exists()


def test_a_stop_ends_the_work_soon_and_the_rest_goes_on_at_the_next_start(outbox, tmp_path, far):
    found = folder_of(tmp_path / "in" / "long", range(60))
    stop = threading.Event()

    def clean(content):
        if len(far.arrivals) > 5:
            stop.set()
        return blank(content)

    outcome = go(outbox, [found], far, clean=clean, settings=Settings(watermark=0, group=4), stop=stop)
    assert stop.is_set()
    assert outcome.waiting > 0
    assert go(outbox, [], far).waiting == 0
    assert len(far.arrivals) == len(set(far.arrivals)) == 60


def test_what_is_dismissed_holds_its_batch_back_no_more(outbox, series, far):
    (series.root / "notes.txt").write_text("no image")
    found = Found(series.label, series.root, (*series.files, series.root / "notes.txt"))
    settings = Settings(watermark=0, raw="delete")
    assert go(outbox, [found], far, settings=settings).errors == 1
    assert outbox.dismiss(1) == 1
    with pytest.raises(NothingMatched, match="nothing of batch 1 is in ERROR"):
        outbox.dismiss(1)
    go(outbox, [], far, settings=settings)
    [batch] = outbox.status().page
    assert (batch.state, batch.errors, outbox.show(1).images[6].transitions[-1].reason) == ("DONE", 0, "dismissed by hand")
    assert not series.root.exists()
    assert [file.read_text() for file in sorted((outbox.folder.quarantine / "1").iterdir())] == [
        "no image",
        "not a DICOM file\n",
    ]
    outbox.purge(older_than=0)
    assert not list(outbox.folder.quarantine.iterdir())


def test_a_destination_that_needs_whole_batches_gets_them(outbox, tmp_path):
    asked = []

    class Whole(FarSide):
        def send(self, items):
            asked.append(len(items))
            return super().send(items)

    batches = [folder_of(tmp_path / "in" / str(start), range(start, start + 20)) for start in (0, 20)]
    far = Whole(tmp_path / "far", whole=True, parallel=2)
    assert go(outbox, batches, far, settings=Settings(watermark=0, group=3)).sent == 40
    assert asked == [20, 20]


def test_where_to_move_raw_files_must_be_said():
    with pytest.raises(UsageFault, match="not said where to"):
        Settings(raw="move")
