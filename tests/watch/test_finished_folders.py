"""Folders as exports, scripts and people leave them: which are handed on, when, and which files of them."""

from __future__ import annotations

import io
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rtbids.clock import CLOCK
from rtbids.convert.dicom import Incomplete
from rtbids.errors import BadData, InputMissing
from rtbids.replay.scanner import Phantom, dicoms
from rtbids.wakeup import Wakeup
from rtbids.watch import complete, finished, folders
from rtbids.watch.finished import Finished, Pending, Rule
from rtbids.watch.looks import Look

pytestmark = pytest.mark.alone

LONG = 20.0  # seconds: the bound of a wait for something that takes less than one
QUIET = 0.15
RUN = list(dicoms(Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 14.0), volumes=5)))
AT_ONCE = Rule(quiet=0.0, time_out=60.0)


class Watching:
    """A watch of a folder in a thread of its own, and what it has handed on."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.batches: list[Finished] = []
        self.held: list[finished.Held] = []
        self._changed, self._stop, ready = threading.Condition(), Wakeup(), threading.Event()
        options = {"rule": Rule(QUIET, 60.0), "stop": self._stop, "on_held": self._tell, **options}
        source = folders.batches(folder, on_mode=lambda mode: ready.set(), **options)
        self._thread = threading.Thread(target=self._run, args=(source,), daemon=True)
        self._thread.start()
        assert ready.wait(LONG)

    def until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, LONG), f"came: {self.labels}, held: {self.held}"

    def came(self, count: int) -> list[Finished]:
        self.until(lambda: len(self.batches) >= count)
        return self.batches

    @property
    def labels(self) -> list[str]:
        return [batch.label for batch in self.batches]

    def ended(self) -> None:
        self._thread.join(LONG)
        assert not self._thread.is_alive()

    def stop(self) -> None:
        self._stop.set()
        self.ended()

    def _tell(self, held: Any) -> None:
        with self._changed:
            self.held = list(held)
            self._changed.notify_all()

    def _run(self, source: Iterator[Finished]) -> None:
        for batch in source:
            with self._changed:
                self.batches.append(batch)
                self._changed.notify_all()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "export").mkdir()
    return tmp_path / "export"


@pytest.fixture
def watch(root: Path) -> Iterator[Callable[..., Watching]]:
    started: list[Watching] = []

    def start(**options: Any) -> Watching:
        started.append(Watching(root, **options))
        return started[-1]

    yield start
    for watching in started:
        watching.stop()


def fill(folder: Path, *contents: bytes, first: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(contents or RUN, first):
        (folder / f"{number:04}.dcm").write_bytes(content)
    return folder


def names(batch: Finished) -> list[str]:
    return [path.name for path in batch.files]


def taken(root: Path, rule: Rule = AT_ONCE, **options: Any) -> list[Finished]:
    """What is there, without waiting."""
    return list(folders.batches(root, wait=False, rule=rule, **options))


@pytest.mark.parametrize("poll", [False, True])
def test_a_folder_is_handed_on_once_when_it_has_been_quiet(watch: Callable[..., Watching], root: Path, poll: bool) -> None:
    watching = watch(poll=poll)
    fill(root / "0001")
    (batch,) = watching.came(1)
    assert (batch.label, batch.root, names(batch)) == ("0001", root / "0001", [f"000{n}.dcm" for n in range(1, 6)])
    assert batch.broken == ()
    assert not batch.spooled
    fill(root / "0002")
    assert [batch.label for batch in watching.came(2)] == ["0001", "0002"]


def test_a_folder_renamed_into_place_is_handed_on_at_once(watch: Callable[..., Watching], root: Path) -> None:
    watching = watch(rule=Rule(quiet=3600.0))
    fill(root / "X.tmp2343").rename(root / "X")
    (batch,) = watching.came(1)
    assert batch.label == "X"
    assert len(batch.files) == 5


def test_all_folders_of_a_tree_renamed_into_place_are_handed_on_at_once(watch: Callable[..., Watching], root: Path) -> None:
    watching = watch(rule=Rule(quiet=3600.0))
    for series in ("1", "2"):
        fill(root / "study.tmp1" / series)
    (root / "study.tmp1").rename(root / "study")
    assert sorted(batch.label for batch in watching.came(2)) == ["1", "2"]


def test_a_folder_moved_in_from_elsewhere_is_handed_on_at_once(
    watch: Callable[..., Watching], root: Path, tmp_path: Path
) -> None:
    watching = watch(rule=Rule(quiet=3600.0))
    fill(tmp_path / "staging" / "X").rename(root / "X")
    assert watching.came(1)[0].label == "X"


def test_a_folder_renamed_into_place_with_half_a_file_waits_for_the_other_half(
    watch: Callable[..., Watching], root: Path
) -> None:
    watching = watch()
    fill(root / "X.tmp", RUN[0], RUN[1][:-100]).rename(root / "X")
    fill(root / "Y")  # handed on, so that X has been looked at for sure
    assert watching.came(1)[0].label == "Y"
    with (root / "X" / "0002.dcm").open("ab") as file:
        file.write(RUN[1][-100:])
    assert names(watching.came(2)[1]) == ["0001.dcm", "0002.dcm"]


@pytest.mark.parametrize("place", ["a", "study/series/1", "."])
def test_what_was_there_before_comes_too_however_deep_it_lies(root: Path, place: str) -> None:
    fill(root / place)
    (batch,) = taken(root)
    assert (batch.label, batch.root) == (Path(place).name or ".", root / place)
    assert len(batch.files) == 5


def test_a_folder_that_holds_files_and_folders_is_a_batch_beside_them(root: Path) -> None:
    fill(fill(root / "study") / "series", *RUN[:2])
    assert [(batch.label, len(batch.files)) for batch in taken(root)] == [("study", 5), ("series", 2)]


@pytest.mark.parametrize("name", ["X.tmp", "X.tmp2343", "X.TMP", "X.part", ".X", "X.err"])
@pytest.mark.parametrize("below", ["", "series"])
def test_a_folder_whose_name_says_that_it_is_unfinished_is_left_alone(root: Path, name: str, below: str) -> None:
    fill(root / name / below)
    fill(root / "good")
    assert [batch.label for batch in taken(root)] == ["good"]


@pytest.mark.parametrize("name", ["0009.dcm.tmp", "0009.dcm.tmp77", "0009.dcm.part", ".0009.dcm", "0009.err"])
def test_a_file_whose_name_says_that_it_is_unfinished_holds_its_folder_back(root: Path, name: str) -> None:
    (fill(root / "X") / name).write_bytes(RUN[0])
    told: list[finished.Held] = []
    assert taken(root, on_held=told.extend) == []
    assert [(held.label, held.reason) for held in told] == [
        ("X", "1 of its files have names that say that they are being written")
    ]


def test_an_incomplete_file_holds_its_folder_back_until_time_is_out(watch: Callable[..., Watching], root: Path) -> None:
    fill(root / "X", RUN[0], RUN[1][:-100])
    assert taken(root) == []
    watching = watch(rule=Rule(QUIET, time_out=0.5))
    (batch,) = watching.came(1)
    assert names(batch) == ["0001.dcm"]
    ((path, reason),) = batch.broken
    assert path.name == "0002.dcm"
    assert "the pixel data end after" in reason


def test_a_file_that_was_given_up_comes_when_it_is_whole_after_all(watch: Callable[..., Watching], root: Path) -> None:
    fill(root / "X", RUN[0], RUN[1][:-100])
    watching = watch(rule=Rule(QUIET, time_out=0.3))
    watching.came(1)
    with (root / "X" / "0002.dcm").open("ab") as file:
        file.write(RUN[1][-100:])
    assert names(watching.came(2)[1]) == ["0002.dcm"]


def test_files_added_later_come_as_one_more_batch(watch: Callable[..., Watching], root: Path) -> None:
    watching = watch()
    fill(root / "X", *RUN[:3])
    watching.came(1)
    fill(root / "X", *RUN[3:], first=4)
    assert [names(batch) for batch in watching.came(2)] == [["0001.dcm", "0002.dcm", "0003.dcm"], ["0004.dcm", "0005.dcm"]]


def test_files_that_go_are_no_news(watch: Callable[..., Watching], root: Path) -> None:
    watching = watch()
    fill(root / "X")
    watching.came(1)
    (root / "X" / "0001.dcm").unlink()
    shutil.rmtree(fill(root / "Y.tmp"))
    fill(root / "Z")
    assert [batch.label for batch in watching.came(2)] == ["X", "Z"]


def test_a_file_that_is_written_anew_after_it_was_handed_on_comes_again(watch: Callable[..., Watching], root: Path) -> None:
    watching = watch()
    fill(root / "X", *RUN[:2])
    watching.came(1)
    (root / "X" / "0001.dcm").write_bytes(RUN[4])
    assert names(watching.came(2)[1]) == ["0001.dcm"]


def test_a_folder_that_an_earlier_process_has_handed_on_is_not_read_again(root: Path) -> None:
    fill(root / "X", RUN[0][:-100])
    fill(root / "Y")
    (batch,) = taken(root, known=lambda files: [path.parent.name for path in files] == ["X"])
    assert (batch.label, len(batch.files)) == ("Y", 5)


def test_new_only_leaves_what_is_there_and_takes_what_is_added(watch: Callable[..., Watching], root: Path) -> None:
    fill(root / "old", *RUN[:2])
    watching = watch(existing=False)
    fill(root / "old", RUN[4], first=5)
    fill(root / "new")
    assert sorted((batch.label, len(batch.files)) for batch in watching.came(2)) == [("new", 5), ("old", 1)]


def test_files_that_are_no_dicom_are_named_and_hold_nothing_back(root: Path) -> None:
    (fill(root / "X", *RUN[:2]) / "readme.dcm").write_text("of the export, 2019")
    (batch,) = taken(root)
    assert len(batch.files) == 2
    assert [(path.name, reason) for path, reason in batch.broken] == [("readme.dcm", "not a DICOM file")]


@pytest.mark.parametrize("name", ["README.txt", "sidecar.JSON", "protocol.pdf"])
def test_notes_beside_images_are_left_out_with_a_line(root: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    (fill(root / "X", *RUN[:2]) / name).write_text("of the export, 2019")
    (batch,) = taken(root)
    assert (len(batch.files), batch.broken) == (2, ())
    assert [record.getMessage() for record in caplog.records] == ["1 file beside images (.txt, .json or the like) left out"]


def test_an_image_that_is_called_like_a_note_is_an_image(root: Path) -> None:
    fill(root / "X", *RUN[:2])
    (root / "X" / "0001.dcm").rename(root / "X" / "0001.txt")
    (batch,) = taken(root)
    assert len(batch.files) == 2


def test_notes_that_are_written_on_later_are_no_batch(watch: Callable[..., Watching], root: Path) -> None:
    fill(root / "X", *RUN[:2])
    watching = watch()
    watching.came(1)
    (root / "X" / "log.txt").write_text("one line")
    fill(root / "Z", *RUN[2:3])
    (root / "X" / "0003.dcm").write_bytes(RUN[3])
    assert sorted((batch.label, len(batch.files), batch.broken) for batch in watching.came(3)) == [
        ("X", 1, ()),
        ("X", 2, ()),
        ("Z", 1, ()),
    ]


def test_a_folder_of_files_that_are_no_images_is_handed_on_as_that_without_the_notes(root: Path) -> None:
    (root / "X").mkdir()
    for name in ("notes.txt", "Quagliarella_Zsofia.dcm.gz"):
        (root / "X" / name).write_text("nothing")
    (batch,) = taken(root)
    assert batch.files == ()
    assert [(path.name, reason) for path, reason in batch.broken] == [("Quagliarella_Zsofia.dcm.gz", "not a DICOM file")]


def test_a_folder_of_notes_alone_is_no_batch_and_that_is_said_once(
    watch: Callable[..., Watching], root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "made").mkdir()
    for name in ("dcm2niix.log", "sub-01_bold.json", "sub-01_bold.nii.gz"):
        (root / "made" / name).write_bytes(b"\x1f\x8bnothing")
    with caplog.at_level(logging.WARNING, "rtbids"):
        watching = watch(poll=True)
        fill(root / "X", RUN[0])
        assert [batch.label for batch in watching.came(1)] == ["X"]
        fill(root / "made", RUN[1])
        assert [(batch.label, len(batch.files), batch.broken) for batch in watching.came(2)][1] == ("made", 1, ())
    said = "3 files left out (.txt, .json, .nii.gz or the like) in a folder that holds no image"
    assert [record.getMessage() for record in caplog.records] == [said]


@pytest.mark.parametrize("name", ["DICOMDIR", "LOCKFILE", "Thumbs.db", ".DS_Store", "._0001.dcm"])
def test_what_lies_about_in_exports_is_passed_over(root: Path, name: str) -> None:
    (fill(root / "X") / name).write_bytes(b"of no interest")
    (batch,) = taken(root)
    assert len(batch.files) == 5
    assert batch.broken == ()


def test_an_empty_folder_is_not_finished(watch: Callable[..., Watching], root: Path) -> None:
    watching = watch()
    (root / "empty").mkdir()
    fill(root / "full")
    assert [batch.label for batch in watching.came(1)] == ["full"]
    fill(root / "empty")
    assert [batch.label for batch in watching.came(2)] == ["full", "empty"]


def test_a_link_must_not_lead_out_of_the_folder(root: Path, tmp_path: Path) -> None:
    outside = fill(tmp_path / "elsewhere")
    fill(root / "X", RUN[0])
    (root / "X" / "inside.dcm").symlink_to(root / "X" / "0001.dcm")
    (root / "X" / "outside.dcm").symlink_to(outside / "0002.dcm")
    (root / "X" / "nothing.dcm").symlink_to(root / "nowhere")
    (root / "Y").symlink_to(outside)
    (batch,) = taken(root)
    assert names(batch) == ["0001.dcm", "inside.dcm"]
    reasons = {path.name: reason for path, reason in batch.broken}
    assert reasons["nothing.dcm"] == "a link to nothing"
    assert "a link that leads out of the watched folder" in reasons["outside.dcm"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may read everything")
def test_a_folder_that_may_not_be_read_is_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(root / "closed").chmod(0)
    told: list[finished.Held] = []
    with caplog.at_level(logging.WARNING, "rtbids"):
        assert taken(root, on_held=told.extend) == []
    assert "a folder in it: cannot be listed (Permission denied)" in caplog.text
    assert [held.reason for held in told] == ["it cannot be listed (Permission denied)"]
    (root / "closed").chmod(0o700)


def test_a_folder_that_never_finishes_is_named_until_it_is(watch: Callable[..., Watching], root: Path) -> None:
    fill(root / "X.tmp1")
    watching = watch(rule=Rule(QUIET, time_out=0.2))
    watching.until(lambda: bool(watching.held))
    assert [(held.label, held.reason) for held in watching.held] == [("X.tmp1", "its name says that it is being written")]
    (root / "X.tmp1").rename(root / "X")
    assert watching.came(1)[0].label == "X"
    watching.until(lambda: not watching.held)


def test_a_folder_renamed_while_it_is_read_comes_whole_under_its_new_name(
    watch: Callable[..., Watching], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, usual = [], complete.check

    def check(path: str) -> Any:
        reads.append(path)
        if len(reads) == 3:
            (root / "X").rename(root / "Y")
        return usual(path)

    monkeypatch.setattr(complete, "check", check)
    watching = watch()
    fill(root / "X")
    (batch,) = watching.came(1)
    assert (batch.label, len(batch.files)) == ("Y", 5)
    assert all(path.exists() for path in batch.files)


@pytest.mark.parametrize("above", ["", "study"])
def test_a_folder_that_is_renamed_after_it_was_handed_on_says_what_it_was_called(
    watch: Callable[..., Watching], root: Path, above: str
) -> None:
    watching = watch(poll=False)
    top = root / (above or "X")
    fill(root / above / "X")
    assert watching.came(1)[0].renamed_from is None
    top.rename(root / "renamed")
    batch = watching.came(2)[1]
    assert batch.renamed_from == root / above / "X"
    assert batch.root == (root / "renamed" / "X" if above else root / "renamed")


def test_a_folder_removed_while_it_is_read_is_forgotten(
    watch: Callable[..., Watching], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = complete.check

    def check(path: str) -> Any:
        if "/X/" in path:
            shutil.rmtree(root / "X")
        return usual(path)

    monkeypatch.setattr(complete, "check", check)
    watching = watch()
    fill(root / "X")
    fill(root / "Z")
    assert watching.came(1)[0].label == "Z"


def test_a_stop_ends_the_reading_of_a_folder_and_the_next_start_finds_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, usual = Wakeup(), complete.check

    def check(path: str) -> Any:
        stop.set()
        return usual(path)

    fill(root / "X")
    monkeypatch.setattr(complete, "check", check)
    assert list(folders.batches(root, rule=AT_ONCE, stop=stop)) == []
    monkeypatch.undo()
    assert len(taken(root)[0].files) == 5


def test_a_watch_ends_after_a_time_without_anything_new(watch: Callable[..., Watching], root: Path) -> None:
    fill(root / "X")
    watching = watch(idle_timeout=0.5)
    watching.ended()
    assert watching.labels == ["X"]


def test_thousands_of_folders_are_handed_on_one_by_one_without_being_kept(root: Path) -> None:
    for number in range(500):
        (root / f"{number:04}").mkdir()
        (root / f"{number:04}" / "1.dcm").write_bytes(RUN[0])
    begun = CLOCK.now()
    source = folders.batches(root, rule=AT_ONCE, wait=False)
    assert next(source).label == "0000"
    assert CLOCK.now() - begun < 2.0  # the first does not wait for the others
    assert sum(1 for _ in source) == 499


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="expected a folder of DICOM files, found nothing"):
        next(folders.batches(tmp_path / "nowhere"))


LOOK = Look(1, 100, 1, 1)


def test_quiet_is_counted_from_the_last_change_where_the_clocks_are_one() -> None:
    pending = finished.seen(None, {"a": LOOK}, newest=90.0, now=100.0, rule=Rule(quiet=5.0))
    assert pending.due(Rule(quiet=5.0)) == 95.0


def test_quiet_is_counted_from_the_first_look_on_a_share() -> None:
    rule = Rule(quiet=5.0, by_times=False)
    pending = finished.seen(None, {"a": LOOK}, newest=90.0, now=100.0, rule=rule)
    assert pending.due(rule) == 105.0
    assert finished.seen(pending, {"a": LOOK}, newest=90.0, now=103.0, rule=rule) is pending
    assert finished.seen(pending, {"a": LOOK._replace(size=101)}, newest=90.0, now=103.0, rule=rule).due(rule) == 108.0


def test_a_time_of_change_that_is_yet_to_come_is_now() -> None:
    assert finished.seen(None, {"a": LOOK}, newest=1e12, now=100.0, rule=Rule()).since == 100.0


def test_what_is_renamed_into_place_is_due_at_once_and_after_a_change_no_more() -> None:
    rule = Rule(quiet=5.0)
    moved = finished.heard(None, 100.0, in_place=True)
    seen = finished.seen(moved, {"a": LOOK}, newest=99.0, now=100.0, rule=rule)
    assert seen.due(rule) == 100.0
    changed = finished.seen(seen, {"a": LOOK, "b": LOOK}, newest=101.0, now=101.5, rule=rule)
    assert changed.due(rule) == 106.0
    assert changed.first == 100.0


def test_a_folder_that_is_held_back_is_due_when_time_is_out() -> None:
    assert Pending(1, 100.0, 90.0, held="incomplete").due(Rule(quiet=5.0, time_out=60.0)) == 160.0


@pytest.mark.parametrize("length", [0, 100, 131, 140, 300, 2000, len(RUN[0]) // 2, len(RUN[0]) - 1])
def test_a_file_that_is_cut_off_is_incomplete(length: int) -> None:
    complete.check_file(io.BytesIO(RUN[0]), "whole")
    with pytest.raises(Incomplete):
        complete.check_file(io.BytesIO(RUN[0][:length]), "cut")


def test_real_files_are_whole_in_every_transfer_syntax_and_no_cut_of_them_is(real_data: Path) -> None:
    checked = 0
    for path in sorted((real_data / "transfer_syntaxes").rglob("*.dcm")):
        content = path.read_bytes()
        complete.check_file(io.BytesIO(content), path.name)
        for part in range(1, 20):
            with pytest.raises(Incomplete):
                complete.check_file(io.BytesIO(content[: len(content) * part // 20]), path.name)
        checked += 1
    assert checked >= 5


@pytest.mark.parametrize(
    ("content", "reason"), [(b"\1" * 200, "not a DICOM file"), (b"PK\3\4" + bytes(200), "not a DICOM file")]
)
def test_what_is_no_dicom_is_said_to_be_none(content: bytes, reason: str) -> None:
    with pytest.raises(BadData, match=reason):
        complete.check_file(io.BytesIO(content), "file")
