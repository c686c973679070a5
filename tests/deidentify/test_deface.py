"""A face is taken out by another program, and what it changed goes back into the slices it came from.

The program is a stand-in: no defacer is part of the tests. What is tested is that it gets the volume where it lies, and that
the images hold its voxels and no others.
"""

import io
import os
import select
import stat
import sys
import tempfile
import textwrap
import time
from dataclasses import replace

import nibabel
import numpy as np
import pydicom
import pytest
from small_image import image, written

from rtbids.cli.defacing import Held, waiting
from rtbids.cli.main import cli, run
from rtbids.deidentify.deface import Defacer, defacer, shows_a_face
from rtbids.deidentify.engine import Deidentifier
from rtbids.deidentify.mapping import Key, Mapping
from rtbids.deidentify.pixels import Refused
from rtbids.deidentify.profile import Profile
from rtbids.deidentify.slices import stacks
from rtbids.errors import UsageFault
from rtbids.wakeup import Wakeup

COUNT = 20
SAGITTAL = [0, 1, 0, 0, 0, -1]  # columns run to the back, rows down; slices from right to left
STAND_IN = """
    import sys
    import nibabel
    import numpy as np
    given = nibabel.load(sys.argv[1])
    voxels = np.asanyarray(given.dataobj).copy()
    i, j, k = np.meshgrid(*map(np.arange, voxels.shape), indexing="ij")
    front = nibabel.affines.apply_affine(given.affine, np.stack([i, j, k], -1))
    voxels[(front[..., 1] > 10) & (front[..., 0] > 0)] = 0
    nibabel.save(nibabel.Nifti1Image(voxels, given.affine), sys.argv[2])
"""


def series(count=COUNT, **values):
    """Slices of a volume in which every voxel differs from its neighbours, sent in no order."""
    random = np.random.default_rng(7)
    voxels = random.integers(1, 4000, (count, 64, 64), dtype=np.uint16)  # slice, row, column
    slices = []
    for number in random.permutation(count):
        where = {"ImagePositionPatient": [float(10 - number), -32.0, 32.0], "ImageOrientationPatient": SAGITTAL}
        given = {"PixelSpacing": [1.0, 1.0], "Modality": "MR", "ScanningSequence": "GR", "SeriesInstanceUID": "1.2.3.4.5.6.7"}
        given |= {"SOPInstanceUID": f"1.2.3.4.5.6.{number + 100}", "InstanceNumber": number + 1, "PatientID": "MRN-4711"}
        slices.append(image(**(given | where | {"PixelData": voxels[number].tobytes()} | values)))
    return slices


def cleaned(datasets):
    engine = Deidentifier(Profile(), Mapping(Key(bytes(32))))
    return [engine.clean(written(dataset)) for dataset in datasets]


def read(cleans):
    return [pydicom.dcmread(io.BytesIO(clean.content)) for clean in cleans]


@pytest.fixture
def program(tmp_path):
    """Make a program of a script, with the interpreter of the tests."""

    def program(script, longest=60.0):
        path = tmp_path / "stand_in.py"
        path.write_text(textwrap.dedent(script))
        return Defacer("stand_in", (sys.executable, str(path), "{input}", "{output}"), longest)

    return program


def test_the_voxels_that_the_program_changed_are_changed_and_no_others(program):
    before = cleaned(series())
    after = program(STAND_IN).deface(before)
    changed = 0
    for old, new in zip(read(before), read(after), strict=True):
        x = -float(old.ImagePositionPatient[0])  # RAS
        y = 32.0 - np.arange(64)  # of the columns
        front = np.broadcast_to((y > 10) & (x > 0), (64, 64))
        assert np.array_equal(new.pixel_array, np.where(front, 0, old.pixel_array))
        changed += front.any()
    assert 0 < changed < COUNT


def test_defaced_images_say_so_and_are_the_same_otherwise(program):
    before = cleaned(series())
    for old, new in zip(read(before), read(program(STAND_IN).deface(before)), strict=True):
        assert new.DeidentificationMethodCodeSequence[-1].CodeValue == "113102"
        assert new.RecognizableVisualFeatures == "NO"
        for dataset in (old, new):
            del dataset.PixelData, dataset.DeidentificationMethodCodeSequence
        del new.RecognizableVisualFeatures
        assert new == old


