"""Series on their way to where they are kept, past kills, absences, full disks and images that must not leave."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome
from pydicom import dcmread
from pydicom.dataset import Dataset

sys.path.append(str(Path(__file__).parent.parent / "send"))

import servers
from forked import Forked
from peers import free_port, until

from rtbids import dicomnet
from rtbids.cli import outbox_tables
from rtbids.clock import CLOCK
from rtbids.deidentify.mapping import Key
from rtbids.replay.scanner import Phantom, dicoms
from rtbids.send.outbox import Outbox
from rtbids.stream import wire

PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 14.0), volumes=12)
PLANTED = {
    "PatientName": "Quagliarella^Zsofia",
    "PatientID": "HOSP-4711-0815",
    "PatientBirthDate": "19710203",
    "InstitutionName": "St Hildegard Infirmary",
    "OperatorsName": "Wobblethorpe^Ebenezer",
    "AccessionNumber": "ACC99881",
    "DeviceSerialNumber": "SN445566",
    "ImageComments": "Quagliarella moved a lot",
}
TOKENS = [b"Quagliarella", b"Zsofia", b"HOSP-4711", b"19710203", b"Hildegard", b"Wobblethorpe", b"ACC99881", b"SN445566"]


def planted(content: bytes) -> bytes:
    image = dcmread(BytesIO(content), force=True)
    for keyword, value in PLANTED.items():
        setattr(image, keyword, value)
    item = Dataset()
    item.PatientName = PLANTED["PatientName"]
    item.RequestingPhysician = "Wobblethorpe^Ebenezer"
    image.RequestAttributesSequence = [item]
    written = BytesIO()
    image.save_as(written)
    return written.getvalue()


def series(number: int, phantom: Phantom = PHANTOM) -> list[bytes]:
    """A run of small images, with a name and more in each."""
    made = [planted(content) for content in dicoms(phantom, number=number)]
    assert all(token in made[0] for token in TOKENS)
    return made


def fill(folder: Path, contents: list[bytes]) -> Path:
    """Write files as an export does: under a name that says so, then renamed."""
    part = folder.with_name(f"{folder.name}.tmp{random.randrange(1000)}")
    part.mkdir(parents=True)
    for number, content in enumerate(contents, 1):
        (part / f"{number:04}.dcm").write_bytes(content)
    part.rename(folder)
    return folder


@dataclass(frozen=True)
class Node:
    """A node of its own: what is exported, the outbox, the key."""

    home: Path
    running: list[Forked] = field(default_factory=list)

    def start(self, *words: object, cwd: Path | None = None) -> Forked:
        self.running.append(Forked([str(word) for word in words], self.home / "said" / str(len(self.running)), cwd))
        return self.running[-1]

    def call(self, *words: object, cwd: Path | None = None) -> Outcome:
        return Outcome(*self.start(*words, cwd=cwd).ended())

    @property
    def export(self) -> Path:
        return self.home / "export"

    @property
    def outbox(self) -> Path:
        return self.home / "outbox"

    def words(self, *arguments: object, source: object = None) -> list[object]:
        first, *rest = arguments
        places = ["--outbox", self.outbox, "--key", self.home / "site.key", "--quiet-time", "0.2"]
        return ["send", source or self.export, first, *rest, *places]

    def once(self, *arguments: object, source: object = None) -> Outcome:
        return self.call(*self.words(*arguments, source=source), "--no-wait")

    def begin(self, *arguments: object, source: object = None) -> Forked:
        return self.start(*self.words(*arguments, source=source))

    def ask(self, verb: str, *arguments: object) -> Outcome:
        return self.call("send", verb, *arguments, "--outbox", self.outbox)

    def status(self) -> dict[str, Any]:
        with Outbox.open(self.outbox, create=False) as outbox:
            return outbox_tables.as_json(outbox, 1, 50)

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        def attempt() -> dict[str, Any]:
            if not (self.outbox / "outbox.sqlite").exists() or not condition(self.status()):
                raise ConnectionError
            return self.status()

        until(attempt, "the outbox never came so far")
        return self.status()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path / "node")
    made.export.mkdir(parents=True)
    Key.make(made.home / "site.key")
    yield made
    for process in made.running:
        process.signal(signal.SIGKILL)


@dataclass(frozen=True)
class Pacs:
    """An Orthanc, as the destination of these tests."""

    orthanc: servers.Orthanc
    received: Path  # a line for each image that has come, whether it was there or not

    @property
    def url(self) -> str:
        return f"dicom://ORTHANC@127.0.0.1:{self.orthanc.dicom}"

    def files(self) -> list[bytes]:
        numbers = json.loads(self.orthanc.ask("GET", "/instances"))
        return [self.orthanc.ask("GET", f"/instances/{number}/file") for number in numbers]

    def stores(self) -> int:
        """How many images have come, those that came again counted again."""
        return len(self.received.read_text().splitlines())

    def clear(self) -> None:
        self.orthanc.clear()
        self.received.write_text("")


@contextmanager
def receiving(folder: Path, **settings: object) -> Iterator[Pacs]:
    """Run an Orthanc that writes down each image that it receives, before it looks whether it has it."""
    folder.mkdir()
    (folder / "received").touch()
    (folder / "count.lua").write_text(COUNT % (folder / "received"))
    with servers.orthanc(folder, OverwriteInstances=True, LuaScripts=[str(folder / "count.lua")], **settings) as orthanc:
        yield Pacs(orthanc, folder / "received")


COUNT = """
function ReceivedInstanceFilter(dicom, origin)
  local file = io.open("%s", "a")
  file:write(dicom["SOPInstanceUID"] .. "\\n")
  file:close()
  return true
