"""kill -9 at every transaction and file operation, and at random moments: every image arrives, and none twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from send.outbox_parts import FarSide, blank, folder_of, image, in_a_child

from rtbids.send.database import SqliteDatabase
from rtbids.send.found import Found
from rtbids.send.outbox import Outbox
from rtbids.send.pool import run
from rtbids.send.settings import Settings

POINTS = ("fsync", "replace", "unlink", "rmdir", "open")
KILLS = 25


class Executioner:
    """Kills this process before the operation of a given number."""

    def __init__(self, at: int) -> None:
        self._left = at
        self._turn = threading.Lock()

    def tick(self) -> None:
        with self._turn:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()  # a signal to oneself may come a moment later

    def watch(self) -> None:
        for name in POINTS:
            setattr(os, name, self._ticking(getattr(os, name)))
        SqliteDatabase.writing = self._committing(SqliteDatabase.writing)  # type: ignore[method-assign]

    def _ticking(self, operation: Callable) -> Callable:
        def ticking(*args, **kwargs):
            self.tick()
            return operation(*args, **kwargs)

        return ticking

    def _committing(self, writing: Callable) -> Callable:
        @contextmanager
        def ticking(database) -> Iterator:
            with writing(database) as transaction:
                yield transaction
                self.tick()
            self.tick()

        return ticking


def is_killed(child: int) -> bool:
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def work_on(place, batches, settings, before=lambda: None) -> None:
    before()
    with Outbox.open(place / "outbox") as outbox:
        run(outbox, iter(batches), [FarSide(place / "far")], blank, settings, threading.Event())


def has_arrived(place, instances: set[str]) -> None:
    far = FarSide(place / "far")
    assert {file.stem for file in far.folder.glob("*.dcm")} == instances
    assert not [name for name, count in Counter(far.arrivals).items() if count > 1]


@pytest.mark.slow
@pytest.mark.parametrize("raw", ["keep", "delete", "move"])
@pytest.mark.timeout(400)
def test_killed_before_any_one_operation_it_goes_on_without_loss_or_double(raw, tmp_path):
    instances = {blank(image(number)).instance for number in range(3)}
    for point in range(1, 1000):
        place = tmp_path / str(point)
        settings = Settings(watermark=0, raw=raw, archive=place / "archive", workers=1)
        found = folder_of(place / "in" / "series", range(3))
        foreign = found.root / "foreign.txt"
        foreign.write_text("no image")
        batches = [found, Found("foreign", place / "in", (foreign,), spooled=True)]
        killed = is_killed(in_a_child(partial(work_on, place, batches, settings, Executioner(point).watch)))
        work_on(place, batches, settings)
        has_arrived(place, instances)
        with Outbox.open(place / "outbox") as outbox:
            counts = outbox.status().images
            assert (counts["DONE"], counts["ERROR"], sum(counts.values())) == (3, 1, 4)
            aside = [file for file in outbox.folder.quarantine.rglob("*") if file.is_file()]
            assert sorted(file.read_text() for file in aside) == ["no image", "not a DICOM file\n"]
            assert not list(outbox.folder.clean.rglob("*.dcm"))
        assert len(list(found.root.rglob("*.dcm"))) == (3 if raw == "keep" else 0)
        archived = [file.read_bytes() for file in (place / "archive").rglob("*.dcm")]
        assert sorted(archived) == (sorted(map(image, range(3))) if raw == "move" else [])
        shutil.rmtree(place)
        if not killed:
            break
    assert not killed
    assert point > 60, "hardly anything was tried"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_random_moments_each_image_arrives_once(tmp_path):
    found = [folder_of(tmp_path / "in" / f"series-{start}", range(start, start + 50)) for start in range(0, 400, 50)]
    chance = random.Random(5)
    settings = Settings(watermark=0, group=8)
    kills = 0
    for _ in range(10 * KILLS):
        child = in_a_child(lambda: work_on(tmp_path, found, settings))
        killer = threading.Timer(chance.uniform(0.02, 0.4), os.kill, (child, signal.SIGKILL))
        killer.start()
        kills += is_killed(child)
        killer.cancel()
        if kills == KILLS:
            break
    work_on(tmp_path, found, settings)
    has_arrived(tmp_path, {blank(image(number)).instance for number in range(400)})
    with Outbox.open(tmp_path / "outbox") as outbox:
        assert outbox.status().images["DONE"] == 400
    assert kills == KILLS, "it was done too soon"
