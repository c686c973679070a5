"""The simulated scanner: runs and DICOM folders leave file by file, on time, in the ways that files arrive."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rtbids.clock import ManualClock
from rtbids.convert import dicom
from rtbids.errors import BadData, CannotWrite, Stopped
from rtbids.replay import arrival, folder, simulator
from rtbids.replay.arrival import Pace
from rtbids.replay.forms import FORMS, Form
from rtbids.replay.plan import Course, Delivery, State
from rtbids.replay.scanner import Phantom, dicoms
from rtbids.replay.simulator import Exported, File
from rtbids.volume import Item, RunEnd, volume_of
from rtbids.wakeup import Wakeup

AFFINE = np.diag([-3.0, 3.0, 4.0, 1.0])
SMALL = Phantom(shape=(6, 8, 3), voxel=(30.0, 25.0, 40.0), volumes=4, repetition_time=2.0)


def run(label: str, indices: list[int], missing: tuple[int, ...] = ()) -> Iterator[Item]:
    entities = {"task": "nf", "run": label}
    for index in indices:
        data = np.full((4, 5, 3), 100 + index, np.int16)
        yield volume_of(data, AFFINE, entities, {"RepetitionTime": 2.0}, index)
    yield RunEnd(entities, len(indices), missing)


def numbers(count: int, step: float = 2.0) -> list[Exported]:
    return [Exported(k * step, step, (File(f"{k}.dcm", lambda k=k: bytes([k] * 400)),)) for k in range(count)]  # type: ignore[misc]


class Listener:
    """A receiver that notes what came when."""

    def __init__(self) -> None:
        self.came: list[tuple[float, str, Delivery]] = []

    def __call__(self, name: str, content: bytes, delivery: Delivery, pace: Pace) -> None:
        self.came.append((pace.clock.now(), name, delivery))


def test_files_leave_on_an_absolute_grid_that_delays_do_not_move() -> None:
    clock, came = ManualClock(100.0), []

    def slow(name: str, content: bytes, delivery: Delivery, pace: Pace) -> None:
        came.append(clock.now())
        clock.advance(3.0 if name == "1.dcm" else 0.5)  # volume 1 takes longer than a TR

    assert simulator.play(numbers(5), Course(), slow, clock=clock) == 5
    assert came == [100.0, 102.0, 105.0, 106.0, 108.0]


@pytest.mark.parametrize(("speed", "moments"), [(1.0, [0.0, 2.0, 4.0]), (4.0, [0.0, 0.5, 1.0]), (None, [0.0, 0.0, 0.0])])
def test_speed_stretches_time(speed: float | None, moments: list[float]) -> None:
    listener = Listener()
    simulator.play(numbers(3), Course(), listener, speed=speed, clock=ManualClock())
    assert [moment for moment, _, _ in listener.came] == moments


def test_a_stop_ends_the_scan_in_the_middle_of_a_wait() -> None:
    stop, sent = Wakeup(), []
    scan = threading.Thread(target=lambda: sent.append(simulator.play(numbers(3, 3600.0), Course(), Listener(), stop=stop)))
    scan.start()
    stop.set()
    scan.join(10)
    assert not scan.is_alive()
    assert sent[0] <= 1


def test_each_run_is_a_series_and_what_is_missing_leaves_its_gap() -> None:
    items = [*run("01", [0, 1, 3], missing=(2,)), *run("02", [0, 1])]
    scan = list(simulator.exported(items, "mosaic", study=9))
    assert [one.moment for one in scan] == [0.0, 2.0, 6.0, 8.0, 10.0]
    assert [one.files[0].name for one in scan] == [
        "009_000001_000001.dcm",
        "009_000001_000002.dcm",
        "009_000001_000004.dcm",
        "009_000002_000001.dcm",
        "009_000002_000002.dcm",
    ]
    assert len({dicom.read(one.files[0].content(), "x", 0.0).dataset.SOPInstanceUID for one in scan}) == 5


def test_two_replays_of_a_run_share_no_image() -> None:
    uids = {
        str(dicom.read(one.files[0].content(), "x", 0.0).dataset.SOPInstanceUID)
        for study in (1, 2)
        for one in simulator.exported(run("01", [0, 1]), "enhanced", study)
    }
    assert len(uids) == 4


@pytest.mark.parametrize("form", FORMS)
def test_a_dicom_folder_leaves_as_it_is_at_its_tr(tmp_path: Path, form: Form) -> None:
    contents = list(dicoms(SMALL, form))
    order = np.random.default_rng(3).permutation(len(contents))
    for name, place in enumerate(order):
        (tmp_path / f"{name:03}.dcm").write_bytes(contents[place])
    (tmp_path / "notes.txt").write_text("no DICOM")
    scan = list(folder.exported(tmp_path))
    assert [one.moment for one in scan] == [0.0, 2.0, 4.0, 6.0]
    assert [file.content() for one in scan for file in one.files] == contents


@pytest.mark.parametrize(("speed", "moments"), [(4.0, [0.0, 0.5, 1.0, 1.5]), (None, [0.0])])
def test_speed_stretches_the_time_of_a_dicom_folder_too(tmp_path: Path, speed: float | None, moments: list[float]) -> None:
    for name, content in enumerate(dicoms(SMALL, "slices")):
        (tmp_path / f"{name:03}.dcm").write_bytes(content)
    listener = Listener()
    simulator.play(folder.exported(tmp_path), Course(), listener, speed=speed, clock=ManualClock())
    assert sorted({moment for moment, _, _ in listener.came}) == moments


@pytest.mark.parametrize(
    ("name", "volumes", "files", "step"),
    [
        ("siemens_mosaic_vb17_nf", 6, 1, 1.97),
        ("siemens_xa30_enhanced", 10, 1, 1.0),
        ("ge_architect_groupdelay", 3, 32, 2.033),
        ("philips_classic_oneback", 6, 35, 2.0),
        ("philips_enhanced_4vol", 1, 1, 3.0),
        ("canon_classic_dti", 1, 80, 1.0),  # diffusion is not functional: it leaves as a whole
    ],
)
def test_real_series_leave_volume_by_volume(real_data: Path, name: str, volumes: int, files: int, step: float) -> None:
    scan = list(folder.exported(real_data / name / "dicom"))
    assert [len(one.files) for one in scan] == [files] * volumes
    assert [one.moment for one in scan] == pytest.approx([k * step for k in range(volumes)])


def test_series_follow_one_another(tmp_path: Path) -> None:
    for number in (9, 4):
        for index, content in enumerate(dicoms(SMALL, number=number)):
            (tmp_path / f"{number}-{index}.dcm").write_bytes(content)
    scan = list(folder.exported(tmp_path))
    assert [one.files[0].name[0] for one in scan] == list("44449999")
    assert [one.moment for one in scan] == [2.0 * k for k in range(8)]


def test_a_folder_without_images_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no DICOM")
    with pytest.raises(BadData, match="found none"):
        list(folder.exported(tmp_path))


@pytest.mark.parametrize("how", ["rename", "in place"])
def test_a_faultless_file_is_there_whole_and_nothing_else(tmp_path: Path, how: arrival.Arrival) -> None:
    receive = arrival.into(tmp_path, how)
    receive("deep/1.dcm", b"content", Delivery(0, 0.0), Pace(ManualClock()))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["1.dcm"]
    assert (tmp_path / "deep" / "1.dcm").read_bytes() == b"content"


def test_a_copy_has_another_name_and_a_truncated_file_ends_in_the_middle(tmp_path: Path) -> None:
    receive = arrival.into(tmp_path, "rename")
    receive("1.dcm", b"0123456789", Delivery(0, 0.0, copy=True), Pace(ManualClock()))
    receive("2.dcm", b"0123456789", Delivery(0, 0.0, state="truncated"), Pace(ManualClock()))
    assert (tmp_path / "1_copy.dcm").read_bytes() == b"0123456789"
    assert (tmp_path / "2.dcm").read_bytes() == b"01234"


class Watching(ManualClock):
    """A clock that looks at a file whenever somebody waits."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.seen = path, list[tuple[float, bytes]]()

    def wait_until(self, moment: float) -> None:
        if self.path.exists():
            self.seen.append((self.now(), self.path.read_bytes()))
        super().wait_until(moment)


