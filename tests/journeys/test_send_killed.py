"""Each image arrives once in an Orthanc and in buckets though the sender is killed at any moment."""

from __future__ import annotations

import random
import re
from io import BytesIO
from pathlib import Path

import pytest
from peers import free_port
from planted_series import PHANTOM, TOKENS, assert_clean, series
from pydicom import dcmread
from send import servers
from sending import Node, Pacs, fill, kill, watching

from rtbids import dicomnet
from rtbids.clock import CLOCK


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
