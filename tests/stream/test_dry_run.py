"""``rtbids stream --dry-run`` shows what the stream itself then brings there, and no more."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from test_leaving import NAME, RUN, planted

from rtbids.cli import deid_stage, dry_run, sources, streaming
from rtbids.cli.request import Live, Request
from rtbids.cli.withheld import Withheld
from rtbids.deidentify.mapping import Key
from rtbids.errors import UsageFault
from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom
from rtbids.stream import wire

PHANTOM = Phantom(shape=(8, 8, 4), voxel=(12.0, 12.0, 12.0), repetition_time=0.5, volumes=3, block=1)


def tar(path: Path, contents: dict[str, bytes]) -> Path:
    with path.open("wb", buffering=0) as file:
        writer = wire.Writer(file)
        for name, content in contents.items():
            writer.write(name, content)
        writer.close()
    return path


def request(source: Path, *, deidentify: deid_stage.Stage | None = None) -> Request:
    return Request(str(source), live=Live(wait=False), speed=None, deidentify=deidentify, withheld=Withheld())


def brought(asked: Request) -> dict[str, bytes]:
    found = sources.stream(asked)
    return {member.name: bytes(member.content) for unit in found for member in unit.members()}


def names(shown: str, what: str, *words: str) -> set[str]:
    """Return the names that are shown of what was kept, added and so on."""
    found = re.findall(rf"^  {what} (?:{'|'.join(words)}): (.*)$", shown, re.MULTILINE)
    return {name for line in found for name in line.split(", ")}


@pytest.fixture
def images(tmp_path: Path) -> dict[str, bytes]:
    folder = tmp_path / "export"
    folder.mkdir()
    scanner.scan(scanner.dicoms(PHANTOM), folder, interval=0)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_of_bidsi_the_fields_columns_and_texts_are_shown_and_no_key_is_needed(tmp_path, capsys):
    stage = deid_stage.stage(deid_stage.Wish(deidentify=True, key=tmp_path / "no.key"), late=True)
    asked = request(tar(tmp_path / "foreign.tar", planted()), deidentify=stage)
    dry_run.show(asked, streaming.Order(("ssh://there/study", "ssh://there/x.tar")))
    shown = capsys.readouterr().out
    there = brought(asked)
    assert "would leave for ssh://there/study, ssh://there/x.tar:" in shown
    assert names(shown, "fields of sidecars", "kept", "replaced", "added") == set(json.loads(there[f"{RUN}_bold.json"]))
    assert {"PatientName", "Comment", "ImageComments", "Remark"} <= names(shown, "fields of sidecars", "removed")
    assert names(shown, "columns of participants.tsv", "kept") == {"group"}
    assert names(shown, "columns of sessions.tsv", "removed") == {"acq_time", "by"}
    assert {"descrip", "aux_file", "db_name", "intent_name", "extensions"} <= names(shown, "texts of NIfTI headers", "removed")
    size = sum(len(content) for name, content in there.items() if "/func/" in name)
    assert f"sub-01_task-nf_run-01: 1 image, {size / 1e6:.2f} MB" in shown
    assert "texts as they are: README\n" in shown
    assert "elements of DICOM" not in shown
    assert NAME not in shown.replace(f"removed: {NAME}", "")  # but as the name of a column


def test_an_element_that_is_empty_is_not_shown_as_kept(images, tmp_path, capsys):
    name, content = next(iter(images.items()))
    header = dcmread(DicomBytesIO(content))
    header.PatientBirthDate = ""
    header.save_as(tmp_path / name)
    Key.make(tmp_path / "site.key")
    stage = deid_stage.stage(deid_stage.Wish(deidentify=True, key=tmp_path / "site.key"))
    asked = request(tar(tmp_path / "d.tar", {name: (tmp_path / name).read_bytes()}), deidentify=stage)
    dry_run.show(asked, streaming.Order(("ssh://there/d.tar",)))
    kept = names(capsys.readouterr().out, "elements of DICOM", "kept")
    assert "RepetitionTime" in kept
    assert "PatientBirthDate" not in kept


def test_of_files_the_elements_are_shown_where_files_go_and_fields_where_volumes_go(images, tmp_path, capsys):
    key = tmp_path / "site.key"
    Key.make(key)
    asked = request(tar(tmp_path / "d.tar", images), deidentify=deid_stage.stage(deid_stage.Wish(deidentify=True, key=key)))
    dry_run.show(asked, streaming.Order(("ssh://there/d.tar", "ssh://there/study")))
    files, volumes = capsys.readouterr().out.split("would leave for ssh://there/study:")
    (header, *_) = [dcmread(DicomBytesIO(content)) for content in brought(asked).values()]
    assert names(files, "elements of DICOM", "kept", "replaced", "added") == {
        element.keyword or _tag(element) for element in header if not element.is_empty
    }
    assert "PatientName" in names(files, "elements of DICOM", "replaced", "removed")
    assert "DICOM files: 3 images" in files
    assert "fields of sidecars" not in files
    assert "elements of DICOM: none" in volumes
    assert ": 3 images" in volumes
    assert "EchoTime" in names(volumes, "fields of sidecars", "kept")


def _tag(element) -> str:
    return f"{element.tag} {element.name}"


def test_what_goes_as_it_is_is_said_to(images, tmp_path, capsys):
    for contents, said in ((images, "  not de-identified\n"), (planted(), "  not de-identified, but for sidecars of runs\n")):
        dry_run.show(request(tar(tmp_path / "x.tar", contents)), streaming.Order((str(tmp_path / "y.tar"),)))
        assert said in capsys.readouterr().out
        assert not (tmp_path / "y.tar").exists()


def test_what_another_machine_would_give_is_not_shown_here(tmp_path):
    with pytest.raises(UsageFault, match="what leaves this machine"):
        dry_run.show(Request("ssh://there/export"), streaming.Order((str(tmp_path / "x.tar"),)))