def test_a_preallocated_file_has_its_length_at_once_and_its_pixels_later(tmp_path: Path) -> None:
    clock = Watching(tmp_path / "1.dcm")
    arrival.into(tmp_path, "rename")("1.dcm", b"01234567", Delivery(0, 0.0, 1.0, "preallocated"), Pace(clock))
    assert clock.seen == [(0.0, b"01" + bytes(6))]
    assert (clock.path.read_bytes(), clock.now()) == (b"01234567", 1.0)


def test_a_slow_file_grows_piece_by_piece_for_its_span(tmp_path: Path) -> None:
    clock = Watching(tmp_path / "1.dcm")
    content = bytes(range(160))
    arrival.into(tmp_path, "in place")("1.dcm", content, Delivery(0, 0.0, 1.5), Pace(clock))
    assert [len(found) for _, found in clock.seen] == list(range(0, 160, 10))
    assert [moment for moment, _ in clock.seen] == pytest.approx([0.0, *[0.1 * k for k in range(15)]])
    assert clock.path.read_bytes() == content
    assert clock.now() == pytest.approx(1.5)


class Interrupting(Watching):
    """A clock at which somebody presses Ctrl-C for the second time while a file grows."""

    def wait_until(self, moment: float) -> None:
        super().wait_until(moment)
        if self.path.exists() and self.path.stat().st_size > 50:
            raise Stopped(signal.SIGINT)


@pytest.mark.parametrize("state", ["whole", "preallocated"])
def test_a_file_that_is_interrupted_is_taken_away(tmp_path: Path, state: State) -> None:
    clock = Interrupting(tmp_path / "1.dcm")
    with pytest.raises(Stopped):
        arrival.into(tmp_path, "in place")("1.dcm", bytes(160), Delivery(0, 0.0, 1.5, state), Pace(clock))
    assert clock.seen
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists() or os.geteuid() != 0, reason="needs root, to mount a small disk")
@pytest.mark.parametrize("how", ["rename", "in place"])
def test_a_disk_that_fills_up_keeps_no_half_file(tmp_path: Path, how: arrival.Arrival) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        receive = arrival.into(disk, how)
        receive("1.dcm", bytes(100_000), Delivery(0, 0.0), Pace(ManualClock()))
        with pytest.raises(CannotWrite, match="no space left"):
            receive("2.dcm", bytes(150_000), Delivery(0, 0.0), Pace(ManualClock()))
        assert [path.name for path in disk.iterdir()] == ["1.dcm"]
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    receive = arrival.into(tmp_path / "file", "rename")
    with pytest.raises(CannotWrite, match="file"):
        receive("1.dcm", b"", Delivery(0, 0.0), Pace(ManualClock()))