end
"""


@pytest.fixture(scope="module")
def one_pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    with receiving(tmp_path_factory.mktemp("pacs") / "orthanc") as pacs:
        yield pacs


@pytest.fixture
def pacs(one_pacs: Pacs) -> Pacs:
    one_pacs.clear()
    return one_pacs


def test_an_image_that_comes_again_is_counted_again(pacs: Pacs) -> None:
    """What tells in these tests that nothing came twice."""
    address = dicomnet.Address("ORTHANC", "127.0.0.1", pacs.orthanc.dicom)
    content = series(7)[0]
    with dicomnet.Sender(address, files=[content]) as modality:
        for _ in range(2):
            modality.send(content)
    assert (len(pacs.files()), pacs.stores()) == (1, 2)


def assert_clean(files: list[bytes], count: int) -> None:
    """Each image there once, and none of what was planted."""
    assert len(files) == count
    assert len({str(dcmread(BytesIO(content)).SOPInstanceUID) for content in files}) == count
    assert [token for token in TOKENS for content in files if token in content] == []


def kill(sender: Forked) -> None:
    assert sender.signal(signal.SIGKILL) == -signal.SIGKILL


def until_said(sender: Forked, text: str) -> None:
    def attempt() -> None:
        if text not in sender.said:
            assert sender.is_alive, sender.said
            raise ConnectionError

    until(attempt, f"it never said {text!r}")


def watching(sender: Forked) -> None:
    until_said(sender, "watching")


def test_folders_that_are_there_arrive_de_identified_and_the_end_says_so(node: Node, pacs: Pacs) -> None:
    for number in (7, 8):
        fill(node.export / str(number), series(number))
    done = node.once(pacs.url)
    assert (done.code, done.out) == (0, b""), done.err
    assert "24 images sent" in done.err
    assert_clean(pacs.files(), 24)
    assert node.once(pacs.url).code == 0
    assert pacs.stores() == 24


def killed_at_random(node: Node, url: str, kills: int, *arguments: object) -> int:
    """Drop a series after another while the sender is killed and started again; return how many images there are."""
    chance = random.Random(4711)
    for number in range(kills):
        fill(node.export / "study" / f"{number:02}", series(number + 1))
        sender = node.begin(url, *arguments)
        watching(sender)
        CLOCK.wait_until(CLOCK.now() + chance.uniform(0.0, 0.5))
        kill(sender)
    done = node.once(url, *arguments)
    assert done.code == 0, done.err
    return kills * PHANTOM.volumes


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_image_arrives_once_though_the_sender_is_killed_twenty_times(node: Node, pacs: Pacs) -> None:
    count = killed_at_random(node, pacs.url, 20)
    assert_clean(pacs.files(), count)
    assert pacs.stores() == count
    assert node.status()["images"]["DONE"] == count
    assert not list((node.outbox / "clean").rglob("*.dcm"))


REAL = ("siemens_mosaic_ve11_rtcloud", "siemens_xa30_enhanced", "ge_mr750_epirt", "philips_enhanced_4vol", "uih_grid_dti")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_real_series_of_several_vendors_arrive_once_though_the_sender_is_killed(
    node: Node, pacs: Pacs, real_data: Path
) -> None:
    count, chance = 0, random.Random(7)
    for name in REAL:
        contents = [path.read_bytes() for path in sorted((real_data / name).rglob("*.dcm"))]
        fill(node.export / name, contents)
        count += len(contents)
        sender = node.begin(pacs.url)
        watching(sender)
        CLOCK.wait_until(CLOCK.now() + chance.uniform(0.0, 1.0))
        kill(sender)
    assert count > 50
    done = node.once(pacs.url)
    assert done.code == 0, done.err
    assert pacs.stores() == count
    assert_clean(pacs.files(), count)
    assert {dcmread(BytesIO(content)).PatientIdentityRemoved for content in pacs.files()} == {"YES"}


STORED = {"s3": r"PUT /\S+\.dcm\S* HTTP/1.1.{0,9} 200", "gs": r"POST /upload/\S+ HTTP/1.1.{0,9} 200"}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_bucket_has_every_image_once_though_the_sender_is_killed(
    node: Node, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    log = node.home / "log"
    with (servers.s3 if scheme == "s3" else servers.gcs)(log) as endpoint:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint)
        where = ["--endpoint", endpoint] if scheme == "s3" else []
        count = killed_at_random(node, f"{scheme}://{servers.BUCKET}/study", 3, *where)
        options = (
            {"client_kwargs": {"endpoint_url": endpoint}} if scheme == "s3" else {"token": "anon", "endpoint_url": endpoint}
        )
        bucket = fsspec.filesystem(scheme, **options)
        paths = [path for path in bucket.find(f"{servers.BUCKET}/study") if path.endswith(".dcm")]
        assert_clean([bucket.cat(path) for path in paths], count)
        assert [token for token in TOKENS for path in paths if token.decode() in path] == []
    stored = re.findall(STORED[scheme], log.read_text())
    assert len(stored) == count


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


def test_two_senders_on_one_outbox_share_the_work_and_send_nothing_twice(node: Node, pacs: Pacs) -> None:
    for number in range(1, 7):
        fill(node.export / str(number), series(number))
    senders = [node.begin(pacs.url) for _ in range(2)]
    node.until(lambda status: status["images"]["DONE"] == 72)
    assert [sender.signal(signal.SIGTERM) for sender in senders] == [143, 143]
    assert_clean(pacs.files(), 72)
    assert pacs.stores() == 72


def test_without_the_key_nothing_leaves_and_no_key_is_made(node: Node, pacs: Pacs) -> None:
    fill(node.export / "7", series(7))
    (node.home / "site.key").unlink()
    done = node.once(pacs.url)
    assert done.code == 66
    assert "no site key at" in done.err
    assert "rtbids deidentify --new-key" in done.err
    assert not (node.home / "site.key").exists()
    assert pacs.files() == []


def test_an_image_that_may_show_a_name_is_set_aside_and_the_others_go(node: Node, pacs: Pacs) -> None:
    contents = series(7)
    image = dcmread(BytesIO(contents[3]))
    image.BurnedInAnnotation = "YES"
    written = BytesIO()
    image.save_as(written)
    contents[3] = written.getvalue()
    fill(node.export / "7", contents)
    (node.export / "7" / "notes.dcm").write_text("of Zsofia Quagliarella")
    done = node.once(pacs.url)
    assert done.code == 65
    assert "rtbids: 2 images in ERROR" in done.err
    assert_clean(pacs.files(), 11)
    reasons = [image["reason"] for image in json.loads(node.ask("show", 1, "--json", "--errors").out)["images"]]
    assert len(reasons) == 2
    assert any("text in its pixels" in reason for reason in reasons), reasons
    aside = [path for path in (node.outbox / "quarantine").rglob("*") if path.is_file()]
    assert contents[3] in [path.read_bytes() for path in aside]
    assert all(path.stat().st_mode & 0o077 == 0 for path in aside)


def test_a_folder_that_never_finishes_is_named_by_the_status(node: Node, pacs: Pacs) -> None:
    (node.export / "X.tmp1").mkdir()
    (node.export / "X.tmp1" / "1.dcm").write_bytes(series(7)[0])
    sender = node.begin(pacs.url, "--time-out", "1")
    found = node.until(lambda status: bool(status["unfinished"]))
    assert [one["reason"] for one in found["unfinished"]] == ["its name says that it is being written"]
    (node.export / "X.tmp1").rename(node.export / "X")
    node.until(lambda status: status["images"]["DONE"] == 1 and not status["unfinished"])
    kill(sender)


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


def fail() -> None:
    raise ConnectionError


def test_series_from_the_network_are_acknowledged_when_they_are_safe_and_arrive_after_a_kill(node: Node, pacs: Pacs) -> None:
    port = free_port()
    source = f"dicom-scp://RTBIDS@127.0.0.1:{port}"
    sender = node.begin(pacs.url, "--quiet-time", "60", source=source)
    watching(sender)
    with dicomnet.Sender(dicomnet.Address("RTBIDS", "127.0.0.1", port), files=series(7)[:1]) as modality:
        for content in series(7):
            modality.send(content)
    kill(sender)
    done = node.once(pacs.url, source=source)
    assert done.code == 0, done.err
    assert_clean(pacs.files(), 12)
    assert not list((node.outbox / "incoming").rglob("*.dcm"))


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


def test_a_folder_of_which_nothing_could_be_used_is_marked_where_that_is_wanted(node: Node, pacs: Pacs) -> None:
    fill(node.export / "bad", [b"no image", b"nor this"])
    fill(node.export / "good", series(7)[:1])
    assert node.once(pacs.url, "--mark-failed").code == 65
    assert sorted(path.name for path in node.export.iterdir()) == ["bad.err", "good"]


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


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere", "dicom://A@b:1"], 66, "nowhere: no such file or folder"),
        ([".", "ftp://host/"], 64, "found ftp://"),
        ([".", "dicom://A@b:1", "--allow-aet", "X"], 64, "--allow-*"),
        ([".", "dicom://A@b:1", "--metrics", "0.0.0.0:9464"], 64, "a port of this machine"),
        ([".", "dicom://A@b:1", "--no-deidentify", "--key", "x"], 64, "--no-deidentify leaves out"),
        ([".", "dicom://A@b:1", "--cleanup", "burn"], 64, "expected keep, delete or move:DIR"),
        ([".", "dicom://A@b:1", "--watermark", "much"], 64, "expected an amount such as 5G"),
        (["status"], 66, "no outbox in"),
        (["stauts"], 66, "did you mean rtbids send status?"),
        (["show", "1"], 66, "no outbox in"),
        (["purge", "--older-than", "long"], 64, "expected a time such as 30d"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(node: Node, tmp_path: Path, words: list[str], code: int, said: str) -> None:
    done = node.call("send", *words, "--outbox", tmp_path / "outbox", cwd=tmp_path)
    assert done.code == code, done.err
    assert done.err.count(said) == 1
    assert "Traceback" not in done.err


def test_an_outbox_inside_the_watched_folder_is_refused(node: Node, pacs: Pacs) -> None:
    done = node.call("send", node.export, pacs.url, "--outbox", node.export / "outbox", "--key", node.home / "site.key")
    assert done.code == 64
    assert "which is watched" in done.err


def test_a_source_of_the_name_of_a_command_is_written_as_a_path(node: Node, pacs: Pacs) -> None:
    fill(node.home / "status", series(7))
    done = node.call(*node.words(pacs.url, source="./status"), "--no-wait", cwd=node.home)
    assert done.code == 0, done.err
    assert_clean(pacs.files(), 12)


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
