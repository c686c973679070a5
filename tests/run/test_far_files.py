"""Files of experiments on another machine, and what goes wrong while they are copied: it costs no other experiment anything."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run.far_lanes import ANSWERS, far_lane, statuses
from run.sessions import Lines, Loop, session, volume
from stream.link_ends import Limited, wait_for

from rtbids.errors import CannotWrite, InputMissing, StreamBroken
from rtbids.pipeline import Inbox
from rtbids.run.far import manifest, parcel
from rtbids.run.far.announcing import Announcing
from rtbids.run.far.bridge import SIGN_OF_LIFE
from rtbids.run.far.fetching import AHEAD, PIECE, Fetching, Piece
from rtbids.run.far.manifest import Entry
from rtbids.run.far.parcel import Packing
from rtbids.run.far.store import NotAsNamed, Store
from rtbids.run.lanes import Lane
from rtbids.run.process import told
from rtbids.run.process.channel import Channel
from rtbids.run.recipe import recipe
from rtbids.volume import Item

SIZE = 1_000_000
READS = """
import os
from pathlib import Path

HERE = Path(__file__).parent

def feedback(volume, run):
    return {path.name: [len(path.read_bytes()), os.access(path, os.X_OK)] for path in sorted(HERE.glob("*.bin"))}
"""
BREAKS_OFF = """
import gc

from rtbids.run.process.channel import Channel

LINES = {1: {"say": "console"}, 2: {"say": "ended", "entities": {"run": []}}}

def feedback(volume, run):
    if volume.index in LINES:
        next(each for each in gc.get_objects() if isinstance(each, Channel)).send(LINES[volume.index])
    return volume.index
"""


def noise(seed: int, size: int = SIZE) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def folder_of(tmp_path: Path, name: str, **files: bytes) -> Path:
    (folder := tmp_path / name).mkdir()
    for each, content in files.items():
        (folder / f"{each}.bin").write_bytes(content)
    return folder


def test_a_far_side_that_is_lost_while_files_cross_is_sent_them_anew(tmp_path, far_side):
    folder, kept, connections = folder_of(tmp_path, "one", large=noise(0)), Lines(), []
    with far_side() as (launcher, road, link):

        def shape(near: Any, far: Any) -> tuple[Any, Any]:
            connections.append(near)
            if len(connections) == 2:
                road.keeper.lose()
            return (Limited(near, SIZE // 2) if len(connections) == 1 else near), far

        road.shape = shape
        road.cut()
        wait_for(link, lambda: connections and link._shared.connection is not None)
        session([far_lane(launcher, folder, READS, kept)]).run(Inbox(iter([volume(0)])))
        assert link.state.renewed == 1
    assert [row["value"] for row in kept.rows] == [{"large.bin": [SIZE, False]}]


def test_a_script_shows_signs_of_life_while_its_files_cross(tmp_path, far_side):
    folder = folder_of(tmp_path, "one", large=noise(0, 3 * SIGN_OF_LIFE))
    (folder / "experiment.py").write_text(READS)
    with far_side() as (launcher, _, _), closing(launcher.seat()) as seat, seat.start() as end:
        end.setblocking(True)
        end.sendall(told.load(recipe.read(str(folder)), 0.0))
        channel, said = Channel(end), []
        while "ready" not in said and (message := channel.receive()) is not None:
            said.append(message["say"])
    assert said == ["loading"] * 5 + ["ready"]  # one for the script, three for the large file, and when the script was reached


class AtOnce:
    """What does work aside, and is done at once."""

    def do(self, work: Callable[[], Any], then: Callable[[Any], None], otherwise: Callable[[Exception], None]) -> None:
        then(work())


def test_it_is_known_which_file_is_being_copied(tmp_path):
    folder, sent = folder_of(tmp_path, "one", large=noise(0)), []
    (folder / "experiment.py").write_text(READS)
    load = json.loads(told.load(recipe.read(str(folder)), 0.0))
    announcing = Announcing(load, Packing(), AtOnce(), lambda what, content=None, **fields: sent.append(fields), pytest.fail)
    announcing.announce()
    assert announcing.crossing is None
    for name in ("experiment/experiment.py", "experiment/large.bin"):
        (file,) = [each for each in sent[0]["files"] if each["name"] == name]
        announcing.send({"parcel": 1, "sha256": file["sha256"], "at": 0, "end": 10})
        assert (announcing.crossing.name, announcing.crossing.size) == (name, file["size"])


def test_what_keeps_one_experiment_from_being_copied_costs_no_other(tmp_path, far_side, monkeypatch):
    kept, found = Lines(), []
    listed = Path.iterdir

    def refusing(folder: Path) -> Iterator[Path]:
        if folder.name == "closed":
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", refusing)
    with far_side() as (launcher, _, _):
        run = session([far_lane(launcher, tmp_path / "one", ANSWERS, kept)])
        loop = Loop(run)

        def items() -> Iterator[Item]:
            yield volume(0)
            (folder_of(tmp_path, "unreadable") / "closed").mkdir()
            found.append(loop.join(far_lane(launcher, tmp_path / "unreadable", ANSWERS, kept)))
            shutil.rmtree(tmp_path / "far" / "store")
            large = folder_of(tmp_path, "large", large=noise(0))
            found.append(loop.join(far_lane(launcher, large, ANSWERS, kept)))
            yield volume(1)

        run.run(Inbox(items()))
    assert [type(error) for error in found] == [InputMissing, CannotWrite]
    assert "closed: cannot be looked into (Permission denied)" in str(found[0])
    assert "No such file" in str(found[1])
    assert [row["status"] for row in kept.of("one")] == ["ok", "ok"]


def test_a_file_may_grow_and_another_change_while_they_are_copied(tmp_path, far_side, monkeypatch):
    folder = folder_of(tmp_path, "one", grows=noise(1), changes=noise(2))
    (folder / "changes.bin").chmod(0o755)
    kept, announced = Lines(), []
    with far_side() as (launcher, _, link):
        send = link.send

        def changing(name: str, *parts: Any, **options: Any) -> int:
            if name.endswith("files.json") and not announced:
                announced.append(name)
                (folder / "changes.bin").write_bytes(noise(3))
                with (folder / "grows.bin").open("ab") as file:
                    file.write(b"more")
            return send(name, *parts, **options)

        monkeypatch.setattr(link, "send", changing)
        session([far_lane(launcher, folder, READS, kept)]).run(Inbox(iter([volume(0)])))
    assert announced
    assert [row["value"] for row in kept.rows] == [{"changes.bin": [SIZE, True], "grows.bin": [SIZE + 4, False]}]


class Held:
    """Work that waits until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
        self._work: Callable[..., Any] = getattr(owner, name)
        self.is_armed, self.is_at_it, self.may_go_on = (threading.Event() for _ in range(3))
        monkeypatch.setattr(owner, name, self.do)

    def do(self, *arguments: Any) -> Any:
        if self.is_armed.is_set():
            self.is_at_it.set()
            assert self.may_go_on.wait(60)
        return self._work(*arguments)


