"""What convert, run and archive add leave behind, searched for a person who is planted all over the images that came in."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import pytest
from identity import FAMILY, GIVEN, PERSON, Ledger
from journeys.series_of_a_session import BOLD, write
from planted import element, plant
from pydicom import dcmread
from raw_files import RawFile, having, read
from search import missing, survivors

from rtbids.deidentify.mapping import Key

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SERIES: dict[str, dict[str, Any]] = {  # by what a technician might have typed
    f"localizer {FAMILY}": {},
    f"t1_mprage_{GIVEN}_sag": {},
    f"task-faces_bold {FAMILY}": BOLD,
    f"{FAMILY}": {},
    "t1_mprage result": {"BurnedInAnnotation": "YES"},
}
BOLD_RUN = "sub-01_task-faces_run-01_echo-1_bold"  # of several echoes, as a planted private number says


def planted(first: Path, others: list[Path], description: str, ledger: Ledger) -> Iterator[tuple[Path, bytes]]:
    """Give the images of a series with one person planted in all of them, each with its own place and pixels."""
    made = plant(read(first.read_bytes()))
    ledger.sought.update(made.ledger.sought)
    whole = read(made.content)
    for path in (first, *others):
        yield path, alike(whole, path, description).content()


def alike(whole: RawFile, path: Path, description: str) -> RawFile:
    own = {e.tag: e for e in read(path.read_bytes()).dataset}
    texts = [element(tag, "LO", description) for tag in (0x0008103E, 0x00181030)]
    echo = [element(0x00180086, "IS", "1")]
    return having(whole, *(own[tag] for tag in (0x00080018, 0x00200013, 0x00200032, 0x7FE00010)), *texts, *echo)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ledger]:
    """Return a folder named by the person with a session, a file that is cut short in it, and what to look for."""
    clean, ledger = tmp_path_factory.mktemp("scanner"), Ledger(dict(PERSON))
    folder = tmp_path_factory.mktemp("export") / f"{FAMILY}^{GIVEN}"
    folder.mkdir()
    for number, (description, elements) in enumerate(SERIES.items(), 1):
        first, *others = write(clean, number, description, 2 if elements is BOLD else 1, **elements)
        for path, content in planted(first, others, description, ledger):
            (folder / f"{GIVEN.lower()}_{path.name}").write_bytes(content)
    (folder / f"{FAMILY.lower()}.dcm").write_bytes(content[:9000])
    assert missing(PERSON, *(path.read_bytes() for path in folder.iterdir())) == []
    return folder, ledger


def rtbids(home: Path, *arguments: object, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    places = {"XDG_STATE_HOME": str(home / "state"), "XDG_CONFIG_HOME": str(home / "config")}
    command = [sys.executable, "-m", "rtbids", *map(str, arguments)]
    environment = {key: value for key, value in os.environ.items() if key != "RTBIDS_SITE_KEY"} | places
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=110, env=environment)


def content_of(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by name, as they are and unpacked."""
    found = {}
    for path in (path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        found[str(path.relative_to(folder))] = gzip.decompress(content) if path.suffix == ".gz" else content
    return found


def left_in(folder: Path, ledger: Ledger) -> dict[str, Any]:
    files = content_of(folder)
    return survivors(ledger.sought, "\n".join(files).encode(), *files.values())


def sidecar(study: Path, name: str) -> dict[str, Any]:
    (path,) = study.glob(f"sub-01/*/{name}.json")
    fields: dict[str, Any] = json.loads(path.read_text())
    return fields


def test_a_session_becomes_a_data_set_that_names_nobody(export: tuple[Path, Ledger], tmp_path: Path) -> None:
    folder, ledger = export
    study, log = tmp_path / "study", tmp_path / "log.json"
    done = rtbids(tmp_path, "convert", folder, "--no-wait", "-o", study, "-v", "--log-file", log, "--log-json")
    assert done.returncode == 0, done.stderr
    images = {path.name.removesuffix(".nii.gz") for path in study.rglob("*.nii.gz")}
    assert images == {"sub-01_T1w", BOLD_RUN}
    assert left_in(study, ledger) == {}
    assert survivors(ledger.sought, log.read_bytes()) == {}
    assert survivors(ledger.sought, done.stderr.replace(str(folder).encode(), b"")) == {}
    kept = {path.parent.name for path in (study / "sourcedata").rglob("*.dcm")}
    assert kept == {"series-001", "series-004"}
    assert b"readable by you alone" in done.stderr
    assert len(list((tmp_path / "state").rglob("*.dcm"))) == 6  # text is burned into these: nobody can clean them
    fields = sidecar(study, BOLD_RUN)
    assert fields["EchoTime"] == 0.03
    assert "not copied" in fields["DeidentificationMethod"][-1]


def test_a_run_and_its_report_name_nobody(export: tuple[Path, Ledger], tmp_path: Path) -> None:
    folder, ledger = export
    experiment = tmp_path / "mine"
    experiment.mkdir()
    (experiment / "experiment.py").write_text("def feedback(volume, run):\n    return float(volume.data.mean())\n")
    study, log = tmp_path / "study", tmp_path / "log.txt"
    ends = ("--bids-dir", study, "--feedback", study.with_name("feedback.jsonl"), "--log-file", log)
    done = rtbids(tmp_path, "run", experiment, folder, "--no-wait", *ends)
    assert done.returncode == 0, done.stderr
    assert list(study.rglob("*_report.html"))
    assert left_in(study, ledger) == {}
    assert survivors(ledger.sought, log.read_bytes(), (tmp_path / "feedback.jsonl").read_bytes()) == {}


def test_a_stream_names_nobody_and_what_is_identified_is_left_out_by_who_archives_it(
    export: tuple[Path, Ledger], tmp_path: Path
) -> None:
    folder, ledger = export
    stream = rtbids(tmp_path, "convert", folder, "--no-wait")
    assert survivors(ledger.sought, stream.stdout) == {}
    known = rtbids(tmp_path, "convert", folder, "--no-wait", "--identified")
    assert FAMILY.encode() in known.stdout
    assert b"keep it safe" in known.stderr
    assert rtbids(tmp_path, "archive", "add", tmp_path / "closed", given=known.stdout).returncode == 0
    assert left_in(tmp_path / "closed", Ledger(dict(PERSON))) == {}
    assert rtbids(tmp_path, "archive", "add", tmp_path / "open", "--identified", given=known.stdout).returncode == 0
    fields = sidecar(tmp_path / "open", "*_bold")
    assert fields["PatientName"].startswith(FAMILY)
    assert fields["InstitutionName"] == "Klinikum Ostertal"


def test_who_asks_for_it_has_the_identifiers_of_every_series(export: tuple[Path, Ledger], tmp_path: Path) -> None:
    study = tmp_path / "study"
    done = rtbids(tmp_path, "convert", export[0], "--no-wait", "-o", study, "--identified")
    assert done.returncode == 0, done.stderr
    for name in ("*_T1w", "*_bold"):
        assert sidecar(study, name)["DeviceSerialNumber"] == "451938827"
    assert len(list((study / "sourcedata").rglob("*.dcm"))) == 18
    assert not nibabel.load(next(study.rglob("*_T1w.nii.gz"))).header["descrip"].item()


def test_images_are_deidentified_on_their_way_through_a_pipe(export: tuple[Path, Ledger], tmp_path: Path) -> None:
    folder, ledger = export
    Key.make(tmp_path / "site.key")
    watched = rtbids(tmp_path, "watch", folder, "--no-wait", "--deidentify", "--key", tmp_path / "site.key")
    assert watched.returncode == 0, watched.stderr
    assert survivors(ledger.sought, watched.stdout) == {}
    assert watched.stderr.count(b"text in its pixels") == 6
    piped = rtbids(tmp_path, "convert", "-", "-o", tmp_path / "piped", given=watched.stdout)
    assert piped.returncode == 0, piped.stderr
    ends = ("--no-wait", "--deidentify", "--key", tmp_path / "site.key", "-o", tmp_path / "direct")
    assert rtbids(tmp_path, "convert", folder, *ends).returncode == 0
    runs = [next((tmp_path / study).glob("sub-01/func/*_bold.nii.gz")) for study in ("piped", "direct")]
    assert all(run.name.startswith("sub-01_task-faces_run-01_") for run in runs)
    assert gzip.decompress(runs[0].read_bytes()) == gzip.decompress(runs[1].read_bytes())
    fields = sidecar(tmp_path / "piped", "*_bold")
    assert fields["DeidentificationMethod"][0].endswith("Basic Profile")
    assert {"CodeValue": "113100", "CodingSchemeDesignator": "DCM"}.items() <= (
        fields["DeidentificationMethodCodeSequence"][0].items()
    )
    assert left_in(tmp_path / "direct", ledger) == {}


@pytest.mark.parametrize("command", [["watch"], ["convert", "--to", "out.tar"], ["run", "mean_signal"]])
def test_without_the_site_s_key_nothing_is_given(command: list[str], tmp_path: Path) -> None:
    name, *rest = command
    experiment = rest if name == "run" else []
    options = [] if name == "run" else rest
    done = rtbids(tmp_path, name, *experiment, tmp_path, "--no-wait", "--deidentify", *options)
    assert (done.returncode, done.stdout) == (66, b"")
    assert b"no site key at" in done.stderr
    assert b"--new-key" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--identified", "--deidentify"], b"exclude each other"),
        (["--key", "some.key"], b"are for --deidentify"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(options: list[str], words: bytes, tmp_path: Path) -> None:
    done = rtbids(tmp_path, "convert", tmp_path, *options)
    assert done.returncode == 64
    assert words in done.stderr


def test_a_series_keeps_its_identity_while_it_is_deidentified(export: tuple[Path, Ledger], tmp_path: Path) -> None:
    import tarfile
    from io import BytesIO

    Key.make(tmp_path / "site.key")
    watched = rtbids(tmp_path, "watch", export[0], "--no-wait", "--deidentify", "--key", tmp_path / "site.key")
    with tarfile.open(fileobj=BytesIO(watched.stdout)) as tar:
        images = [dcmread(BytesIO(tar.extractfile(member).read())) for member in tar]  # type: ignore[union-attr]
    uids: dict[int, set[str]] = {}
    for image in images:
        uids.setdefault(int(image.SeriesNumber), set()).add(image.SeriesInstanceUID)
    assert {number: len(found) for number, found in uids.items()} == {1: 1, 2: 1, 3: 1, 4: 1}
    numbers = [(image.SeriesNumber, image.InstanceNumber) for image in images]
    assert numbers == sorted(numbers)  # the order of acquisition, which files already there come in
