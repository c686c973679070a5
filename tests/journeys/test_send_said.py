"""What rtbids send says at its end: what it has sent itself, what is left and for what reason, and what to type then."""

from __future__ import annotations

import re
import signal
import subprocess

import pytest
from planted_series import series
from sending import Node, fill


@pytest.fixture
def far(node: Node) -> str:
    """A folder to send to."""
    (node.home / "far").mkdir()
    return f"file://{node.home / 'far'}"


def arrived(node: Node) -> int:
    return len(list((node.home / "far").rglob("*.dcm")))


def test_who_looks_what_is_wrong_types_what_was_said(node: Node, far: str) -> None:
    fill(node.export / "bad", [b"no image"])
    done = node.once(far)
    assert done.code == 65
    said = re.findall(r"rtbids (send (?:show|status).*)", done.err)
    assert [line.split()[1] for line in said] == ["show", "status"]
    for line in said:
        assert line.endswith(f" --outbox {node.outbox}")
        asked = node.call(*line.split())
        assert asked.code == 0, asked.err
        assert b"not a DICOM file" in asked.out


def test_ctrl_c_is_no_error_and_what_was_done_is_said(node: Node, far: str) -> None:
    fill(node.export / "7", series(7))
    sender = node.begin(far, "--log-file", node.home / "log")
    node.until(lambda status: status["images"]["DONE"] == 12)
    assert sender.signal(signal.SIGINT) == 130
    assert "12 images sent\nrtbids: stopped by SIGINT" in sender.said
    log = (node.home / "log").read_text()
    assert "12 images sent" in log
    assert "INFO stopped by SIGINT" in log
    assert "ERROR" not in log


def test_a_source_without_anything_new_is_said_to_be_one(node: Node, far: str) -> None:
    node.export.mkdir(exist_ok=True)
    done = node.once(far)
    assert (done.code, "0 images sent: no image was found\n" in done.err) == (0, True), done.err
    fill(node.export / "7", series(7)[:1])
    assert "1 image sent\n" in node.once(far).err
    done = node.once(far)
    assert (done.code, "0 images sent: nothing new was found\n" in done.err) == (0, True), done.err


def test_two_senders_on_one_outbox_say_each_what_it_has_sent(node: Node, far: str) -> None:
    for number in range(1, 9):
        fill(node.export / str(number), series(number))
    senders = [node.start(*node.words(far), "--no-wait") for _ in range(2)]
    assert [sender.ended()[0] for sender in senders] == [0, 0]
    counts = [int(count) for sender in senders for count in re.findall(r"(\d+) images? sent", sender.said)]
    assert (len(counts), sum(counts), arrived(node)) == (2, 96, 96), [sender.said for sender in senders]


def test_a_full_disk_of_the_outbox_is_what_the_last_line_names(node: Node, far: str) -> None:
    fill(node.export / "7", series(7))
    node.outbox.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=320k", "tmpfs", str(node.outbox)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here: needs root and tmpfs")
    try:
        done = node.once(far, "--watermark", "0", "--open-timeout", "2")
    finally:
        subprocess.run(["umount", "-l", str(node.outbox)], check=True)
    assert done.code == 73, done.err
    assert re.search(rf"rtbids: \d+ images to be sent: no space left for .*{node.outbox}", done.err), done.err
    assert "free some space, then start rtbids send again" in done.err
