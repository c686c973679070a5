"""What is asked of an outbox afterwards: to try again, to give up, to forget, and the times of each image."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

from planted_series import assert_clean, series
from sending import Node, Pacs, fill


def test_what_is_given_up_is_in_the_way_no_more(node: Node, pacs: Pacs) -> None:
    contents = series(7)
    fill(node.export / "7", [contents[0], b"no image", b"nor this"])
    assert node.once(pacs.url).code == 65
    first = json.loads(node.ask("show", 1, "--json", "--errors").out)["images"][0]["image"]
    assert "1 image given up" in node.ask("dismiss", 1, first).err
    assert node.once(pacs.url).code == 65
    assert "1 image given up" in node.ask("dismiss", 1).err
    assert node.once(pacs.url).code == 0
    assert node.ask("dismiss", 2).code == 66
    assert (node.export / "7" / "0002.dcm").exists()
    assert re.search(r"dismissed by \w+", node.ask("times").out.decode())
    assert_clean(pacs.files(), 1)


def test_retry_sends_what_has_been_put_right(node: Node, pacs: Pacs) -> None:
    content = series(7)[0]
    fill(node.export / "7", [content[:-100]])
    assert node.once(pacs.url, "--time-out", "0").code == 65
    assert node.ask("retry", 2).code == 66
    assert node.ask("retry").code == 64
    assert "1 image to be tried again; no sender is at work" in node.ask("retry", "--all").err
    (node.export / "7" / "0001.dcm").write_bytes(content)
    node.once(pacs.url, "--time-out", "0")
    assert_clean(pacs.files(), 1)


def test_purge_forgets_what_is_done_and_nothing_else(node: Node, pacs: Pacs) -> None:
    fill(node.export / "7", series(7))
    node.once(pacs.url)
    assert "0 batches removed" in node.ask("purge", "--older-than", "1h").err
    assert "1 batch removed" in node.ask("purge", "--older-than", "0s").err
    assert node.status()["page"] == []
    assert node.once(pacs.url).code == 0
    assert pacs.stores() == 12


def test_the_times_of_each_image_are_a_table(node: Node, pacs: Pacs) -> None:
    fill(node.export / "7", series(7))
    node.once(pacs.url)
    header, *rows = [line.split("\t") for line in node.ask("times").out.decode().splitlines()]
    assert header == ["batch", "image", "destination", "time", "before", "after", "reason"]
    of_one = [row[5] for row in rows if row[1] == "1" and row[2] == "n/a"]
    assert of_one == ["NEW", "PROCESSING", "DONEPROCESSING", "SENT", "DONE"]
    assert [float(row[3]) for row in rows] == sorted(float(row[3]) for row in rows)


def test_who_stops_reading_the_times_is_no_fault_of_the_outbox(node: Node, pacs: Pacs) -> None:
    fill(node.export / "7", series(7)[:1])
    assert node.once(pacs.url).code == 0
    command = [sys.executable, "-m", "rtbids", "send", "times", "--outbox", str(node.outbox)]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert b"outbox" not in done.stderr
    assert b"reader of standard output has gone" in done.stderr
