"""Metrics, read back by Prometheus' own parser."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request

import pytest
from send.outbox_parts import FarSide, blank, folder_of

from rtbids.clock import ManualClock
from rtbids.errors import CannotWrite
from rtbids.send.destinations import Failure
from rtbids.send.metrics import served, text
from rtbids.send.outbox import Outbox
from rtbids.send.pool import run
from rtbids.send.settings import Settings

DAY = 86400.0


@pytest.fixture
def outbox(database, tmp_path):
    with Outbox.open(tmp_path / "outbox", database, clock=ManualClock(20000 * DAY + 5.0)) as found:
        yield found


def samples(content: str) -> dict[tuple[str, str], float]:
    parser = pytest.importorskip("prometheus_client.parser")
    families = parser.text_string_to_metric_families(content)
    found = [sample for family in families for sample in family.samples]
    return {(sample.name.removeprefix("rtbids_send_"), "".join(sample.labels.values())): sample.value for sample in found}


def test_counts_sizes_and_times(outbox, tmp_path):
    far = FarSide(tmp_path / "far", url='file:///a"b\\c')
    refused = blank((folder_of(tmp_path / "in" / "bad", [9]).files[0]).read_bytes()).instance
    far.refusing = lambda item: Failure("no", permanent=True) if item.instance == refused else None
    settings = Settings(watermark=0)
    run(outbox, iter([folder_of(tmp_path / "in" / "good", range(4))]), [far], blank, settings, threading.Event())
    run(outbox, iter([folder_of(tmp_path / "in" / "bad", [9])]), [far], blank, settings, threading.Event())
    size = sum(file.stat().st_size for file in far.folder.glob("*.dcm"))
    found = samples(text(outbox))
    assert (found["images", "DONE"], found["images", "ERROR"], found["images", "NEW"]) == (4, 1, 0)
    assert (found["batches", "DONE"], found["batches", "ERROR"], found["batches_with_errors", ""]) == (1, 1, 1)
    assert (found["batches_done_total", ""], found["batch_seconds_total", ""]) == (1, 0.0)  # the clock stands still
    assert found["destination_sent_images_total", far.url] == 4
    assert found["destination_sent_bytes_total", far.url] == found["destination_sent_bytes_today", far.url] == size
    assert (found["destination_retries_total", far.url], found["destination_up", far.url]) == (1, 1)
    with outbox.database.reading() as transaction:
        assert [tuple(row) for row in transaction.rows("SELECT day, images, bytes FROM day")] == [(20000, 4, size)]
    outbox.clock.advance(DAY)
    found = samples(text(outbox))
    assert (found["destination_sent_bytes_total", far.url], found["destination_sent_bytes_today", far.url]) == (size, 0)


def test_the_age_of_what_waits_longest(outbox, tmp_path):
    outbox.add(folder_of(tmp_path / "in", [1]))
    outbox.clock.advance(30.0)
    outbox.add(folder_of(tmp_path / "more", [2]))
    assert samples(text(outbox))["oldest_waiting_seconds", ""] == 30.0


def test_they_are_served_on_this_machine_only(tmp_path):
    with Outbox.open(tmp_path / "outbox") as outbox, served(outbox, 0) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert samples(answer.read().decode())["images", "NEW"] == 0
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/")
        with pytest.raises(CannotWrite, match="cannot be had"), served(outbox, port):
            pass
