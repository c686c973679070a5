"""`rtbids deidentify` over planted files: nothing survives in files, their names, headers of tar, logs, or on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import pytest
from identity import FAMILY, GIVEN, NAME, PATIENT_ID, PERSON, Ledger
from odd_files import every_case
from planted import Planted, element, plant
from pydicom import dcmread
from raw_files import RawFile, having, made, merged
from search import missing, survivors

EVERY = {name: (planted, refusable) for name, planted, refusable in every_case()}
OLD = 1511913600  # the day of the study, as files of an export have it
FOLDER = f"{FAMILY}^{GIVEN}/{PATIENT_ID} 1954-07-23"


def image(number: int) -> RawFile:
    """Return one image of a series."""
    uid = element(0x00080018, "UI", f"1.3.12.2.1107.5.2.43.66093.20171129{number:04d}")
    file = having(made(), uid, element(0x00200013, "IS", str(number)))
    return replace(file, meta=merged(file.meta, (replace(uid, tag=0x00020003),)))


def exported(folder: Path) -> dict[str, Planted]:
    """Write planted images, one that is refused, one that is cut short and papers beside them, under names that tell."""
    files = {f"{FOLDER}/{GIVEN}_{number}.dcm": plant(image(number)) for number in (1, 2, 3)}
    burned = having(image(4), element(0x00280301, "CS", "YES"))
    files[f"{FOLDER}/{FAMILY} screen.dcm"] = plant(burned)
    cut = plant(image(5))
    files[f"{FOLDER}/{FAMILY}_cut.dcm"] = replace(cut, content=cut.content[:20_000], ledger=Ledger())
    files[f"{FOLDER}/{FAMILY}.txt"] = Planted(f"Letter to {NAME}".encode(), Ledger())
    for name, planted in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(planted.content)
        os.utime(folder / name, (OLD, OLD))
    return files


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ledger]:
    """Return an exported folder, and what to look for after it."""
    folder = tmp_path_factory.mktemp("export")
    ledger = Ledger(dict(PERSON))
    for planted in exported(folder).values():
        ledger.sought.update(planted.ledger.sought)
    return folder, ledger


@dataclass(frozen=True)
class Written:
    """What one call of the command left: its folder, its log, and what it said."""

    clean: Path
    log: Path
    report: Path
    key: Path
    done: subprocess.CompletedProcess[bytes]

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in self.clean.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def written(source: tuple[Path, Ledger], tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Clean the folder, with a key that is made for it."""
    folder = tmp_path_factory.mktemp("written")
    clean, log, key = folder / "clean", folder / "log.json", folder / "site.key"
    report = folder / "report.json"
    more = ("--report", report, "-v", "--log-file", log, "--log-json")
    done = run(source[0], clean, "--new-key", "--key", key, *more)
    return Written(clean, log, report, key, done)


def run(*arguments: object, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "rtbids", "deidentify", *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=100)


def said(done: subprocess.CompletedProcess[bytes], folder: Path) -> bytes:
    """Return what was written to the terminal, without the place that the caller gave, which names nobody here."""
    return (done.stdout + done.stderr).replace(str(folder).encode(), b"")


def as_tar(folder: Path) -> bytes:
    """Return a folder as a tar whose headers tell of the person as well."""

    def telling(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uname, member.gname, member.mtime = FAMILY, GIVEN, OLD
        member.pax_headers = {"comment": NAME, "SCHILY.xattr.user.patient": PATIENT_ID}
        return member

    made_tar = BytesIO()
    with tarfile.open(fileobj=made_tar, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(folder, arcname=FAMILY, filter=telling)
    return made_tar.getvalue()


def test_a_folder_comes_out_clean_with_its_names_and_its_log(source: tuple[Path, Ledger], written: Written) -> None:
    folder, ledger = source
    assert missing(ledger.sought, *(path.read_bytes() for path in folder.rglob("*.dcm"))) == []
    assert [path.suffix for path in written.files] == [".dcm"] * 3, written.done.stderr
    assert OLD not in {int(path.stat().st_mtime) for path in written.files}
    names = "\n".join(str(path.relative_to(written.clean)) for path in written.clean.rglob("*")).encode()
    log = written.log.read_bytes().replace(str(folder).encode(), b"")
    assert survivors(ledger.sought, *(path.read_bytes() for path in written.files)) == {}
    assert survivors(ledger.sought, names) == {}
    assert survivors(ledger.sought, log) == {}


def test_a_report_of_what_was_done_to_which_element_holds_no_value(source: tuple[Path, Ledger], written: Written) -> None:
    folder, ledger = source
    report = written.report.read_bytes().replace(str(folder).encode(), b"")
    assert b"(0010,0010)" in report
    assert survivors(ledger.sought, report) == {}


def test_a_terminal_is_told_which_files_were_left_out_and_not_what_they_hold(
    source: tuple[Path, Ledger], written: Written
) -> None:
    folder, ledger = source
    assert b"Traceback" not in written.done.stderr
    held = {place: needles for place, needles in ledger.sought.items() if place not in PERSON}
    assert survivors(held, said(written.done, folder)) == {}


def test_a_tar_comes_out_clean_with_its_headers(source: tuple[Path, Ledger], written: Written, tmp_path: Path) -> None:
    folder, ledger = source
    (tmp_path / "in.tar").write_bytes(as_tar(folder))
    done = run(tmp_path / "in.tar", tmp_path / "out.tar", "--key", written.key)
    content = (tmp_path / "out.tar").read_bytes()
    with tarfile.open(fileobj=BytesIO(content)) as tar:
        assert OLD not in {member.mtime for member in tar.getmembers()}
        members = {
            Path(member.name).name: tar.extractfile(member) for member in tar.getmembers() if member.name.endswith(".dcm")
        }
        images = [dcmread(BytesIO(member.read())) for member in members.values() if member is not None]
    assert members.keys() == {path.name for path in written.files}, done.stderr
    assert len({image.SeriesInstanceUID for image in images}) == 1
    assert survivors(ledger.sought, content) == {}


def test_another_key_gives_other_names_and_a_page_without_values(
    source: tuple[Path, Ledger], written: Written, tmp_path: Path
) -> None:
    folder, ledger = source
    run(folder, tmp_path / "other", "--new-key", "--key", tmp_path / "other.key", "--report", tmp_path / "report.html")
    others = {path.name for path in (tmp_path / "other").rglob("*.dcm")}
    assert len(others) == 3
    assert others.isdisjoint(path.name for path in written.files)
    assert survivors(ledger.sought, (tmp_path / "report.html").read_bytes().replace(str(folder).encode(), b"")) == {}


def test_a_file_of_the_person_passes_the_search_for_every_removed_value(written: Written, tmp_path: Path) -> None:
    planted, _ = EVERY["the person alone"]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.dcm").write_bytes(planted.content)
    done = run(tmp_path / "in", tmp_path / "out", "--key", written.key, "--verify")
    files = [path.read_bytes() for path in (tmp_path / "out").rglob("*.dcm")]
    assert len(files) == 1, done.stderr
    assert survivors(planted.ledger.sought, *files) == {}
