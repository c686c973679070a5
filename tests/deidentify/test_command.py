"""``rtbids deidentify``, as a person or a script calls it: what is written, what is said, how it ends."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tarfile
import time
from io import BytesIO
from pathlib import Path
from typing import Literal

import images
import pytest
from pydicom import dcmread

from rtbids.cli import cleaners, deidentifying
from rtbids.deidentify.mapping import Key, Mapping
from rtbids.errors import BadData

RTBIDS = (sys.executable, "-m", "rtbids", "deidentify")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a key and with what a scanner exported: three images, their names those of the patient."""
    key = tmp_path / "key" / "site.key"
    Key.make(key)
    monkeypatch.setenv("RTBIDS_SITE_KEY", str(key))
    monkeypatch.setenv("COLUMNS", "80")
    export = tmp_path / "export" / "DOE_JANE" / "series1"
    export.mkdir(parents=True)
    for number in range(3):
        (export / f"{number}.dcm").write_bytes(image(number))
    return tmp_path


def image(number: int, **elements: object) -> bytes:
    return images.content(images.header(SOPInstanceUID=f"{images.INSTANCE}.{number}", InstanceNumber=number, **elements))


def call(*arguments: object, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*RTBIDS, *map(str, arguments)], input=given, capture_output=True, timeout=60, check=False)


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode()


