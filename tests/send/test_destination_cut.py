"""Links that are cut in the midst of what they carry: what arrived is known, the rest is sent, and each image is there once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from servers import BUCKET, PASSWORD, USER, Orthanc, items, orthanc, s3

from rtbids.errors import ConnectionLost
from rtbids.replay.scanner import Phantom, dicoms
from rtbids.send.credentials import PASSWORD as VARIABLE
from rtbids.send.destinations import Access, Item, delivered, parse

RUN = Phantom(shape=(32, 32, 9), voxel=(6.0, 6.0, 14.0), volumes=30)
HALF_OF_IT = 300_000  # of 570 kB
_PIECE = 4096


@contextmanager
def cable(port: int, length: int) -> Iterator[int]:
    """Lead to a port on this machine; cut after so many bytes, in the midst of an image."""
    door = socket.create_server(("127.0.0.1", 0))
    ends: list[socket.socket] = [door]
    left = [length]

    def carry(near: socket.socket, far: socket.socket, *, counted: bool) -> None:
        with suppress(OSError):
            while piece := near.recv(_PIECE):
                left[0] -= len(piece) if counted else 0
                if left[0] < 0:
                    break
                far.sendall(piece)
        for end in (near, far):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def lead() -> None:
        with suppress(OSError):
            while True:
                near, _ = door.accept()
                far = socket.create_connection(("127.0.0.1", port))
                ends.extend((near, far))
                for pair, counted in (((near, far), True), ((far, near), False)):
                    threading.Thread(target=carry, args=pair, kwargs={"counted": counted}, daemon=True).start()

    threading.Thread(target=lead, daemon=True).start()
    try:
        yield door.getsockname()[1]
    finally:
        for end in ends:
            end.close()


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


def cut_and_mended(cut: str, whole: str, sent: list[Item]) -> tuple[int, int]:
    """Send over a link that is cut, then the rest over one that is not; return how many each took."""
    answered: list[Item] = []
    destination = parse(cut)
    with pytest.raises(ConnectionLost), destination.open() as connection:  # noqa: PT012
        for item, failure in connection.send(sent):
            assert failure is None
            answered.append(item)
    destination = parse(whole)
    with destination.open() as connection:
        there = connection.present(sent)
        rest = [item for item in sent if item.instance not in there]
        assert {item.instance for item in answered} <= there
        assert [failure for _, failure in delivered(destination, connection, rest)] == [None] * len(rest)
    return len(there), len(rest)


@pytest.mark.parametrize("kind", ["dicom", "orthanc", "dicomweb"])
def test_a_cable_that_is_cut_loses_and_doubles_nothing(
    pacs: Orthanc, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, PASSWORD)
    pacs.clear()
    sent = items(tmp_path, list(dicoms(RUN)))
    forms = {
        "dicom": ("dicom://ORTHANC@127.0.0.1:{}", pacs.dicom),
        "orthanc": (f"orthanc+http://{USER}@127.0.0.1:{{}}", pacs.http),
        "dicomweb": (f"dicomweb+http://{USER}@127.0.0.1:{{}}/dicom-web", pacs.http),
    }
    form, port = forms[kind]
    with cable(port, HALF_OF_IT) as cut:
        there, rest = cut_and_mended(form.format(cut), form.format(port), sent)
    assert rest > 0
    assert there + rest == len(sent)
    assert pacs.instances() == {item.instance for item in sent}


@pytest.mark.slow
def test_a_cable_to_a_bucket_that_is_cut_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs", reason="pip install 'rtbids[cloud]'")
    for name, value in (("DEFAULT_REGION", "us-east-1"), ("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret")):
        monkeypatch.setenv(f"AWS_{name}", value)
    sent = items(tmp_path, list(dicoms(RUN)))
    with s3() as where, cable(int(where.rpartition(":")[2]), HALF_OF_IT) as cut:
        destination = parse(f"s3://{BUCKET}", Access(endpoint=f"http://127.0.0.1:{cut}"))
        with pytest.raises(ConnectionLost), destination.open() as connection:
            list(connection.send(sent))
        destination = parse(f"s3://{BUCKET}", Access(endpoint=where))
        with destination.open() as connection:
            there = connection.present(sent)
            rest = [item for item in sent if item.instance not in there]
            assert 0 < len(rest) < len(sent)
            assert [failure for _, failure in delivered(destination, connection, rest)] == [None] * len(rest)
        files = s3fs.S3FileSystem(endpoint_url=where, use_listings_cache=False)
        assert {path.partition("/")[2] for path in files.find(BUCKET)} == {item.name for item in sent}
