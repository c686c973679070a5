"""Sources of which not one image can be converted, series that look like other ones, and numbers that are none."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import FileDataset
from series_of_a_session import write
from test_incomplete import in_tar, written

from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom

PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 12.0), repetition_time=0.5, volumes=6, block=4)
SCRIPT = "def feedback(volume, run):\n    return volume.index\n"
NAMES = ("ProtocolName", "SeriesDescription", "ScanningSequence", "SequenceName", "SequenceVariant", "PulseSequenceName")


def changed(contents: list[bytes], change: Callable[[FileDataset], None]) -> list[bytes]:
    """Return DICOM files after `change` of each, whatever stands in them then."""
    made = []
    for content in contents:
        file = dcmread(BytesIO(content))
        change(file)
        target = BytesIO()
        dcmwrite(target, file)
        made.append(target.getvalue())
    return made


def without_repetition_time(file: FileDataset) -> None:
    del file.RepetitionTime


def anonymised(file: FileDataset) -> None:
    file.remove_private_tags()
    for keyword in NAMES:
        if keyword in file:
            delattr(file, keyword)
    file.NumberOfTemporalPositions = PHANTOM.volumes


@pytest.fixture(scope="module")
def mosaics() -> list[bytes]:
    return list(scanner.dicoms(PHANTOM))


@pytest.fixture(scope="module")
def malformed(mosaics: list[bytes]) -> list[bytes]:
    return changed(mosaics, without_repetition_time)


def test_malformed_series_alone_are_65_though_they_are_kept(malformed, call, tmp_path: Path):
    outcome = call("convert", written(malformed, tmp_path / "export"), "--no-wait", "-o", tmp_path / "study")
    assert outcome.code == 65, outcome.err
    assert "rtbids: the one series that was to be converted could not be, and is kept as DICOM in sourcedata" in outcome.err
    assert "sourcedata: the header has no repetition time" in outcome.err.splitlines()[-1]
    assert len(list((tmp_path / "study" / "sourcedata").rglob("*.dcm"))) == PHANTOM.volumes


def test_the_rest_of_a_cut_volume_alone_is_said_to_be_incomplete(call, tmp_path: Path):
    rest = list(scanner.dicoms(PHANTOM, "slices"))[2:9]
    outcome = call("convert", written(rest, tmp_path / "export"), "--no-wait", "-o", tmp_path / "study")
    assert outcome.code == 65, outcome.err
    assert "no whole volume came, only 7 of 9 slices" in outcome.err.splitlines()[-1]


def test_what_a_rule_puts_aside_does_not_make_a_malformed_series_good(malformed, call, tmp_path: Path):
    export = written(malformed, tmp_path / "export")
    write(export, 1, "localizer")
    assert call("convert", export, "--no-wait", "-o", tmp_path / "study").code == 65


@pytest.mark.parametrize("description", ["localizer", "something odd"])
def test_series_that_a_rule_puts_aside_are_0(description, call, tmp_path: Path):
    write(tmp_path / "export", 1, description)
    outcome = call("convert", tmp_path / "export", "--no-wait", "-o", tmp_path / "study")
    assert outcome.code == 0, outcome.err
    assert list((tmp_path / "study" / "sourcedata").rglob("*.dcm"))


def test_one_image_that_is_placed_makes_it_0(malformed, call, tmp_path: Path):
    export = written(malformed, tmp_path / "export")
    write(export, 2, "t1_mprage_sag")
    outcome = call("convert", export, "--no-wait", "-o", tmp_path / "study")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("kept", [True, False], ids=["with a data set", "without"])
def test_a_run_of_malformed_images_is_65(kept, malformed, call, script, tmp_path: Path):
    place = ("--bids-dir", tmp_path / "study") if kept else ()
    outcome = call("run", script(SCRIPT), written(malformed, tmp_path / "export"), "--no-wait", *place)
    assert outcome.code == 65, outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("what", ["malformed", "no DICOM"])
def test_a_stream_of_nothing_good_is_65(what, malformed, call):
    files = malformed if what == "malformed" else [b"no image"] * 3
    outcome = call("convert", "-", "--to", "-", stdin=in_tar(files))
    assert outcome.code == 65, outcome.err
    said = "not one volume could be made of 6 images" if what == "malformed" else "none among 3 files"
    assert said in outcome.err.splitlines()[-1]


@pytest.mark.parametrize("kept", [True, False], ids=["with a data set", "without"])
def test_a_series_that_has_lost_its_names_is_put_aside_with_a_hint_and_taken_by_its_number(kept, call, tmp_path: Path):
    files = changed(list(scanner.dicoms(PHANTOM, "slices")), anonymised)
    export = written(files, tmp_path / "export")
    place = ("-o", tmp_path / "study") if kept else ("--to", tmp_path / "volumes.tar")
    outcome = call("convert", export, "--no-wait", *place)
    assert outcome.code == 0, outcome.err
    assert "if it is functional, --series 7 takes it as such" in outcome.err
    again = call("convert", export, "--no-wait", "--series", "7", "-o", tmp_path / "another")
    assert "6 volumes in" in again.err


def test_few_volumes_are_no_reason_for_a_hint(call, tmp_path: Path):
    write(tmp_path / "export", 3, "something odd", volumes=2)
    outcome = call("convert", tmp_path / "export", "--no-wait", "-o", tmp_path / "study")
    assert "no rule of the session map fits" in outcome.err
    assert "--series" not in outcome.err


@pytest.mark.parametrize("number", ["", "abc", str(2**40), "-5", "1e400", "3\\4"])
def test_a_series_number_may_be_anything(number, mosaics, call, tmp_path: Path):
    begin = mosaics[0].index(b"\x20\x00\x11\x00IS")  # SeriesNumber, as written by hand: pydicom refuses most of these
    length = int.from_bytes(mosaics[0][begin + 6 : begin + 8], "little")
    text = number.encode() + b" " * (len(number) % 2)
    element = b"\x20\x00\x11\x00IS" + len(text).to_bytes(2, "little") + text
    files = [content[:begin] + element + content[begin + 8 + length :] for content in mosaics]
    export = written(files, tmp_path / "export")
    for command in (("watch",), ("convert",), ("convert", "--check")):
        outcome = call(command[0], export, "--no-wait", "--series", "7", *command[1:])
        assert outcome.code == 18, outcome.err
        assert "no series 7, there are: " in outcome.err


def test_the_classic_export_of_xa_is_picked_by_the_number_that_people_know(call, tmp_path: Path):
    def renumbered(file: FileDataset) -> None:
        file.remove_private_tags()
        file.Manufacturer, file.SoftwareVersions, file.SeriesNumber = "Siemens Healthineers", "syngo MR XA30", 7001

    files = changed(list(scanner.dicoms(PHANTOM, "slices"))[:9], renumbered)
    outcome = call("watch", written(files, tmp_path / "export"), "--no-wait", "--series", "7", "--to", tmp_path / "x.tar")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("runs", ["0", "00", "1,0"])
def test_a_new_run_is_not_numbered_0(runs, mosaics, call, tmp_path: Path):
    outcome = call("convert", written(mosaics, tmp_path / "export"), "--no-wait", "-o", tmp_path / "study", "--run", runs)
    assert outcome.code == 64
    assert "--run 0: runs are counted from 1" in outcome.err
    assert not (tmp_path / "study" / "sub-01").exists()


def test_a_run_that_is_called_0_in_a_data_set_can_be_picked(small, call, tmp_path: Path):
    for file in list(small.file.parent.glob("*run-1*")):
        file.rename(file.with_name(file.name.replace("run-1", "run-0")))
    outcome = call("replay", small.root, "--run", "0", "--speed", "max", "--to", tmp_path / "volumes.tar")
    assert outcome.code == 0, outcome.err