def test_the_volume_lies_where_dcm2niix_puts_it(tmp_path):
    import dcm2niix

    datasets = series(Manufacturer="ACME", RepetitionTime="9", EchoTime="3", SeriesNumber="1", Rows=64)
    for number, dataset in enumerate(datasets):
        (tmp_path / f"{number}.dcm").write_bytes(written(dataset))
    dcm2niix.main(["-o", str(tmp_path), "-f", "volume", "-z", "n", str(tmp_path)], capture_output=True)
    theirs = nibabel.load(next(tmp_path.glob("*.nii")))
    (stack,) = stacks(datasets)
    ours = nibabel.as_closest_canonical(nibabel.Nifti1Image(stack.voxels, stack.affine))
    theirs = nibabel.as_closest_canonical(theirs)
    assert np.allclose(ours.affine, theirs.affine, atol=1e-4)  # float32 in their header
    assert np.array_equal(np.asanyarray(ours.dataobj), np.asanyarray(theirs.dataobj))


def test_two_echoes_at_the_same_places_are_two_volumes(program):
    second = series(EchoTime="5")
    for number, dataset in enumerate(second):
        dataset.InstanceNumber += COUNT
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.5.7.{number}"
    both = series(EchoTime="3") + second
    assert [len(stack.places) for stack in stacks(both)] == [COUNT, COUNT]
    for stack in stacks(both):
        assert len({both[place].EchoTime for place in stack.places}) == 1
    assert all(one.RecognizableVisualFeatures == "NO" for one in read(program(STAND_IN).deface(cleaned(both))))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import sys; sys.exit('no face found')", "stand_in ended with 1: no face found"),
        ("pass", "left no volume that can be read"),
        ("import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])", "changed nothing"),
        ("import sys; open(sys.argv[2], 'w').write('no volume')", "left no volume that can be read"),
        (
            "import nibabel, numpy as np, sys\n"
            "nibabel.save(nibabel.Nifti1Image(np.zeros((9, 9, 9), 'u2'), np.eye(4)), sys.argv[2])",
            "on another grid",
        ),
        (
            "import nibabel, sys; one = nibabel.load(sys.argv[1]); one.affine[0, 3] += 2\n"
            "nibabel.save(nibabel.Nifti1Image(one.get_fdata() * 0, one.affine), sys.argv[2])",
            "on another grid",
        ),
    ],
)
def test_a_program_that_fails_leaves_the_series_out(program, script, words):
    with pytest.raises(Refused, match=words):
        program(script).deface(cleaned(series()))


def test_a_program_that_hangs_is_ended(program):
    with pytest.raises(Refused, match="did not end within"):
        program("import threading; threading.Event().wait()", longest=1.0).deface(cleaned(series()))


def test_a_program_that_runs_when_all_is_to_end_is_ended_with_what_it_started(program, tmp_path):
    stop, ended = Wakeup(), tmp_path / "ended"
    os.mkfifo(ended)
    reader = os.open(ended, os.O_RDONLY | os.O_NONBLOCK)
    child = f"import os, threading; os.open({str(ended)!r}, os.O_WRONLY); print(1, flush=True); threading.Event().wait()"
    script = f"""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", {child!r}], stdout=subprocess.PIPE)
        child.stdout.readline()
        open({str(tmp_path / "begun")!r}, "w").close()
        child.wait()
    """

    def stopped(seconds):
        if (tmp_path / "begun").exists():
            stop.set()
        return stop.wait(seconds)

    with pytest.raises(Refused, match="was stopped"):
        replace(program(script), stopped=stopped).deface(cleaned(series()))
    until = time.monotonic() + 10
    while time.monotonic() < until:  # an end of file once nobody has the other end: the child is gone
        select.select([reader], [], [], 1)
        try:
            assert os.read(reader, 1) == b""
            break
        except BlockingIOError:
            continue
    else:
        pytest.fail("what the program started lives on")
    os.close(reader)


