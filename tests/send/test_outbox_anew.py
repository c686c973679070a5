"""Nothing leaves by rules that hold no more, nothing is lost for another file of its name, and what was put right goes on."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from dataclasses import replace

import pydicom
import pytest
from send.outbox_parts import FarSide, blank, folder_of, image

from rtbids.clock import ManualClock
from rtbids.errors import CannotWrite, ConnectionLost, LeftOut, NeedsPerson, UsageFault
from rtbids.send import claims, cleaning, cleanup, lines, owners, setting_aside, steps, wiping
from rtbids.send.apart import Fault
from rtbids.send.database import DatabaseLost
from rtbids.send.destinations import Failure
from rtbids.send.found import Found
from rtbids.send.outbox import Outbox
from rtbids.send.pool import run
from rtbids.send.settings import Settings
from rtbids.send.states import State
from rtbids.send.work import LOOK


def go(outbox, batches, *destinations, clean=blank, stop=None, **settings):
    return run(outbox, iter(batches), destinations, clean, Settings(**{"watermark": 0} | settings), stop or threading.Event())


def names_in(far):
    return [str(pydicom.dcmread(file).PatientName) for file in far.folder.glob("*.dcm")]


def again(content: bytes):
    """Other rules than `blank`: the patient gets another number."""
    made = blank(content)
    return type(made)(made.content, made.sop_class, f"{made.instance}.1", made.series, made.study, "other")


def test_raw_images_that_wait_are_de_identified_when_that_is_asked_for(outbox, far, tmp_path):
    far.fault = ConnectionLost("down")
    go(outbox, [folder_of(tmp_path / "in", range(3))], far, clean=None, patience=0.3)
    assert outbox.status().images[State.DONEPROCESSING] == 3
    far.fault = None
    assert go(outbox, [], far).sent == 3
    assert names_in(far) == [""] * 3
    assert "other rules" in str(outbox.show(1).images[0].transitions)


def test_what_waits_is_made_anew_by_new_rules_and_goes_to_whom_it_was_to_go(outbox, tmp_path):
    down = [FarSide(tmp_path / name, url=f"file:///{name}", fault=ConnectionLost("down")) for name in "ab"]
    go(outbox, [folder_of(tmp_path / "in", range(3))], *down, rules="old", patience=0.3)
    for far in down:
        far.fault = None
    assert go(outbox, [], down[0], clean=again, rules="new", patience=5.0).waiting == 3  # b is not served now
    assert set(down[0].arrivals) == {again(image(number)).instance for number in range(3)}
    assert go(outbox, [], *down, clean=again, rules="new").waiting == 0
    assert sorted(down[0].arrivals) == sorted(down[1].arrivals)


def test_what_is_retried_under_new_rules_is_made_anew(outbox, far, tmp_path):
    far.refusing = lambda item: Failure("no", permanent=True)
    go(outbox, [folder_of(tmp_path / "in", [1])], far, rules="old")
    far.refusing = lambda item: None
    outbox.retry(1)
    go(outbox, [], far, clean=again, rules="new")
    assert far.arrivals == [again(image(1)).instance]


def test_a_second_sender_with_other_rules_is_refused(outbox, far, tmp_path):
    stop, ready = threading.Event(), threading.Event()

    def waiting():
        ready.set()
        stop.wait(30)
        yield from ()

    first = threading.Thread(target=go, args=(outbox, waiting(), far), kwargs={"rules": "a", "stop": stop})
    first.start()
    ready.wait(30)
    try:
        for clean, rules in ((blank, "b"), (None, "")):
            with (
                Outbox.open(outbox.folder.root, outbox.name if "://" in outbox.name else None) as other,
                pytest.raises(UsageFault, match="another rtbids send is at work") as told,
            ):
                go(other, [], far, clean=clean, rules=rules)
            assert "--outbox" in told.value.hint
    finally:
        stop.set()
        first.join()
    go(outbox, [], far, rules="b")  # now it may


def test_a_sender_of_another_machine_with_other_rules_is_gone_when_it_is_silent_for_a_minute(outbox):
    with outbox.database.writing() as transaction:
        transaction.count("INSERT INTO owner (host, pid, started, beats, rules) VALUES ('elsewhere', 1, 1.0, 5, 'old')")
    watched: owners.Watched = {}
    for now in (0.0, owners.LEASE - 1):
        with pytest.raises(owners.OtherRules) as told:
            owners.enter(outbox.database, now, "new", watched)
        assert not told.value.certain
    assert owners.enter(outbox.database, owners.LEASE, "new", watched).alone
    with outbox.database.writing() as transaction:
        transaction.count("UPDATE owner SET host = 'elsewhere'")
    watched = {}
    with pytest.raises(owners.OtherRules):
        owners.enter(outbox.database, 0.0, "old", watched)
    with outbox.database.writing() as transaction:
        transaction.count("UPDATE owner SET beats = beats + 1")
    with pytest.raises(owners.OtherRules) as told:
        owners.enter(outbox.database, 5.0, "old", watched)
    assert told.value.certain


def test_who_was_taken_to_be_gone_comes_back_and_what_it_took_meanwhile_is_free(tmp_path, monkeypatch):
    clock = ManualClock(1e9)
    with Outbox.open(tmp_path / "outbox", clock=clock) as a, Outbox.open(tmp_path / "outbox", clock=clock) as b:
        a.add(folder_of(tmp_path / "in", [1]))
        for each, host in ((a, "machine a"), (b, "machine b")):
            monkeypatch.setattr(owners, "here", lambda host=host: host)
            each.owner = owners.enter(each.database, clock.now())
        for seconds in (0.0, owners.LEASE):
            clock.advance(seconds)
            owners.beat(b.database, b.owner, clock.now(), None)
        assert len(claims.claim_images(a, 10)) == 1  # it does not know
        owners.beat(b.database, b.owner, clock.now(), None)
        assert len(claims.claim_images(b, 10)) == 1
        before = a.owner.number
        owners.beat(a.database, a.owner, clock.now(), None)
        assert a.owner.number != before
        with a.database.reading() as transaction:
            assert {number for [number] in transaction.rows("SELECT id FROM owner")} == {a.owner.number, b.owner.number}


def test_what_somebody_claimed_who_is_no_more_is_free_at_the_start(outbox, far, tmp_path):
    outbox.add(folder_of(tmp_path / "in", range(3)))
    with outbox.database.writing() as transaction:
        transaction.count("UPDATE image SET owner = 99, state = 'PROCESSING'")
        transaction.count("UPDATE batch SET new = 0, processing = 3, state = 'PROCESSING'")
    assert go(outbox, [], far, patience=5.0).sent == 3


def test_files_of_one_name_are_all_in_the_archive(outbox, far, tmp_path):
    found = [folder_of(tmp_path / place / "dicom", [0]) for place in ("s1", "s2", "s3")]
    for number, each in enumerate(found):
        each.files[0].write_bytes(image(number))
        os.utime(each.files[0], (1e9, 1e9))
    go(outbox, found, far, raw="move", archive=tmp_path / "archive")
    assert sorted(file.read_bytes() for file in (tmp_path / "archive").rglob("*.dcm")) == sorted(map(image, range(3)))
    assert not [each for each in found if each.root.exists()]


def test_a_retry_sends_to_destinations_that_came_since(outbox, tmp_path):
    a, b = (FarSide(tmp_path / name, url=f"file:///{name}") for name in "ab")
    a.refusing = lambda item: Failure("no", permanent=True)
    found = folder_of(tmp_path / "in", [1])
    go(outbox, [found], a)
    a.refusing = lambda item: None

    def batches():
        outbox.retry(1)
        yield from ()

    go(outbox, batches(), a, b, raw="delete")
    assert (len(a.arrivals), len(b.arrivals)) == (1, 1)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("where", ["_deliver", "pass_on"])
def test_a_destination_that_joins_in_the_midst_of_a_step_misses_nothing(outbox, where, tmp_path, monkeypatch):
    a, b = (FarSide(tmp_path / name, url=f"file:///{name}") for name in "ab")
    real, joining = getattr(steps, where), []

    def meanwhile(*args):
        if not joining:
            other = Outbox.open(outbox.folder.root, outbox.name)
            joining.append(threading.Thread(target=lines.serve, args=(other, [b], False)))
            joining[0].start()
            joining[0].join(0.5)
            assert joining[0].is_alive()  # it waits for its turn
        return real(*args)

    monkeypatch.setattr(steps, where, meanwhile)
    go(outbox, [folder_of(tmp_path / "in", [1])], a, patience=2.0)
    joining[0].join()
    [shown] = outbox.show(1).images
    urls = {delivery.url: delivery.state for delivery in shown.deliveries}
    assert urls.get("file:///b") == (State.DONEPROCESSING if where == "_deliver" else None)
    assert (shown.state is State.DONE) == (where == "pass_on")


@pytest.mark.parametrize("clean", [blank, None])
def test_what_was_made_and_is_gone_or_changed_is_made_anew_by_a_retry(outbox, far, tmp_path, clean):
    far.fault = ConnectionLost("down")
    found = folder_of(tmp_path / "in", [1])
    go(outbox, [found], far, clean=clean, patience=0.3)
    if clean is None:
        found.files[0].write_bytes(image(1, pixel=3))  # of the same size
        os.utime(found.files[0], (1e9, 1e9))
    else:
        next(outbox.folder.clean.rglob("*.dcm")).unlink()
    far.fault = None
    assert go(outbox, [], far, clean=clean).errors == 1
    outbox.retry(1)
    assert go(outbox, [], far, clean=clean).sent == 1


def test_a_corrected_image_takes_the_place_of_one_that_never_arrived(outbox, far, tmp_path):
    far.refusing = lambda item: Failure("no", permanent=True)
    go(outbox, [folder_of(tmp_path / "a", [1])], far)
    far.refusing = lambda item: None
    assert go(outbox, [folder_of(tmp_path / "b", [1], pixel=7)], far).sent == 1
    outbox.retry(1)
    assert go(outbox, [], far).errors == 1
    assert len(far.arrivals) == 1  # of one UID one image


def test_a_twin_fails_with_the_image_that_it_is_the_same_as_and_goes_on_without_it(outbox, far, tmp_path):
    far.refusing = lambda item: Failure("no", permanent=True)
    go(outbox, [folder_of(tmp_path / "a", [1]), folder_of(tmp_path / "b", [1])], far, workers=1)
    assert outbox.status().images[State.ERROR] == 2
    assert outbox.dismiss(1, who="ann") == 1
    assert outbox.show(1).images[0].transitions[-1].reason == "dismissed by ann"
    far.refusing = lambda item: None
    outbox.retry(2)
    assert (go(outbox, [], far).sent, len(far.arrivals)) == (1, 1)


@pytest.mark.parametrize("lost", [1, 500])
def test_an_image_that_is_cut_off_does_not_go_out_as_it_is(outbox, far, tmp_path, lost):
    found = folder_of(tmp_path / "in", [1])
    found.files[0].write_bytes(image(1)[:-lost])
    go(outbox, [found], far, clean=None)
    assert outbox.show(1).images[0].reason == "the file ends before its pixels do"
    assert far.arrivals == []


def test_a_link_that_leads_out_is_never_followed(outbox, far, tmp_path):
    found = folder_of(tmp_path / "in", [1])
    (tmp_path / "secret.dcm").write_bytes(image(5))
    link = found.root / "link.dcm"
    link.symlink_to(tmp_path / "secret.dcm")
    go(outbox, [Found("in", found.root, found.files, broken=((link, "a link"),))], far)
    outbox.retry(1)
    go(outbox, [], far)
    assert outbox.show(1).images[1].reason == cleaning.LINK
    assert far.arrivals == [blank(image(1)).instance]
    assert not list(outbox.folder.quarantine.rglob("*.dcm"))


def test_a_file_that_may_not_be_removed_holds_back_no_other_batch(outbox, far, tmp_path):
    found = [folder_of(tmp_path / "in" / name, [number]) for number, name in enumerate("ab")]
    if os.geteuid() == 0 and subprocess.run(["chattr", "+i", found[0].files[0]], check=False).returncode:
        pytest.skip("nothing is forbidden to this user here")
    found[0].root.chmod(0o500)
    try:
        assert go(outbox, found, far, raw="delete").sent == 2
    finally:
        found[0].root.chmod(0o700)
        subprocess.run(["chattr", "-i", found[0].files[0]], check=False)
    assert (found[0].files[0].exists(), found[1].root.exists()) == (True, False)
    with outbox.database.writing() as transaction:
        transaction.count("UPDATE batch SET tidy_due = 0")  # as if time had passed
    go(outbox, [], far, raw="delete")
    assert not found[0].root.exists()


def test_an_error_of_a_destination_that_nobody_expected_is_that_of_one_image(outbox, far, tmp_path, caplog):
    odd = blank(image(4)).instance

    def refusing(item):
        if item.instance == odd:
            raise KeyError("Doe^Jane")

    far.refusing = refusing
    outcome = go(outbox, [folder_of(tmp_path / "in", range(8))], far)
    assert (outcome.sent, outcome.errors) == (7, 1)
    assert len(far.arrivals) == len(set(far.arrivals)) == 7
    assert "KeyError" in str(outbox.show(1).images[4].reason)
    assert "Jane" not in caplog.text + str(outbox.show(1))


def test_who_cannot_connect_for_a_reason_that_nobody_expected_is_down(outbox, far, tmp_path):
    far.fault = ValueError("Doe^Jane")
    outcome = go(outbox, [folder_of(tmp_path / "in", [1])], far, patience=0.5)
    assert "ValueError" in outcome.down[0]
    assert (outcome.waiting, "Jane" in outcome.down[0]) == (1, False)


def test_what_the_recipe_leaves_out_is_no_error_and_is_not_removed(outbox, far, tmp_path):
    found = folder_of(tmp_path / "in", range(3))

    def clean(content):
        if content == image(1):
            raise LeftOut("the recipe leaves out series like this one")
        return blank(content)

    outcome = go(outbox, [found], far, clean=clean, raw="delete")
    assert (outcome.sent, outcome.errors, outcome.waiting) == (2, 0, 0)
    status = outbox.status()
    assert (status.images[State.SKIPPED], status.images[State.DONE], status.batches[State.DONE]) == (1, 2, 1)
    assert [file.name for file in found.root.iterdir()] == ["0001.dcm"]


def test_images_wait_while_a_person_must_see_to_the_service_of_identifiers(outbox, far, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(cleaning, "LONGEST", 0.05)
    tries = []

    def clean(content):
        tries.append(content)
        if len(tries) < 3:
            raise NeedsPerson("the service knows no such study", "register it")
        return blank(content)

    assert go(outbox, [folder_of(tmp_path / "in", range(2))], far, clean=clean, workers=1).sent == 2
    assert "no such study: register it" in caplog.text


@pytest.mark.parametrize("kept", ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID"])
def test_identifiers_that_are_kept_are_not_kept_here(outbox, far, tmp_path, kept):
    fields = {"SOPInstanceUID": "instance", "SeriesInstanceUID": "series", "StudyInstanceUID": "study", "PatientID": "patient"}
    found = folder_of(tmp_path / "in", [1])
    value = str(pydicom.dcmread(found.files[0])[kept].value)
    go(outbox, [found], far, clean=lambda content: replace(blank(content), **{fields[kept]: value}))
    with outbox.database.reading() as transaction:
        assert transaction.rows(f"SELECT {fields[kept]} FROM image") == [(None,)]
    assert value not in str(outbox.show(1).as_json())


def test_a_folder_that_somebody_has_just_made_is_not_removed(outbox, far, tmp_path):
    found = folder_of(tmp_path / "in", [1])
    (found.root / "next").mkdir()
    go(outbox, [found], far, raw="delete")
    assert [each.name for each in found.root.iterdir()] == ["next"]


def test_connections_are_closed_at_the_end(outbox, far, tmp_path):
    closed = []

    class Closing(FarSide):
        def open(self):
            from contextlib import contextmanager

            @contextmanager
            def opened():
                yield self
                closed.append(threading.current_thread().name)

            return opened()

    go(outbox, [folder_of(tmp_path / "in", [1])], Closing(tmp_path / "other", url="file:///closing"))
    assert closed == ["file:///closing 0"]


def test_who_watches_and_breaks_off_ends_the_work_instead_of_having_brought_all(outbox, far):
    def batches():
        raise DatabaseLost("the outbox does not answer")
        yield

    with pytest.raises(DatabaseLost):
        go(outbox, batches(), far)


def test_while_the_database_does_not_answer_nothing_is_known(tmp_path, monkeypatch):
    with Outbox.open(tmp_path / "outbox") as outbox:
        found = folder_of(tmp_path / "in", [1])
        outbox.add(found)
        assert outbox.knows(found)

        def lost():
            raise DatabaseLost("away")

        monkeypatch.setattr(outbox.database, "reading", lost)
        assert not outbox.knows(found)


def test_a_batch_of_a_folder_with_another_name_is_followed_when_it_is_added(outbox, tmp_path):
    found = folder_of(tmp_path / "old", [1])
    assert outbox.add(found) == 1
    found.root.rename(tmp_path / "new")
    assert outbox.add(Found("new", tmp_path / "new", (tmp_path / "new" / "0001.dcm",), renamed_from=tmp_path / "old")) is None
    assert outbox.show(1).root == str(tmp_path / "new")


def test_another_key_than_the_one_it_began_with_is_refused(outbox, far, tmp_path):
    go(outbox, [folder_of(tmp_path / "in", [1])], far, key="one")
    with pytest.raises(UsageFault, match="another than the one that this outbox began with"):
        go(outbox, [], far, key="two")
    go(outbox, [], far, key="one")
    with outbox.database.reading() as transaction:
        assert "one" not in dict(transaction.rows("SELECT name, value FROM meta")).values()


@pytest.mark.timeout(60)
def test_names_are_in_no_file_of_the_outbox_soon_after_it_is_done_while_it_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(wiping, "EVERY", 0.0)
    stop, far = threading.Event(), FarSide(tmp_path / "far")
    with Outbox.open(tmp_path / "outbox") as outbox:
        outbox.add(folder_of(tmp_path / "in" / "Doe-Jane-1970", range(200)))

        def waiting():
            stop.wait(50)
            yield from ()

        def holding():
            return [file for file in outbox.folder.root.glob("outbox.sqlite*") if b"Doe-Jane" in file.read_bytes()]

        assert holding()
        sender = threading.Thread(target=go, args=(outbox, waiting(), far), kwargs={"stop": stop})
        sender.start()
        try:
            while holding():
                assert not stop.wait(0.05)
            assert outbox.status().images[State.DONE] == 200
            assert outbox.status().working == 1
        finally:
            stop.set()
            sender.join()


def test_a_file_that_is_carried_to_another_disk_is_on_it_before_it_goes_here(tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "there" / "target"
    target.parent.mkdir()
    source.write_bytes(b"an image")
    calls = []

    def other_disk(one, other):
        if one == source:
            raise OSError(errno.EXDEV, "another disk")
        os.rename(one, other)

    monkeypatch.setattr(os, "replace", other_disk)
    monkeypatch.setattr(setting_aside, "sync", lambda folder: calls.append((folder, source.exists(), target.exists())))
    setting_aside.carry(source, target, move=True)
    assert calls == [(target.parent, True, True)]
    assert (target.read_bytes(), source.exists()) == (b"an image", False)


def test_a_file_whose_process_was_ended_by_a_stop_is_no_fault(outbox, far, tmp_path):
    stop = threading.Event()

    def ended(content):
        stop.set()
        while not far.folder.joinpath("over").exists():
            threading.Event().wait(0.01)
        raise Fault("its process ended")

    found = folder_of(tmp_path / "in", [1])
    sender = threading.Thread(target=go, args=(outbox, [found], far), kwargs={"clean": ended, "stop": stop})
    sender.start()
    assert stop.wait(30)
    over = threading.Timer(2 * LOOK, far.folder.joinpath("over").touch)  # by then the work is over
    over.start()
    sender.join()
    assert (outbox.status().images[State.ERROR], outbox.show(1).images[0].state) == (0, State.PROCESSING)
    assert not list(outbox.folder.quarantine.rglob("*"))
    assert go(outbox, [], far).sent == 1


def test_a_server_is_asked_for_signs_of_life_at_intervals(fresh_database, tmp_path):
    with Outbox.open(tmp_path / "outbox", fresh_database) as outbox, outbox.database.reading() as transaction:
        said = transaction._connection.info.get_parameters()
        assert (said["keepalives_idle"], said["tcp_user_timeout"]) == ("10", "30000")


def test_the_next_batch_to_be_tidied_is_found_by_an_index(tmp_path):
    with Outbox.open(tmp_path / "outbox") as outbox, outbox.database.reading() as transaction:
        plan = transaction.rows(f"EXPLAIN QUERY PLAN {cleanup._TO_TIDY}", (0.0,))
        assert "USING INDEX batch_tidy" in str(plan)


def test_where_the_source_ends_room_on_the_disk_is_not_waited_for_without_end(outbox, far, tmp_path):
    found = folder_of(tmp_path / "in", [1])
    with pytest.raises(CannotWrite, match="no new batch is taken in"):
        go(outbox, [found], far, watermark=1 << 62, room=0.1)
    assert go(outbox, [found], far).sent == 1
