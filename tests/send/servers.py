"""What images are sent to in these tests: real servers on this machine, on ports that are free."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

sys.path += [str(Path(__file__).parent.parent / folder) for folder in ("journeys", "watch")]  # peers and certificates

import peers
from certificates import certified
from peers import LONG, free_port, program, running, until

from rtbids.clock import ManualClock
from rtbids.replay.scanner import Phantom, dicoms
from rtbids.send.destinations import Access, Failure, Item, delivered, parse

USER, PASSWORD = "rt", "bids"
BUCKET = "rtb"
_PLUGINS = ("/usr/share/orthanc/plugins/libOrthancDicomWeb.so", "/usr/lib/orthanc/libOrthancDicomWeb.so")
SMALL = Phantom(shape=(8, 8, 4), voxel=(24.0, 24.0, 24.0), volumes=3)


def items(folder: Path, contents: list[bytes] | None = None) -> list[Item]:
    """Write images into files as the outbox keeps them: a run of three volumes where nothing else is said."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = list(dicoms(SMALL)) if contents is None else contents
    return [_item(folder / f"{number:04d}.dcm", content) for number, content in enumerate(contents)]


def _item(path: Path, content: bytes) -> Item:
    path.write_bytes(content)
    image = dcmread(BytesIO(content), stop_before_pixels=True, force=True)
    uid = str(image.SOPInstanceUID)
    return Item(
        path=path,
        sop_class=str(image.SOPClassUID),
        instance=uid,
        series=str(image.SeriesInstanceUID),
        study=str(image.StudyInstanceUID),
        patient=str(image.PatientID),
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        name=f"{image.PatientID or 'nobody'}/{image.StudyInstanceUID}/{image.SeriesInstanceUID}/{uid}.dcm",
        syntax=str(image.file_meta.TransferSyntaxUID),
    )


def outcome(where: str, sent: list[Item], **access: Any) -> list[Failure | None]:
    """Send images; return for each why it has not arrived, without waiting for those that do not."""
    destination = parse(where, Access(**access))
    with destination.open() as connection:
        failures = {item.instance: failure for item, failure in delivered(destination, connection, sent, ManualClock())}
    return [failures[item.instance] for item in sent]


@dataclass(frozen=True)
class Orthanc:
    """An Orthanc that runs: its ports, and what is in it."""

    http: int
    dicom: int

    def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        return ask(self.http, method, path, body)

    def instances(self) -> set[str]:
        """SOP Instance UIDs of all images in it."""
        found = json.loads(self.ask("GET", "/instances?expand"))
        return {image["MainDicomTags"]["SOPInstanceUID"] for image in found}

    def clear(self) -> None:
        for patient in json.loads(self.ask("GET", "/patients")):
            self.ask("DELETE", f"/patients/{patient}")


def ask(port: int, method: str, path: str, body: bytes = b"") -> bytes:
    """Return the answer of a web interface on this machine to its user."""
    import http.client

    word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)) as connection:
        connection.request(method, path, body, {"Authorization": f"Basic {word}"})
        answer = connection.getresponse()
        content = answer.read()
    assert answer.status == 200, (answer.status, content)
    return content


@contextlib.contextmanager
def orthanc(folder: Path, **settings: object) -> Iterator[Orthanc]:
    """Run an Orthanc with DICOMweb that takes images from this machine alone."""
    folder.mkdir(parents=True, exist_ok=True)
    plugin = next((path for path in _PLUGINS if Path(path).is_file()), None)
    if plugin is None:
        pytest.skip("Orthanc's DICOMweb not found: apt-get install orthanc orthanc-dicomweb")
    http, dicom = free_port(), free_port()
    mine = {"AET": "RTBIDS", "Host": "127.0.0.1", "Port": 104, "AllowStore": True, "AllowFind": True, "AllowEcho": True}
    usual = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "DicomModalities": {"rtbids": mine},
        "DicomAlwaysAllowStore": False,
        "DicomAlwaysAllowEcho": False,
        "DicomCheckModalityHost": True,
        "OverwriteInstances": False,
        "Plugins": [plugin],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps({**usual, **settings}))
    with (
        (folder / "orthanc.log").open("wb") as log,
        _running(program("Orthanc"), folder / "orthanc.json", log=log, environment={"TCP_NODELAY": "1"}),
    ):
        until(lambda: ask(http, "GET", "/system"), "Orthanc does not answer")
        yield Orthanc(http, dicom)