def test_images_wait_on_the_disk_for_their_owner_only_and_are_gone_afterwards(program, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("rtbids.deidentify.deface.defacer", lambda text: program(STAND_IN))
    given = cleaned(series())
    with waiting("stand_in", Wakeup()) as kept:
        assert all(kept.takes(Held("name", clean)) for clean in given)
        (folder,) = (tmp_path / "scratch").iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert sorted(path.read_bytes() for path in folder.iterdir()) == sorted(clean.content for clean in given)
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
        assert not any(held.clean.content or held.clean.gone for images in kept.series.values() for held in images)
        written_out = []
        kept.finish(written_out.append, lambda *why: pytest.fail(str(why)))
    assert [held.clean.instance for held in written_out] == [clean.instance for clean in given]
    assert all(held.clean.content for held in written_out)
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("datasets", "words"),
    [
        (series(count=3), "a series of 3 slices"),
        (series()[:-1] + series(PixelSpacing=[2.0, 1.0])[-1:], "not all alike"),
        ([one for one in series() if one.InstanceNumber != 7], "not equally distant"),
        (series() + series()[:4], "slices are missing"),
        (series(BitsAllocated=32, PixelData=bytes(16384)), "more than 16 bits"),
        (series(NumberOfFrames="2", PixelData=bytes(16384)), "several frames"),
    ],
)
def test_what_is_no_stack_of_slices_is_refused(program, datasets, words):
    with pytest.raises(Refused, match=words):
        stacks(datasets)


@pytest.mark.parametrize(
    ("values", "face"),
    [
        ({"ScanningSequence": "GR"}, True),
        ({"ScanningSequence": ["GR", "IR"]}, True),
        ({}, True),
        ({"ScanningSequence": "EP"}, False),
        ({"ScanningSequence": ["EP", "GR"]}, False),
        ({"EchoPlanarPulseSequence": "YES"}, False),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, False),
    ],
)
def test_what_is_not_echo_planar_may_show_a_face(values, face):
    (clean,) = cleaned([image(Modality="MR", SOPInstanceUID="1.2.3.4.5.6.7", **values)])
    assert shows_a_face(clean) is face


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nothing", "expected pydeface"),
        ("cp {input}", "expected pydeface"),
        ("'", "expected"),
        ("no-such {input} {output}", "no program"),
    ],
)
def test_a_program_that_cannot_be_meant_is_refused_before_any_work(text, words):
    with pytest.raises(UsageFault, match=words):
        defacer(text)


def test_the_command_writes_defaced_and_functional_images_and_leaves_out_what_could_not_be(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RTBIDS_SITE_KEY", str(tmp_path / "site.key"))
    Key.make(tmp_path / "site.key")
    (tmp_path / "stand_in.py").write_text(textwrap.dedent(STAND_IN))
    others = [image(SOPInstanceUID="1.2.3.4.5.1", SeriesInstanceUID="1.2.3.4.5.2", ScanningSequence="EP", Modality="MR")]
    others += series(count=3, SeriesInstanceUID="1.2.3.4.5.9")
    for number, dataset in enumerate([*series(), *others]):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.5.6.7.{number}"
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / f"in/{number:02}.dcm").write_bytes(written(dataset))
    words = f"{sys.executable} {tmp_path / 'stand_in.py'} {{input}} {{output}}"
    ends = [str(tmp_path / name) for name in ("in", "out")]
    assert run(cli, ["deidentify", *ends, "--deface", words, "--report", str(tmp_path / "r.json")]) == 0
    said = capsys.readouterr().err
    assert "with all 3 images of its series is left out: a series of 3 slices cannot be defaced" in said
    assert "21 files de-identified, 3 refused" in said
    found = [pydicom.dcmread(path) for path in (tmp_path / "out").rglob("*.dcm")]
    assert sorted(one.get("RecognizableVisualFeatures", "-") for one in found) == ["-"] + ["NO"] * COUNT