def written(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_folder_becomes_a_folder_named_by_new_values(site: Path) -> None:
    done = call(site / "export", site / "clean")
    assert (done.returncode, done.stdout) == (0, b"")
    assert "3 files de-identified" in said(done)
    files = written(site / "clean")
    assert len(files) == 3
    for file in files:
        after = dcmread(file)
        place = file.relative_to(site / "clean").as_posix()
        assert place == f"{after.PatientID}/{after.SeriesInstanceUID}/{after.SOPInstanceUID}.dcm"
        assert b"Doe" not in file.read_bytes()


def test_a_single_file_becomes_a_file_of_the_name_that_is_asked_for(site: Path) -> None:
    source = next((site / "export").rglob("0.dcm"))
    assert call(source, site / "one.dcm").returncode == 0
    assert dcmread(site / "one.dcm").PatientIdentityRemoved == "YES"
    assert call(source, site / "folder").returncode == 0
    assert len(written(site / "folder")) == 1


def test_a_tar_becomes_a_tar_and_standard_input_standard_output(site: Path) -> None:
    with tarfile.open(site / "in.tar", "w") as tar:
        tar.add(site / "export", "export")
    assert call(site / "in.tar", site / "out.tar").returncode == 0
    done = call("-", "-", given=(site / "in.tar").read_bytes())
    assert done.returncode == 0
    for content in ((site / "out.tar").read_bytes(), done.stdout):
        with tarfile.open(fileobj=BytesIO(content)) as tar:
            assert len(tar.getnames()) == 3
            assert not any("DOE" in name for name in tar.getnames())
    assert stat.S_IMODE((site / "out.tar").stat().st_mode) == 0o600


def test_a_stream_that_was_cut_ends_without_its_end_mark(site: Path) -> None:
    with tarfile.open(site / "in.tar", "w") as tar:
        tar.add(site / "export", "export")
    cut = (site / "in.tar").read_bytes()[:5000]
    done = call("-", "-", given=cut)
    assert done.returncode == 74
    assert not done.stdout.endswith(bytes(1024))
    assert call("-", site / "out.tar", given=cut).returncode == 74
    assert not [path for path in site.iterdir() if "out" in path.name]


def test_bad_and_refused_files_are_named_and_left_out(site: Path) -> None:
    folder = next((site / "export").rglob("series1"))
    (folder / "cut.dcm").write_bytes(image(7)[:-100])
    (folder / "notes.txt").write_text("Jane Doe")
    (folder / "screen.dcm").write_bytes(image(8, BurnedInAnnotation="YES"))
    done = call(site / "export", site / "clean", "--log-file", site / "log")
    assert done.returncode == 0
    for name, why in (("cut.dcm", "cut short"), ("notes.txt", "no DICOM file"), ("screen.dcm", "--burned-in")):
        assert [why in line for line in said(done).splitlines() if name in line] == [True]
    assert "3 files de-identified, 1 refused, 2 left out" in said(done)
    assert len(written(site / "clean")) == 3
    log = (site / "log").read_text()
    assert log.count("is left out") == 3
    assert "3 files de-identified, 1 refused, 2 left out" in log
    assert not any(word in log for word in ("DOE", "Jane", "cut.dcm"))


def test_when_nothing_is_good_the_end_is_65_and_an_empty_folder_66(site: Path) -> None:
    (site / "bad").mkdir()
    assert call(site / "bad", site / "clean").returncode == 66
    (site / "bad" / "notes.txt").write_text("Jane Doe")
    done = call(site / "bad", site / "clean")
    assert done.returncode == 65
    assert "rtbids: it could not be de-identified" in said(done)
    assert call(site / "nowhere", site / "clean").returncode == 66
    assert call("-", site / "clean.tar", given=bytes(1024)).returncode == 66
    assert not (site / "clean.tar").exists()


def test_a_folder_that_holds_files_is_written_into_when_that_is_allowed(site: Path) -> None:
    assert call(site / "export", site / "clean").returncode == 0
    before = {path: path.read_bytes() for path in written(site / "clean")}
    done = call(site / "export", site / "clean")
    assert done.returncode == 73
    assert "--overwrite" in said(done)
    assert call(site / "export", site / "clean", "--overwrite").returncode == 0
    assert {path: path.read_bytes() for path in written(site / "clean")} == before


@pytest.mark.parametrize("place", ["export", "export/inside", "."])
def test_a_destination_among_what_is_not_clean_is_refused(site: Path, place: str) -> None:
    done = call(site / "export", site / place)
    assert done.returncode == 64
    assert "lie in each other" in said(done)
    assert not (site / "export" / "inside").exists()


def test_links_and_what_is_no_file_are_named_and_hold_nothing_up(site: Path) -> None:
    folder = site / "export"
    os.mkfifo(folder / "pipe")
    (folder / "nowhere").symlink_to("gone")
    (folder / "round").symlink_to(folder)
    (folder / "linked.dcm").symlink_to(site / "elsewhere.dcm")
    (site / "elsewhere.dcm").write_bytes(image(9))
    (folder / ".hidden").write_bytes(b"x")
    (folder / "coming.dcm.part").write_bytes(b"x")
    done = call(folder, site / "clean")
    assert done.returncode == 0
    assert "4 files de-identified, 3 left out" in said(done)
    for name, why in (("pipe", "no regular file"), ("nowhere", "leads nowhere"), ("round", "link to a folder")):
        assert [why in line for line in said(done).splitlines() if name in line] == [True]


def test_copies_are_left_out_and_the_same_uid_with_other_contents_is_named(site: Path) -> None:
    (site / "export" / "copy.dcm").write_bytes(image(0))
    (site / "export" / "other.dcm").write_bytes(image(0, RepetitionTime="3000"))
    done = call(site / "export", site / "clean")
    assert done.returncode == 0
    assert "SOP Instance UID of another file" in said(done)
    assert "1 cop" in said(done)
    assert len(written(site / "clean")) == 3


def test_a_key_is_made_once_and_a_missing_one_is_said(tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTBIDS_SITE_KEY", str(tmp_path / "other" / "site.key"))
    done = call(site / "export", site / "clean")
    assert done.returncode == 66
    assert "--new-key" in said(done)
    assert not (site / "clean").exists()
    assert call("--new-key").returncode == 0
    assert call("--new-key").returncode == 73
    assert call(site / "export", site / "clean").returncode == 0
    assert call(site / "export", site / "again", "--key", site / "key" / "site.key").returncode == 0
    names = [{path.name for path in written(site / place)} for place in ("clean", "again")]
    assert names[0].isdisjoint(names[1])


def test_options_reach_the_files(site: Path) -> None:
    given = site / "one.dcm"
    given.write_bytes(image(1, PatientAge="097Y", StationName="MR7", InstitutionName="Here", ProtocolName="rest_zauberwald"))
    options = ["--retain", "patient", "--retain", "device", "--retain", "uids", "--dates", "kept", "--keep-word", "Zauberwald"]
    assert call(given, site / "out.dcm", *options).returncode == 0
    after = dcmread(site / "out.dcm")
    assert (after.PatientAge, after.StationName, after.StudyDate) == ("090Y", "MR7", "20190203")
    assert after.ProtocolName == "rest_zauberwald"
    assert after.InstitutionName == "REMOVED"
    assert after.SOPInstanceUID == f"{images.INSTANCE}.1"


@pytest.mark.parametrize(
    "arguments", [[], ["export"], ["ssh://host/x", "clean"], ["export", "dicom://a:1"], ["a", "b", "--dates", "no"]]
)
def test_wrong_calls_are_64_and_say_so_in_a_line(site: Path, arguments: list[str]) -> None:
    done = call(*[site / "export" if word == "export" else word for word in arguments])
    assert done.returncode == 64
    assert len(said(done).splitlines()) <= 2
    assert "Traceback" not in said(done)


def test_a_full_disk_is_said(site: Path) -> None:
    done = call(site / "export", "/dev/full")
    assert done.returncode == 73
    assert len(said(done).splitlines()) <= 2


def test_ctrl_c_ends_in_order_and_leaves_whole_files_only(site: Path) -> None:
    whole = image(1000)
    for number in range(1000, 4000):
        (site / "export" / f"{number}.dcm").write_bytes(whole.replace(b".2014.1.1000", b".2014.1.%d" % number))
    process = subprocess.Popen([*RTBIDS, str(site / "export"), str(site / "clean")], stderr=subprocess.PIPE)
    until = time.monotonic() + 30
    while not ((site / "clean").is_dir() and written(site / "clean")) and time.monotonic() < until:
        os.sched_yield()
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=30)
    assert process.returncode == 130
    files = written(site / "clean")
    assert 0 < len(files) < 3000
    assert all(file.suffix == ".dcm" and dcmread(file).PixelData == images.PIXELS for file in files)
    assert b"Traceback" not in words


@pytest.mark.parametrize("to", ["clean", "clean.tar"])
def test_a_uid_that_is_a_path_leads_nowhere(site: Path, to: str) -> None:
    export = site / "deep" / "er" / "export"
    export.mkdir(parents=True)
    good, uid = image(1), f"{images.INSTANCE}.1".encode()
    bad = b"1.2.840.10008./../../../../esca".ljust(len(uid), b"p")
    (export / "bad.dcm").write_bytes(good.replace(uid, bad))
    (export / "good.dcm").write_bytes(good)
    done = call(export, site / "deep" / "er" / to, "--retain", "uids")
    assert done.returncode == 0
    assert "bad.dcm is left out: a file cannot be named by its UIDs" in said(done)
    assert "1 file de-identified, 1 left out" in said(done)
    assert not list(site.rglob("esca*"))
    if to == "clean":
        assert len(written(site / "deep" / "er" / to)) == 1
    else:
        with tarfile.open(site / "deep" / "er" / to) as tar:
            assert not any(".." in name for name in tar.getnames())


def test_many_files_are_not_written_to_one(site: Path) -> None:
    with tarfile.open(site / "in.tar", "w") as tar:
        tar.add(site / "export", "export")
    for source in (site / "export", site / "in.tar", "-"):
        done = call(source, site / "one.dcm", given=(site / "in.tar").read_bytes())
        assert done.returncode == 64
        assert "is one file" in said(done)
    assert not (site / "one.dcm").exists()


def test_links_in_a_tar_are_named_and_the_rest_is_taken(site: Path) -> None:
    (site / "export" / "to-folder").symlink_to("/etc")
    (site / "export" / "to-file").symlink_to("/etc/passwd")
    (site / "export" / ("long" * 30)).symlink_to("x" * 180)
    os.mkfifo(site / "export" / "pipe")
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(site / "in.tar", "w", format=kind) as tar:
            tar.add(site / "export", "export")
        done = call(site / "in.tar", site / f"clean{kind}")
        assert done.returncode == 0
        assert "3 files de-identified, 4 left out" in said(done)
        for name in ("to-folder", "to-file", "pipe", "long" * 30):
            assert [line for line in said(done).splitlines() if f"{name} is left out: a link or a device" in line]
        assert len(written(site / f"clean{kind}")) == 3


@pytest.mark.parametrize(("mode", "name"), [("w:gz", "gzip"), ("w:bz2", "bzip2"), ("w:xz", "xz")])
def test_a_compressed_tar_is_told_from_a_broken_one(site: Path, mode: Literal["w:gz", "w:bz2", "w:xz"], name: str) -> None:
    with tarfile.open(site / "in.tar.z", mode) as tar:
        tar.add(site / "export", "export")
    for done in (call(site / "in.tar.z", site / "clean"), call("-", site / "clean", given=(site / "in.tar.z").read_bytes())):
        assert done.returncode == 74
        assert f"is compressed ({name}), expected a plain tar stream" in said(done)
        assert "unpack it first" in said(done)


def test_what_lies_about_is_told_in_one_line_where_it_is_much(site: Path) -> None:
    folder = site / "export"
    for name in ("DICOMDIR", "Thumbs.db", "desktop.ini", "LOCKFILE", "VERSION", "doe.txt", "doe.json"):
        (folder / name).write_bytes(b"DOE_JANE, and nothing of an image")
    (folder / "cut.txt").write_bytes(image(9)[:-100])  # an image whatever it is called
    (folder / "cut.dcm").write_bytes(image(8)[:-100])
    done = call(folder, site / "clean", "--log-file", site / "log")
    assert done.returncode == 0
    warnings = [line for line in said(done).splitlines() if line.startswith("warning")]
    assert len(warnings) == 3
    assert "7 files are no DICOM images and are left out: DICOMDIR, LOCKFILE, Thumbs.db and 4 more" in said(done)
    assert all("cut short" in line for line in warnings if "cut." in line)
    assert "3 files de-identified, 9 left out" in said(done)
    log = (site / "log").read_text()
    assert "7 files are no DICOM images" in log
    assert not any(word in log for word in ("doe", "Thumbs", "cut."))


def test_many_files_that_never_were_images_drown_no_other_warning(site: Path) -> None:
    folder = site / "export"
    for number in range(90):
        (folder / f"{number:02}.png").write_bytes(b"\x89PNG of something")
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "zeros.dcm").write_bytes(bytes(5000))
    (folder / "raw.dcm").write_bytes(image(9)[132:1000])
    done = call(folder, site / "clean")
    assert done.returncode == 0
    assert "90 files are no DICOM images and are left out: 00.png, 01.png, 02.png and 87 more" in said(done)
    assert sum(line.startswith("warning") for line in said(done).splitlines()) == 4
    assert all(f"{name}.dcm is left out" in said(done) for name in ("empty", "zeros", "raw"))


