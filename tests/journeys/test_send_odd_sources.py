"""Sources that are none, and images that were there and are no more: true words for each."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest
from planted_series import series
from sending import Node, fill

from rtbids.send.found import Found
from rtbids.send.outbox import Outbox


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("link", 66, "link: a link to /nowhere/export, where nothing is"),
        ("socket", 64, "socket: expected a folder, a file or a named pipe, found a socket"),
        (os.devnull, 64, "/dev/null: expected a folder, a file or a named pipe, found a device"),
        ("pipe", 74, "nobody writes pipe: waited 0 s for a writer"),
    ],
)
def test_a_source_that_is_none_is_called_what_it_is(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    os.symlink("/nowhere/export", "link")
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("socket")
    done = node.call(*node.words(f"file://{tmp_path}", source=name), "--no-wait", "--open-timeout", "0", cwd=tmp_path)
    assert (done.code, done.err.count("\n") <= 2) == (code, True), done.err
    assert said in done.err


def test_a_link_to_nothing_beside_images_is_said_to_be_one(node: Node, tmp_path: Path) -> None:
    folder = fill(node.export / "7", series(7)[:2])
    (folder / "link.dcm").symlink_to(folder / "lost.dcm")
    (tmp_path / "far").mkdir()
    done = node.once(f"file://{tmp_path / 'far'}")
    assert done.code == 65
    assert "2 images sent\nrtbids: 1 image in ERROR: a link to nothing\n" in done.err


@pytest.mark.slow
def test_images_whose_folder_somebody_removed_are_told_at_the_end(node: Node, tmp_path: Path) -> None:
    folder = fill((node.export / "7").resolve(), series(7)[:2])
    with Outbox.open(node.outbox) as outbox:
        outbox.add(Found("7", folder, tuple(sorted(folder.iterdir()))))
    shutil.rmtree(folder)
    fill(node.export / "8", series(8)[:2])
    (tmp_path / "far").mkdir()
    done = node.once(f"file://{tmp_path / 'far'}")
    assert done.code == 65
    assert "2 images sent\nrtbids: 2 images in ERROR: its file is gone\n" in done.err
