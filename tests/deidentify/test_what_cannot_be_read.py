"""Files and folders that rtbids deidentify may not read, places it may not write, and an end that comes early."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import images
import pytest

from rtbids.cli import cleaners, deidentifying
from rtbids.cli.deid_records import Wanted
from rtbids.deidentify import destinations
from rtbids.deidentify.destinations import Tar
from rtbids.deidentify.mapping import Key
from rtbids.errors import BadData, CannotWrite, InputMissing

NAME = "P0123/2.25.7/2.25.8.dcm"
RTBIDS = [sys.executable, "-m", "rtbids", "deidentify"]


@pytest.fixture
def unprivileged() -> list[str]:
    """What starts a command for which the modes of files hold, as they do not for root."""
    if os.getuid():
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root reads everything, and there is no setpriv (util-linux) to take that from it")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key, and three images of which a folder of a fourth is closed to everybody."""
    Key.make(tmp_path / "site.key")
    monkeypatch.setenv("RTBIDS_SITE_KEY", str(tmp_path / "site.key"))
    export = tmp_path / "export"
    (export / "closed").mkdir(parents=True)
    for number, place in enumerate((export, export, export, export / "closed")):
        (place / f"{number}.dcm").write_bytes(_image(number))
    return tmp_path


@pytest.fixture
def call(site: Path, unprivileged: list[str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [*unprivileged, *RTBIDS, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=site)

    return run


def _image(number: int, **elements: object) -> bytes:
    return images.content(images.header(SOPInstanceUID=f"{images.INSTANCE}.{number}", InstanceNumber=number, **elements))


def test_a_folder_that_cannot_be_listed_is_named_and_no_success(site: Path, call) -> None:
    (site / "export/closed").chmod(0)
    done = call("export", "clean", "--report", "report.json")
    (site / "export/closed").chmod(0o700)
    assert done.returncode == 65
    assert "warning: closed: cannot be listed (Permission denied)" in done.stderr
    assert "3 files de-identified\n" in done.stderr
    assert "rtbids: not all was read: 1 folder cannot be listed" in done.stderr
    assert len(list(site.glob("clean/**/*.dcm"))) == 3
    report = json.loads((site / "report.json").read_text())
    assert report["files"] == {"folders": 1, "written": 3}
    assert "closed" not in json.dumps(report["left_out"])


def test_a_source_that_cannot_be_listed_is_said_to_be_that(site: Path, call) -> None:
    (site / "export").chmod(0)
    done = call("export", "clean")
    (site / "export").chmod(0o700)
    assert (done.returncode, done.stderr) == (66, "rtbids: export: cannot be listed (Permission denied)\n")
    assert not (site / "clean").exists()


def test_a_file_that_cannot_be_read_has_its_own_count(site: Path, call) -> None:
    (site / "export/1.dcm").chmod(0)
    (site / "export/notes.txt").write_text("hello")
    done = call("export", "clean")
    assert done.returncode == 65
    assert "1.dcm is left out: cannot be read: Permission denied" in done.stderr
    assert "3 files de-identified, 1 left out that cannot be read, 1 left out, damaged or no DICOM image" in done.stderr
    assert "rtbids: not all was read: 1 file cannot be read" in done.stderr


def test_a_key_that_cannot_be_read_is_said_with_what_to_do(site: Path, call) -> None:
    (site / "site.key").chmod(0)
    done = call("export", "clean", "--key", "site.key")
    assert done.returncode == 66
    assert "rtbids: the site key at site.key cannot be read: Permission denied\n        it must belong to" in done.stderr


@pytest.mark.parametrize("name", ["report.html", "links.age"])
def test_a_record_that_cannot_be_written_is_found_before_any_work(site: Path, call, name: str) -> None:
    (site / "records").mkdir(mode=0o500)
    key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
    options = ["--report"] if name.endswith("html") else ["--linkage-recipient", key, "--linkage-file"]
    done = call("export", "clean", *options, f"records/{name}")
    assert (done.returncode, (site / "clean").exists()) == (73, False)
    assert f"cannot write records/{name}: nothing can be written into its folder" in done.stderr


def test_a_record_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="it is a folder"):
        destinations.check_place(tmp_path)


def test_a_remark_on_a_file_names_it(site: Path, capsys) -> None:
    (site / "export/0.dcm").write_bytes(_image(0, PatientID=""))
    deidentifying.run(deidentifying.Request(str(site / "export"), str(site / "clean"), cleaners.Rules({})))
    assert "warning: 0.dcm: it has no patient ID" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "then"), [("clean", "--overwrite lets the next try"), ("clean.tar", "a .tar that is not")])
def test_a_stream_that_is_cut_leaves_a_count_and_what_to_do(site: Path, capsys, name: str, then: str) -> None:
    with tarfile.open(site / "whole.tar", "w") as tar:
        tar.add(site / "export", "export")
    end = (site / "whole.tar").read_bytes().rindex(b"DICM")
    (site / "cut.tar").write_bytes((site / "whole.tar").read_bytes()[:end])
    request = deidentifying.Request(str(site / "cut.tar"), str(site / name), cleaners.Rules({}))
    with pytest.raises(Exception, match="ended"):
        deidentifying.run(request)
    assert "not finished: 3 files de-identified until then" in (said := capsys.readouterr().err)
    assert then in said


def test_a_ctrl_c_leaves_a_count(site: Path, capsys, monkeypatch) -> None:
    write = deidentifying._Job.write

    def stopped(job: object, held: object) -> None:
        write(job, held)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(deidentifying._Job, "write", stopped)
    with pytest.raises(Exception, match="stopped by SIGINT"):
        deidentifying.run(deidentifying.Request(str(site / "export"), str(site / "clean"), cleaners.Rules({})))
    assert "not finished: 1 file de-identified until then\n" in capsys.readouterr().err


def test_one_file_that_is_no_image_is_no_one_of_one(site: Path) -> None:
    (site / "x.dcm").write_bytes(b"hello")
    request = deidentifying.Request(str(site / "x.dcm"), str(site / "clean"), cleaners.Rules({}), Wanted())
    with pytest.raises(BadData, match=r"^it could not be de-identified$"):
        deidentifying.run(request)


def test_what_a_killed_process_left_beside_a_tar_goes_and_what_another_writes_stays(tmp_path: Path) -> None:
    for name in (".clean.1234567.tar", ".cleaner.1234567.tar", ".clean.x.tar"):
        (tmp_path / name).write_bytes(b"half of a tar")
    other = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path / "clean.tar")], stdin=-1, stdout=-1)
    other.stdout.readline()
    (tmp_path / ".clean.1234568.tar").write_bytes(b"half of a tar")
    tar = Tar(str(tmp_path / "clean.tar"))
    there = {path.name for path in tmp_path.iterdir()}
    other.communicate()
    assert there == {".cleaner.1234567.tar", ".clean.x.tar", f".clean.{os.getpid()}.tar", f".clean.{other.pid}.tar"}
    tar.write(NAME, b"x")
    tar.finish()
    with tarfile.open(tmp_path / "clean.tar") as whole:
        assert NAME in whole.getnames()


_WRITER = """
import sys
from rtbids.deidentify.destinations import Tar
tar = Tar(sys.argv[1])
print("begun", flush=True)
sys.stdin.read()
"""


def test_a_folder_of_nothing_is_as_before(site: Path) -> None:
    (site / "empty").mkdir()
    with pytest.raises(InputMissing, match="there are no files in it"):
        deidentifying.run(deidentifying.Request(str(site / "empty"), str(site / "clean"), cleaners.Rules({})))