def test_a_name_with_a_line_break_is_told_in_one_line(site: Path) -> None:
    (site / "export" / "a\nb.dcm").write_bytes(image(9)[:-100])
    assert "a\\nb.dcm is left out" in said(call(site / "export", site / "clean"))


def test_an_old_tar_is_named(site: Path) -> None:
    content = site / "export" / "DOE_JANE"
    subprocess.run(["tar", "--format=v7", "-cf", site / "in.tar", "-C", content, "series1"], check=True)
    for done in (call(site / "in.tar", site / "clean"), call("-", site / "clean", given=(site / "in.tar").read_bytes())):
        assert done.returncode == 74
        assert "is a tar of the form before POSIX (v7)" in said(done)
        assert "tar --format=pax" in said(done)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["clean.tar.gz"], "archives are written uncompressed"),
        (["clean", "--key", ""], "--key: expected the file of the site's key, found no name"),
        (["clean", "--key", "export"], "found a folder"),
        (["clean", "--keep-word", "two words"], "expected one word at a time"),
        (["clean", "--keep-word", ""], "expected one word at a time"),
    ],
)
def test_options_that_could_not_mean_anything_are_refused(
    site: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    monkeypatch.chdir(site)
    done = call("export", *options)
    assert done.returncode == 64
    assert words in said(done)
    assert not (site / options[0]).exists()


def test_a_fault_of_ours_in_one_file_stops_no_other_and_is_no_success(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shift = Mapping.shift

    def broken(self: Mapping, old_id: str) -> int:
        if old_id == "faulty":
            raise NameError(old_id)
        return shift(self, old_id)

    (site / "export" / "other.dcm").write_bytes(image(9, PatientID="faulty"))
    monkeypatch.setattr(Mapping, "shift", broken)
    rules = cleaners.Rules({})
    with pytest.raises(BadData, match="1 of 4 files was left out by a fault of rtbids itself"):
        deidentifying.run(deidentifying.Request(str(site / "export"), str(site / "clean"), rules))
    assert len(written(site / "clean")) == 3
