"""Files that outlast a kill at any operation, and of which a power cut leaves nothing that is taken for whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from executioner import Executioner, in_a_child, is_killed

from rtbids.errors import BadData
from rtbids.replay.scanner import Phantom, dicoms
from rtbids.watch import durable, mounts
from rtbids.watch.incoming import Incoming
from rtbids.watch.spool import Spool

PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 14.0), volumes=3)
IMAGES = [*dicoms(PHANTOM, number=7), *dicoms(PHANTOM, number=8)][:4]
MOUNTS = "27 1 254:0 / / rw - {} /dev/vda rw\n28 27 0:9 / {}/share rw - nfs4 node:/ rw\n"


@pytest.fixture(params=[True, False], ids=["one fsync", "two"])
def together(request, monkeypatch) -> bool:
    monkeypatch.setattr(durable, "names_come_with_data", lambda folder: request.param)
    return request.param


def kept_by_incoming(folder: Path) -> Callable[[bytes], object]:
    return Incoming(folder).keep


def kept_by_spool(folder: Path) -> Callable[[bytes], object]:
    return Spool(folder, fsync=True).keep


def left_by_incoming(folder: Path) -> list[bytes]:
    found = list(Incoming(folder).leftovers())
    assert not any(batch.broken for batch in found)
    return [path.read_bytes() for batch in found for path in batch.files]


def left_by_spool(folder: Path) -> list[bytes]:
    left = Spool(folder).leftovers
    for path in left:
        durable.check(path)
    return [path.read_bytes() for path in left]


@pytest.mark.parametrize(
    ("opened", "left"), [(kept_by_incoming, left_by_incoming), (kept_by_spool, left_by_spool)], ids=["incoming", "spool"]
)
def test_killed_before_any_one_operation_it_has_every_image_of_which_it_said_so_and_none_in_part(
    opened, left, together, tmp_path
):
    for operation in range(1, 200):
        place = tmp_path / str(operation)
        place.mkdir()

        def work(place: Path = place, operation: int = operation) -> None:
            answers = FileIO(place / "answers", "w")
            Executioner(operation).watch()
            keep = opened(place / "kept")
            for content in IMAGES:
                keep(content)
                answers.write(b"!")

        killed = is_killed(in_a_child(work, place / "fault"), place / "fault")
        answered = (place / "answers").stat().st_size
        there = left(place / "kept")
        assert there == IMAGES[: len(there)]
        assert answered <= len(there) <= answered + 1
        assert not list(place.rglob("*.part"))
        if not killed:
            break
    assert answered == len(IMAGES)
    assert operation > 20, "hardly anything was tried"


def test_the_name_is_given_before_the_one_fsync_or_between_two(together, tmp_path, monkeypatch):
    done: list[str] = []

    def noting(word: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: (done.append(word), operation(*arguments))[1]

    monkeypatch.setattr(os, "fsync", noting("fsync", os.fsync))
    monkeypatch.setattr(os, "rename", noting("rename", os.rename))
    durable.write(IMAGES[0], tmp_path / "1.dcm", fsync=True, together=together)
    assert done == (["rename", "fsync"] if together else ["fsync", "rename", "fsync"])


@pytest.mark.parametrize(
    ("kind", "expected"), [("ext4", True), ("xfs", True), ("btrfs", True), ("ext3", False), ("overlay", False)]
)
def test_one_fsync_is_for_file_systems_that_put_names_there_with_data(kind, expected, tmp_path, monkeypatch):
    (tmp_path / "mountinfo").write_text(MOUNTS.format(kind, tmp_path))
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mountinfo")
    assert durable.names_come_with_data(tmp_path) is expected
    assert not durable.names_come_with_data(tmp_path / "share")
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "not there")
    assert not durable.names_come_with_data(tmp_path)


@pytest.mark.parametrize(
    "torn", [IMAGES[0][:-1], IMAGES[0][:-4000] + bytes(4000), bytes(len(IMAGES[0]))], ids=["cut", "tail", "all"]
)
def test_what_a_power_cut_has_torn_is_told_from_what_was_written(torn, tmp_path):
    path = tmp_path / durable.name(1, 6, IMAGES[0])
    durable.write(IMAGES[0], path, fsync=True)
    durable.check(path)
    path.write_bytes(torn)
    with pytest.raises(BadData, match="not those that came"):
        durable.check(path)


def test_a_series_that_a_power_cut_has_torn_keeps_what_was_whole_and_names_the_rest(tmp_path):
    incoming = Incoming(tmp_path)
    for content in IMAGES[:3]:
        incoming.keep(content)
    first, second, third = sorted(tmp_path.rglob("*.dcm"))
    second.write_bytes(IMAGES[1][:-4000] + bytes(4000))
    third.write_bytes(b"")
    os.close(incoming._held)
    (left,) = Incoming(tmp_path).leftovers()
    assert left.files == (first,)
    assert [path for path, _ in left.broken] == [second]
    assert not third.exists()


def test_the_first_image_that_is_kept_of_a_series_is_said_to_be_so(tmp_path):
    incoming = Incoming(tmp_path)
    assert [incoming.keep(content) for content in IMAGES] == [True, False, False, True]
    list(incoming.finished(everything=True))
    assert incoming.keep(IMAGES[1])
