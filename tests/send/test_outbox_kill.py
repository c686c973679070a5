"""kill -9 at every transaction and file operation, and at random ones: every image arrives, and none twice."""

from __future__ import annotations

import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
from executioner import Executioner, in_a_child, is_killed
from send.outbox_parts import FarSide, blank, folder_of, image

from rtbids.send.database import SqliteDatabase
from rtbids.send.found import Found
from rtbids.send.outbox import Outbox
from rtbids.send.pool import run
from rtbids.send.postgres import PostgresDatabase
from rtbids.send.settings import Settings

DATABASES = (SqliteDatabase, PostgresDatabase)
KILLS = 25
FARTHEST = 250  # operations that a process lives to do at the most


def far_sides(place, names=("far",)) -> list[FarSide]:
    return [FarSide(place / name, url=f"file:///{name}") for name in names]


def work_on(place, batches, settings, names=("far",), url=None) -> None:
    with Outbox.open(place / "outbox", url) as outbox:
        run(outbox, iter(batches), far_sides(place, names), blank, settings, threading.Event())


def killed_at(operation: int, place, work: Callable[[], None]) -> bool:
    """Do `work` in a process that is killed before an operation; say whether it was, or had fewer to do."""

    def watched() -> None:
        Executioner(operation).watch(*DATABASES)
        work()

    told = place / "fault.txt"
    return is_killed(in_a_child(watched, told), told)


def has_arrived(place, instances: set[str], names=("far",)) -> None:
    for far in far_sides(place, names):
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
        killed = killed_at(point, place, partial(work_on, place, batches, settings))
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
@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
@pytest.mark.timeout(600)
def test_killed_at_random_operations_each_image_arrives_once_at_two_destinations(where, request, tmp_path):
    url = request.getfixturevalue("fresh_database") if where == "postgresql" else None
    found = [folder_of(tmp_path / "in" / f"series-{start}", range(start, start + 50)) for start in range(0, 400, 50)]
    work = partial(work_on, tmp_path, found, Settings(watermark=0, group=8), ("far", "farther"), url)
    chance = random.Random(5)
    for kill in range(KILLS):
        assert killed_at(chance.randrange(1, FARTHEST), tmp_path, work), f"it was done after {kill} kills"
    work()
    has_arrived(tmp_path, {blank(image(number)).instance for number in range(400)}, ("far", "farther"))
    with Outbox.open(tmp_path / "outbox", url) as outbox:
        assert outbox.status().images["DONE"] == 400
