"""What the kernel and watchdog tell of a real folder."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtbids.clock import CLOCK
from rtbids.convert.dicom import Instance
from rtbids.replay.scanner import Arrival, Phantom, dicoms, scan
from rtbids.watch.changes import Change, Changes, Kind
from rtbids.watch.directory import instances
from rtbids.watch.inotify import Inotify
from rtbids.watch.observer import Observed

pytestmark = pytest.mark.alone

RUN = list(dicoms(Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 14.0), volumes=3)))


@pytest.fixture(params=[Inotify, Observed])
def changes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Changes]:
    made: Changes = request.param(str(tmp_path))
    yield made
    made.close()


def told(changes: Changes, wanted: Change) -> list[Change]:
    """Everything told up to `wanted`."""
    seen: list[Change] = []
    deadline = CLOCK.now() + 20.0
    while wanted not in seen:
        assert CLOCK.now() < deadline, f"told: {seen}"
        events = changes.fileno()
        assert events is not None
        select.select([events], [], [], 1.0)
        seen.extend(changes.read())
    return seen


def test_a_close_is_told(changes: Changes, tmp_path: Path) -> None:
    path = str(tmp_path / "1.dcm")
    with open(path, "wb", buffering=0) as file:
        changes.read()  # the name is there, without content
        file.write(b"x" * 100)
        assert Change(Kind.WHOLE, path) not in changes.read()
    told(changes, Change(Kind.WHOLE, path))


def test_a_rename_is_told_with_the_old_name(changes: Changes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "a").rename(tmp_path / "b")
    told(changes, Change(Kind.WHOLE, str(tmp_path / "b"), str(tmp_path / "a")))


def test_a_new_folder_is_told(changes: Changes, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    told(changes, Change(Kind.FOLDER, str(tmp_path / "deep")))


def test_a_file_in_an_entered_folder_is_told(changes: Changes, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    told(changes, Change(Kind.FOLDER, str(tmp_path / "deep")))
    changes.enter(str(tmp_path / "deep"))
    (tmp_path / "deep" / "1.dcm").write_bytes(b"x")
    told(changes, Change(Kind.WHOLE, str(tmp_path / "deep" / "1.dcm")))


def test_a_link_whose_other_name_is_gone_already_is_told(tmp_path: Path) -> None:
    changes = Inotify(str(tmp_path))
    (tmp_path / ".part").write_bytes(b"x")
    changes.read()
    os.link(tmp_path / ".part", tmp_path / "1.dcm")
    (tmp_path / ".part").unlink()
    assert changes.read() == [Change(Kind.NAMED, str(tmp_path / "1.dcm"))]
    changes.close()


def test_a_folder_moved_away_tells_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "deep").mkdir()
    changes = Inotify(str(tmp_path / "in"))
    changes.enter(str(tmp_path / "in" / "deep"))
    (tmp_path / "in" / "deep").rename(tmp_path / "away")
    changes.read()
    (tmp_path / "away" / "1.dcm").write_bytes(b"x")
    (tmp_path / "in" / "2.dcm").write_bytes(b"x")
    assert {change.path for change in changes.read()} == {str(tmp_path / "in" / "2.dcm")}
    changes.close()


@pytest.mark.parametrize("closes", [True, False])
@pytest.mark.parametrize("how", ["rename", "in place"])
def test_a_run_comes_through_watchdog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Arrival, closes: bool) -> None:
    """As on macOS, where a close is not told, and on Windows."""
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    if not closes:
        monkeypatch.setattr(Observed, "on_closed", lambda self, event: None)
    modes: list[str] = []
    source = instances(tmp_path, poll=False, on_mode=modes.append)
    came: list[Instance] = []
    (tmp_path / "0.dcm").write_bytes(RUN[0])
    came.append(next(source))
    began = CLOCK.now()
    scan(RUN[1:], tmp_path, interval=0, how=how)
    came.extend((next(source), next(source)))
    assert sorted(bytes(instance.content) for instance in came) == sorted(RUN)
    assert CLOCK.now() - began < 1.8, "found by the look every 2 s, not by an event"
    assert modes == ["events (watchdog)"]
    source.close()  # type: ignore[attr-defined]
