"""What cannot be sent yet waits and says why: destinations that are down or slow, folders not finished, a full disk."""

from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from peers import free_port, until
from planted_series import assert_clean, series
from sending import Node, Pacs, fill, kill, receiving, until_said

from rtbids import dicomnet
from rtbids.replay.scanner import Phantom


def test_a_destination_that_is_down_is_waited_for(node: Node, tmp_path: Path) -> None:
    fill(node.export / "7", series(7))
    port = free_port()
    sender = node.begin(f"dicom://ORTHANC@127.0.0.1:{port}")
    node.until(lambda status: status["images"]["DONEPROCESSING"] == 12 and status["destinations"][0]["since"] is not None)
    with receiving(tmp_path / "orthanc", DicomPort=port) as orthanc:
        node.until(lambda status: status["images"]["DONE"] == 12)
        assert_clean(orthanc.files(), 12)
    assert sender.signal(signal.SIGINT) == 130
    assert "stopped by SIGINT" in sender.said


def test_what_waits_for_a_destination_that_is_down_is_told_by_the_exit_code(node: Node) -> None:
    fill(node.export / "7", series(7))
    done = node.once(f"dicom://NOBODY@127.0.0.1:{free_port()}", "--open-timeout", "1")
    assert done.code == 75
    assert "rtbids: 12 images to be sent (dicom://NOBODY@" in done.err
    assert "start rtbids send again" in done.err


class Reluctant:
    """A receiver that takes every second image at the first try, and each at the next."""

    def __init__(self) -> None:
        from pynetdicom import AE, StoragePresentationContexts, evt

        self.asked: dict[str, int] = {}
        self.stored: list[str] = []
        self.ended: list[str] = []
        self._lock = threading.Lock()
        application = AE("RELUCTANT")
        application.supported_contexts = StoragePresentationContexts
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_CONN_OPEN, dicomnet.be_prompt)]
        handlers += [(kind, lambda event: self.ended.append(event.event.name)) for kind in (evt.EVT_RELEASED, evt.EVT_ABORTED)]
        self.server = application.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.url = f"dicom://RELUCTANT@127.0.0.1:{self.server.server_address[1]}"

    def _store(self, event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        with self._lock:
            self.asked[uid] = self.asked.get(uid, 0) + 1
            if self.asked[uid] == 1 and len(self.asked) % 2:
                return 0xA700
            self.stored.append(uid)
            return 0x0000


def test_what_a_destination_takes_half_of_arrives_whole_and_once(node: Node) -> None:
    fill(node.export / "7", series(7))
    receiver = Reluctant()
    done = node.once(receiver.url, "--proof", "status", "--open-timeout", "30")
    receiver.server.shutdown()
    assert done.code == 0, done.err
    assert len(receiver.stored) == len(set(receiver.stored)) == 12
    assert "EVT_RELEASED" in receiver.ended  # an end is said, not cut off


class Silent(Reluctant):
    """A receiver that takes an image and does not answer."""

    over = threading.Event()

    def _store(self, event: Any) -> int:
        self.over.wait(60.0)
        return 0xA700


@pytest.mark.slow
def test_why_images_wait_is_said_at_the_end(node: Node) -> None:
    fill(node.export / "7", series(7)[:1])
    receiver = Silent()
    done = node.once(receiver.url, "--open-timeout", "1")
    receiver.over.set()
    receiver.server.shutdown()
    assert done.code == 75
    assert f"1 image to be sent ({receiver.url} has not taken them in time)" in done.err


def test_a_folder_that_never_finishes_is_named_by_the_status(node: Node, pacs: Pacs) -> None:
    (node.export / "X.tmp1").mkdir()
    (node.export / "X.tmp1" / "1.dcm").write_bytes(series(7)[0])
    sender = node.begin(pacs.url, "--time-out", "1")
    found = node.until(lambda status: bool(status["unfinished"]))
    assert [one["reason"] for one in found["unfinished"]] == ["its name says that it is being written"]
    (node.export / "X.tmp1").rename(node.export / "X")
    node.until(lambda status: status["images"]["DONE"] == 1 and not status["unfinished"])
    kill(sender)


@pytest.mark.parametrize("length", [0, 500], ids=["empty", "cut"])
def test_a_folder_that_is_not_finished_when_all_else_has_arrived_is_said(node: Node, pacs: Pacs, length: int) -> None:
    contents = series(7)
    fill(node.export / "7", contents[:1])
    fill(node.export / "8", [contents[1][:length]])
    done = node.once(pacs.url)
    assert done.code == 75
    assert "1 image sent" in done.err
    assert "rtbids: 1 folder not finished" in done.err
    assert_clean(pacs.files(), 1)


def fail() -> None:
    raise ConnectionError


def test_a_full_disk_is_said_and_all_arrives_when_there_is_room(node: Node, pacs: Pacs) -> None:
    """The outbox lies on a file system of a few megabytes, which is filled up and freed again."""
    small = node.home / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", small], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        outbox = small / "outbox"
        filler = small / "filler"
        fill(node.export / "7", series(7, Phantom(shape=(64, 64, 16), voxel=(3.0, 3.0, 8.0), volumes=20)))
        filler.write_bytes(bytes(3_600_000))
        words = [word if word != node.outbox else outbox for word in node.words(pacs.url, "--watermark", "0")]
        sender = node.start(*words)
        until_said(sender, "no space left")
        filler.unlink()
        until(lambda: None if len(pacs.files()) == 20 else fail(), "not all have arrived")
        kill(sender)
        assert_clean(pacs.files(), 20)
    finally:
        subprocess.run(["umount", "-l", small], check=False)