def test_reading_and_laying_out_files_makes_no_other_experiment_wait(tmp_path, far_side, monkeypatch):
    works = [Held(monkeypatch, parcel, "digest"), Held(monkeypatch, shutil, "copyfile")]
    kept, told = Lines(), []
    with far_side() as (launcher, _, _):
        run = session([far_lane(launcher, tmp_path / "one", ANSWERS, kept)])
        late = far_lane(launcher, folder_of(tmp_path, "late", large=noise(0)), ANSWERS, kept)
        loop = Loop(run)
        joining = threading.Thread(target=lambda: told.append(loop.join(late)), daemon=True)

        def items() -> Iterator[Item]:
            yield volume(0)
            kept.wait_for("one", 0)
            for work in works:
                work.is_armed.set()
            joining.start()
            for index, work in enumerate(works, 1):
                assert work.is_at_it.wait(30)
                yield volume(index)
                kept.wait_for("one", index)
                work.may_go_on.set()
            joining.join(30)

        run.run(Inbox(items()))
    assert told == [None]
    assert statuses(kept) == [("ok", None)] * 3


def test_few_pieces_are_on_their_way_at_a_time(tmp_path):
    contents = [noise(0), b"", noise(1, PIECE)]
    files = [Entry(f"{n}", hashlib.sha256(each).hexdigest(), len(each), False) for n, each in enumerate(contents)]
    by_hash = dict(zip((file.sha256 for file in files), contents, strict=True))
    store, ended, asked = Store(tmp_path / "store"), [], []
    fetching = Fetching(store, 1, store.lacking(files), asked.append, lambda: ended.append(True))
    most = 0
    while asked:
        most = max(most, len(asked))
        piece: Piece = asked.pop(0)
        assert not ended
        fetching.take(piece.fields, memoryview(by_hash[piece.file.sha256])[piece.at : piece.end])
    assert most == AHEAD
    assert ended == [True]
    assert store.lacking(files) == []


def test_a_content_that_is_not_what_its_name_says_is_not_taken(tmp_path):
    store, asked = Store(tmp_path / "store"), []
    files = [Entry("a", "0" * 64, 4, False)]
    fetching = Fetching(store, 1, store.lacking(files), asked.append, lambda: pytest.fail("it is not there"))
    with pytest.raises(NotAsNamed, match="not what was announced"):
        fetching.take(asked[0].fields, memoryview(b"else"))
    assert store.lacking(files) == files


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b", ""])
def test_a_manifest_that_leads_elsewhere_is_refused(name):
    with pytest.raises(StreamBroken, match="expected a file's name"):
        manifest.checked([asdict(Entry(name, "0" * 64, 1, False))])


def test_a_file_that_was_executable_still_is(tmp_path):
    store, content = Store(tmp_path / "store"), b"#!/bin/sh\n"
    files = [Entry(name, hashlib.sha256(content).hexdigest(), len(content), name == "tool") for name in ("tool", "text")]
    asked: list[Piece] = []
    Fetching(store, 1, store.lacking(files), asked.append, lambda: None).take(asked[0].fields, memoryview(content))
    store.lay_out(files, tmp_path / "laid out")
    assert [oct(os.stat(tmp_path / "laid out" / file.name).st_mode & 0o777) for file in files] == ["0o700", "0o600"]


def test_a_script_there_that_says_what_nobody_can_take_costs_no_other(tmp_path, far_side):
    kept = Lines()
    with far_side() as (launcher, _, _):
        hostile = far_lane(launcher, tmp_path / "hostile", BREAKS_OFF, kept)
        lanes: list[Lane] = [hostile, far_lane(launcher, tmp_path / "one", ANSWERS, kept)]

        def items() -> Iterator[Item]:
            for index in range(4):
                yield volume(index)
                for each in lanes:
                    kept.wait_for(each.name, index)

        session(lanes).run(Inbox(items()))
    assert [row["status"] for row in kept.of("one")] == ["ok"] * 4
    assert [row["status"] for row in kept.of("hostile")] == ["ok", "alternate", "alternate", "ok"]
