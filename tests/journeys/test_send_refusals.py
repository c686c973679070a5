"""What must not leave, what cannot be used, and orders that cannot be followed: each is said, and the rest goes."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pytest
from planted_series import assert_clean, series
from pydicom import dcmread
from sending import Node, Pacs, fill


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


def test_a_folder_of_which_nothing_could_be_used_is_marked_where_that_is_wanted(node: Node, pacs: Pacs) -> None:
    fill(node.export / "bad", [b"no image", b"nor this"])
    fill(node.export / "good", series(7)[:1])
    assert node.once(pacs.url, "--mark-failed").code == 65
    assert sorted(path.name for path in node.export.iterdir()) == ["bad.err", "good"]


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
