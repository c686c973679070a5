"""Images sent into buckets and folders: moto's S3, emulators of Google's and Azure's storage, and a disk that is full."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from servers import BUCKET, LONG, azure, certified, free_port, gcs, items, outcome, s3
from web_service import Reply, service

from rtbids.dicomnet import MayNotQuery, NotWanted
from rtbids.errors import ConnectionLost, UsageFault
from rtbids.send import stores
from rtbids.send.cloud import Google
from rtbids.send.destinations import Access, Failure, parse

OTHER = "has another object of this name: its content is not what was sent"


class Place:
    """Where images go in a test, and what lies there."""

    def __init__(self, url: str, files: Any, root: str, access: dict[str, Any]) -> None:
        self.url, self._files, self._root, self.access = url, files, root, access

    def read(self, name: str) -> bytes:
        return bytes(self._files.cat_file(f"{self._root}/{name}"))

    def write(self, name: str, content: bytes) -> None:
        self._files.makedirs(f"{self._root}/{name}".rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(f"{self._root}/{name}", content)

    def names(self) -> set[str]:
        self._files.invalidate_cache()
        return {path.removeprefix(self._root).lstrip("/") for path in self._files.find(self._root)}


@pytest.fixture(scope="module")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        started: dict[str, Any] = {}
        yield started
        for daemon, _ in started.values():
            daemon.__exit__(None, None, None)


@pytest.fixture(params=["s3", "gs", "az", "file"])
def place(request: pytest.FixtureRequest, emulators: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    import fsspec

    kind = request.param
    prefix = f"study/{tmp_path.name}"
    if kind == "file":
        (tmp_path / "to").mkdir()
        return Place(f"file://{tmp_path}/to", fsspec.filesystem("file"), f"{tmp_path}/to", {})
    pytest.importorskip({"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}[kind], reason="pip install 'rtbids[cloud]'")
    if kind not in emulators:
        daemon = {"s3": s3, "gs": gcs, "az": azure}[kind]()
        emulators[kind] = daemon, daemon.__enter__()
    where, root = emulators[kind][1], f"{BUCKET}/{prefix}"
    if kind == "s3":
        return Place(f"s3://{root}", fsspec.filesystem("s3", endpoint_url=where), root, {"endpoint": where})
    if kind == "gs":
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", where)
        return Place(f"gs://{root}", fsspec.filesystem("gcs", token="anon", endpoint_url=where), root, {})
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", where)
    return Place(f"az://{root}", fsspec.filesystem("az", connection_string=where), root, {})


def test_images_become_objects_that_are_byte_for_byte_what_was_sent(place: Place, tmp_path: Path) -> None:
    sent = items(tmp_path / "files")
    assert outcome(place.url, sent, **place.access) == [None] * 3
    assert place.names() == {item.name for item in sent}
    assert all(place.read(item.name) == item.path.read_bytes() for item in sent)


def test_what_was_not_sent_is_not_found(place: Place, tmp_path: Path) -> None:
    sent = items(tmp_path / "files")
    with parse(place.url, Access(**place.access)).open() as connection:
        assert connection.present(sent) == set()
        list(connection.send(sent[:2]))
        assert connection.present(sent) == {item.instance for item in sent[:2]}


def test_the_same_image_again_is_no_failure(place: Place, tmp_path: Path) -> None:
    sent = items(tmp_path / "files")
    assert outcome(place.url, sent, **place.access) == outcome(place.url, sent, **place.access) == [None] * 3


@pytest.mark.parametrize("differs", ["size", "content"])
def test_another_object_of_that_name_is_left_as_it_is(place: Place, tmp_path: Path, differs: str) -> None:
    sent = items(tmp_path / "files")
    there = sent[1].path.read_bytes()[: -1 if differs == "size" else None]
    there = there if differs == "size" else there[:-1] + bytes([there[-1] ^ 1])
    place.write(sent[1].name, there)
    with parse(place.url, Access(**place.access)).open() as connection:
        assert connection.present(sent) == set()
    failures = outcome(place.url, sent, **place.access)
    assert failures == [None, Failure(f"{place.url} {OTHER}", permanent=True), None]
    assert place.read(sent[1].name) == there


def test_a_large_image_goes_in_parts(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = 5 << 20  # the least that S3 takes
    for module in ("rtbids.send.stores", "rtbids.send.cloud"):
        monkeypatch.setattr(sys.modules.get(module) or __import__(module, fromlist=["PART"]), "PART", part)
        monkeypatch.setattr(sys.modules[module], "WHOLE", 2 * part)
    content = os.urandom(part) * 2 + b"the rest"
    path = tmp_path / "large"
    path.write_bytes(content)
    item = replace(items(tmp_path / "files")[0], path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    assert outcome(place.url, [item], **place.access) == [None]
    assert place.read(item.name) == content
    assert outcome(place.url, [item], **place.access) == [None]
    assert list(stores.pieces(path, part))[-1] == b"the rest"


@pytest.mark.parametrize("name", ["../out.dcm", "a//b.dcm", "/etc/passwd", "a/./b", "a\\b", "a\nb", ""])
def test_a_name_that_leads_elsewhere_is_refused(place: Place, tmp_path: Path, name: str) -> None:
    sent = [replace(item, name=name) for item in items(tmp_path / "files")[:1]]
    assert outcome(place.url, sent, **place.access) == [Failure("its identifiers make no name of an object", permanent=True)]


def test_a_file_that_is_gone_or_has_changed_is_named_and_the_rest_goes_on(place: Place, tmp_path: Path) -> None:
    sent = items(tmp_path / "files")
    sent[0].path.unlink()
    sent[1].path.write_bytes(b"shorter")
    gone, changed, fine = outcome(place.url, sent, **place.access)
    assert gone == Failure("its file cannot be read: No such file or directory", permanent=True)
    assert changed == Failure("its file has changed since it was made", permanent=True)
    assert fine is None


def test_a_file_whose_content_has_changed_does_not_arrive_in_a_folder(tmp_path: Path) -> None:
    sent = items(tmp_path / "files")[:1]
    sent[0].path.write_bytes(b"x" * sent[0].size)
    (tmp_path / "to").mkdir()
    failures = outcome(f"file://{tmp_path}/to", sent)
    assert failures == [Failure("its file has changed since it was made", permanent=True)]
    assert not [path for path in (tmp_path / "to").rglob("*") if path.is_file()]


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_a_bucket_that_is_not_there_is_said(
    scheme: str, emulators: dict[str, Any], request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if scheme not in emulators:
        pytest.skip("its emulator does not run")
    where = emulators[scheme][1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", where)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", where)
    with pytest.raises(NotWanted, match=f"{scheme}://elsewhere: no such bucket"):
        outcome(f"{scheme}://elsewhere", items(tmp_path), endpoint=where if scheme == "s3" else None)


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost, match=r"no such folder: make it, or mount it") as lost:
        outcome(f"file://{tmp_path}/to", items(tmp_path / "files"))
    assert not isinstance(lost.value, NotWanted)
    assert not (tmp_path / "to").exists()


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    sent = items(tmp_path / "files")[:1]
    (tmp_path / "to").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "to" / sent[0].name.split("/")[0]).symlink_to(tmp_path / "outside")
    with pytest.raises(NotWanted, match="does not let us in"):
        outcome(f"file://{tmp_path}/to", sent)
    assert not list((tmp_path / "outside").iterdir())


def test_a_disk_that_is_full_is_tried_again_and_nothing_half_is_left(tmp_path: Path) -> None:
    import subprocess

    to = tmp_path / "to"
    to.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(to)], check=False, stderr=-1).returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        (to / "filler").write_bytes(b"x" * 60_000)
        failures = outcome(f"file://{to}", items(tmp_path / "files"))
        assert failures[-1] == Failure(f"file://{to}: no space left", permanent=False)
        assert not list(to.rglob("*.part"))
    finally:
        subprocess.run(["umount", str(to)], check=True)


def error(code: str, message: str = "as told") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs", reason="pip install 'rtbids[cloud]'")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hidden")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.mark.usefixtures("keys")
def test_a_bucket_that_asks_for_less_haste_is_tried_again(tmp_path: Path) -> None:
    with service(lambda request: Reply(404 if request.method == "HEAD" else 503, error("SlowDown"))) as web:
        failures = outcome("s3://bucket", items(tmp_path)[:1], endpoint=f"http://127.0.0.1:{web.port}")
    assert failures == [Failure("s3://bucket does not take it now (EBUSY)", permanent=False)]


@pytest.mark.usefixtures("keys")
def test_a_bucket_that_cannot_say_now_what_it_has_is_asked_again_later(tmp_path: Path) -> None:
    with service(lambda request: Reply(503, error("SlowDown"))) as web:  # noqa: SIM117
        with parse("s3://bucket", Access(endpoint=f"http://127.0.0.1:{web.port}")).open() as connection:
            with pytest.raises(ConnectionLost, match=r"does not take it now \(EBUSY\)"):
                connection.present(items(tmp_path)[:1])


@pytest.mark.usefixtures("keys")
def test_a_bucket_that_does_not_let_us_in_is_said_without_our_keys(tmp_path: Path) -> None:
    with (
        service(lambda request: Reply(403, error("AccessDenied"))) as web,
        pytest.raises(NotWanted, match="s3://bucket does not let us in") as refused,
    ):
        outcome("s3://bucket", items(tmp_path)[:1], endpoint=f"http://127.0.0.1:{web.port}")
    assert "hidden" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.usefixtures("keys")
def test_who_may_only_write_has_its_word_taken_where_that_is_asked_for(tmp_path: Path) -> None:
    with service(lambda request: Reply(403 if request.method == "HEAD" else 200)) as web:
        access = Access(endpoint=f"http://127.0.0.1:{web.port}")
        sent = items(tmp_path)[:1]
        assert outcome("s3://bucket", sent, endpoint=access.endpoint, verify="status") == [None]
        with parse("s3://bucket", access).open() as connection, pytest.raises(MayNotQuery, match="does not let us look"):
            connection.present(sent)


@pytest.mark.usefixtures("keys")
def test_nobody_there_is_a_lost_connection(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost, match="nobody answers there") as lost:
        outcome("s3://bucket", items(tmp_path)[:1], endpoint=f"http://127.0.0.1:{free_port()}")
    assert not isinstance(lost.value, NotWanted)


@pytest.mark.usefixtures("keys")
def test_no_answer_in_the_time_that_was_set_is_a_lost_connection(tmp_path: Path) -> None:
    import threading

    over = threading.Event()

    def hang(request: Any) -> Reply:
        over.wait(LONG)
        return Reply()

    with service(hang) as web:
        try:
            with pytest.raises(ConnectionLost, match="has not answered in time"):
                outcome("s3://bucket", items(tmp_path)[:1], endpoint=f"http://127.0.0.1:{web.port}", timeout=0.5)
        finally:
            over.set()


def test_keys_come_from_a_file_under_the_name_of_the_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs", reason="pip install 'rtbids[cloud]'")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    secrets = tmp_path / "secrets"
    secrets.write_text("machine bucket login AKEY password hidden\n")
    secrets.chmod(0o600)
    with service(lambda request: Reply(404)) as web, pytest.raises(NotWanted):
        outcome("s3://bucket", items(tmp_path / "f")[:1], endpoint=f"http://127.0.0.1:{web.port}", credentials=secrets)
    assert "Credential=AKEY/" in web.requests[0].headers["Authorization"]


def test_the_key_of_a_service_account_comes_from_a_file_of_the_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gcsfs", reason="pip install 'rtbids[cloud]'")
    _, key = certified(tmp_path, by_rsa=True)
    account = {
        "type": "service_account",
        "project_id": "test",
        "private_key_id": "1",
        "private_key": key.read_text(),
        "client_email": "node@example.org",
        "token_uri": "http://127.0.0.1/token",
    }
    secrets = tmp_path / "account.json"
    secrets.write_text(json.dumps(account))
    secrets.chmod(0o600)
    files = Google("gs", "bucket", "", Access(credentials=secrets)).files
    assert files.credentials.credentials.service_account_email == "node@example.org"


@pytest.mark.parametrize(("scheme", "module"), [("s3", "s3fs"), ("gs", "gcsfs"), ("az", "adlfs")])
def test_what_is_not_installed_is_named_with_the_command_that_installs_it(
    scheme: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageFault, match=f"{scheme}:// needs {module}, which is not installed") as lacking:
        parse(f"{scheme}://bucket")
    assert lacking.value.hint == "pip install 'rtbids[cloud]'"


@pytest.mark.parametrize("text", ["s3://", "s3:///prefix", "gs://bucket/../other", "file://host/folder", "file://", "file:///"])
def test_what_names_no_bucket_or_folder_is_a_wrong_option(text: str) -> None:
    with pytest.raises(UsageFault, match="expected "):
        parse(text)
