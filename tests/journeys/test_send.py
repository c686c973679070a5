"""Series on their way to where they are kept, from folders, the network and a stream."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from io import BytesIO

from journeys.conftest import Outcome
from planted_series import TOKENS, assert_clean, series
from sending import Node, Pacs, fill, kill

from rtbids import dicomnet
from rtbids.replay.scanner import Phantom
from rtbids.stream import wire


def test_an_image_that_comes_again_is_counted_again(pacs: Pacs) -> None:
    """What tells in these tests that nothing came twice."""
    address = dicomnet.Address("ORTHANC", "127.0.0.1", pacs.orthanc.dicom)
    content = series(7)[0]
    with dicomnet.Sender(address, files=[content]) as modality:
        for _ in range(2):
            modality.send(content)
    assert (len(pacs.files()), pacs.stores()) == (1, 2)


def test_folders_that_are_there_arrive_de_identified_and_the_end_says_so(node: Node, pacs: Pacs) -> None:
    for number in (7, 8):
        fill(node.export / str(number), series(number))
    done = node.once(pacs.url)
    assert (done.code, done.out) == (0, b""), done.err
    assert "24 images sent" in done.err
    assert_clean(pacs.files(), 24)
    assert node.once(pacs.url).code == 0
    assert pacs.stores() == 24


def test_two_senders_on_one_outbox_share_the_work_and_send_nothing_twice(node: Node, pacs: Pacs) -> None:
    for number in range(1, 7):
        fill(node.export / str(number), series(number))
    senders = [node.begin(pacs.url) for _ in range(2)]
    node.until(lambda status: status["images"]["DONE"] == 72)
    assert [sender.signal(signal.SIGTERM) for sender in senders] == [143, 143]
    assert_clean(pacs.files(), 72)
    assert pacs.stores() == 72


def test_a_folder_that_is_renamed_while_it_is_sent_arrives_whole_and_once(node: Node, pacs: Pacs) -> None:
    fill(node.export / "X", series(7, Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 14.0), volumes=100)))
    sender = node.begin(pacs.url)
    node.until(lambda status: status["images"]["PROCESSING"] + status["images"]["DONEPROCESSING"] > 0)
    (node.export / "X").rename(node.export / "Y")
    node.until(lambda status: status["images"]["DONE"] == 100)
    kill(sender)
    assert_clean(pacs.files(), 100)
    assert pacs.stores() == 100
    assert [batch["images"] for batch in node.status()["page"]] == [100]


def test_a_stream_arrives_when_it_has_ended(node: Node, pacs: Pacs, call: Callable[..., Outcome]) -> None:
    stream = BytesIO()
    writer = wire.Writer(stream)
    for number, content in enumerate([*series(7), *series(8)]):
        writer.write(f"{number}.dcm", content)
    writer.close()
    done = call(*node.words(pacs.url, source="-"), stdin=stream.getvalue())
    assert done.code == 0, done.err
    assert_clean(pacs.files(), 24)
    assert node.status()["batches"]["DONE"] == 2


def test_a_source_of_the_name_of_a_command_is_written_as_a_path(node: Node, pacs: Pacs) -> None:
    fill(node.home / "status", series(7))
    done = node.call(*node.words(pacs.url, source="./status"), "--no-wait", cwd=node.home)
    assert done.code == 0, done.err
    assert_clean(pacs.files(), 12)


def test_nothing_that_identifies_is_left_when_all_is_done(node: Node, pacs: Pacs) -> None:
    fill(node.export / "Quagliarella_Zsofia", series(7))
    log = node.home / "log"
    assert node.once(pacs.url, "--cleanup", "delete", "-v", "--log-file", log).code == 0
    left = b"".join(path.read_bytes() for path in node.outbox.rglob("*") if path.is_file()) + log.read_bytes()
    said = [node.ask("status").out, node.ask("show", 1).out, node.ask("times").out]
    assert [token for token in TOKENS if token in left + b"".join(said)] == []
    assert list(node.export.iterdir()) == []


def test_raw_files_go_by_the_policy_and_never_those_with_an_error(node: Node, pacs: Pacs) -> None:
    fill(node.export / "good", series(7))
    bad = series(8)
    fill(node.export / "bad", [bad[0], bad[1][:-100]])
    os.utime(node.export / "bad" / "0002.dcm", (0, 0))
    archive = node.home / "archive"
    assert node.once(pacs.url, "--cleanup", f"move:{archive}", "--time-out", "0").code == 65
    assert len(list((archive / "good").iterdir())) == 12
    assert not (node.export / "good").exists()
    assert (node.export / "bad" / "0001.dcm").exists()