@contextlib.contextmanager
def s3(log: Path = Path(os.devnull)) -> Iterator[str]:
    """Run moto's S3, whose `log` has each request; give its address. Its one bucket is BUCKET."""
    port = free_port()
    with log.open("wb") as file, _running(_beside("moto_server"), "-H", "127.0.0.1", "-p", port, log=file):
        until(lambda: _put_bucket(port), "moto_server does not answer")
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def gcs(log: Path = Path(os.devnull)) -> Iterator[str]:
    """Run an emulator of Google's storage, whose `log` has each request; give its address. Its one bucket is BUCKET."""
    port = free_port()
    command = [_beside("gcp-storage-emulator"), "start", "--host", "127.0.0.1", "--port", port]
    with log.open("wb") as file, _running(*command, "--in-memory", "--default-bucket", BUCKET, log=file):
        until(lambda: peers.ask(port, "GET", f"/storage/v1/b/{BUCKET}"), "the emulator of Google's storage does not answer")
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def azure() -> Iterator[str]:
    """Run azurite, an emulator of Azure's storage; give what to connect by. Its one container is BUCKET."""
    from azure.storage.blob import BlobServiceClient

    program = shutil.which("azurite-blob", path=os.environ.get("RTBIDS_AZURITE"))
    if program is None:
        pytest.skip("azurite-blob not found: npm install azurite, and name its folder node_modules/.bin in RTBIDS_AZURITE")
    port = free_port()
    key = base64.b64encode(b"no secret at all").decode()
    account = f"DefaultEndpointsProtocol=http;AccountName=rtb;AccountKey={key};BlobEndpoint=http://127.0.0.1:{port}/rtb;"
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURITE_ACCOUNTS", f"rtb:{key}")
        options = ("--silent", "--skipApiVersionCheck", "--location", folder, "--blobHost", "127.0.0.1", "--blobPort", port)
        with _running(program, *options):
            until(lambda: _listens(port), "azurite does not listen")
            BlobServiceClient.from_connection_string(account).create_container(BUCKET)
            yield account


def _put_bucket(port: int) -> None:
    peers.ask(port, "PUT", f"/{BUCKET}")


def _beside(name: str) -> str:
    """Return a command that was installed beside this Python; skip where it was not."""
    path = Path(sys.executable).parent / name
    if not path.is_file():
        pytest.skip(f"{name} not found: pip install 'rtbids[cloud,test]'")
    return str(path)


@contextlib.contextmanager
def storescp(folder: Path, *options: object, environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """Run dcmtk's storescp, which answers no queries; give its port."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with _running(program("storescp"), *options, "-od", folder, port, environment={"TCP_NODELAY": "1", **(environment or {})}):
        until(lambda: _listens(port), "storescp does not listen")
        yield port


def _listens(port: int) -> None:
    import socket

    socket.create_connection(("127.0.0.1", port), LONG).close()


@contextlib.contextmanager
def _running(
    *command: object, log: object = subprocess.DEVNULL, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        daemon = running(*command, output=log)
        daemon.__enter__()
    try:
        yield
    finally:
        daemon.__exit__(None, None, None)


__all__ = [
    "BUCKET",
    "LONG",
    "PASSWORD",
    "USER",
    "Orthanc",
    "azure",
    "certified",
    "free_port",
    "gcs",
    "items",
    "orthanc",
    "outcome",
    "s3",
    "storescp",
]
