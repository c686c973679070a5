"""`rtbids deidentify` with a recipe, a service, a report, a linkage file and a search for what survived."""

import http.server
import json
import shutil
import tarfile
import threading

import pydicom
import pytest
from small_image import image, written

from rtbids.cli.main import cli, run
from rtbids.deidentify.by_recipe import Cleaner
from rtbids.deidentify.engine import Deidentifier
from rtbids.deidentify.mapping import Key, Mapping
from rtbids.deidentify.profile import Profile
from rtbids.deidentify.recipe import Recipe, Turned
from rtbids.errors import BadData

PERSON = {"PatientName": "Doe^Jane", "PatientID": "MRN-4711", "AccessionNumber": "ACC-0815", "StudyDate": "20240229"}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RTBIDS_SITE_KEY", str(tmp_path / "site.key"))
    monkeypatch.delenv("RTBIDS_IDENTIFIERS_TOKEN", raising=False)
    Key.make(tmp_path / "site.key")
    (tmp_path / "in").mkdir()
    for number, description in enumerate(("bold", "bold", "localizer", "secret")):
        values = {"SeriesDescription": description, "SeriesInstanceUID": f"1.2.3.4.5.{1 + number // 2}"}
        dataset = image(SOPInstanceUID=f"1.2.3.4.5.6.{number}", StationName="MRC1", **PERSON, **values)
        (tmp_path / f"in/{number}.dcm").write_bytes(written(dataset))
    return tmp_path


def deidentify(*arguments):
    return run(cli, ["deidentify", *map(str, arguments)])


def images(folder):
    return [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]


RECIPE = """
options: {words: [bold]}
elements: {StationName: keep, StudyID: {replace: PILOT}}
series:
  - {where: {SeriesDescription: "*localizer*"}, do: skip}
  - {where: {SeriesDescription: secret}, do: refuse}
"""


def test_a_recipe_changes_what_is_done_and_says_what_it_lets_through(place, capsys):
    (place / "site.yaml").write_text(RECIPE)
    assert deidentify("in", "out", "--recipe", "site.yaml", "--verify") == 0
    said = capsys.readouterr().err
    assert [one.StationName for one in images(place / "out")] == ["MRC1", "MRC1"]
    assert "lets through what the basic profile takes out: StationName" in said
    assert "3.dcm is left out: the recipe refuses series like this one" in said
    assert "2 files de-identified, 1 skipped by the recipe, 1 refused" in said
    assert "2.dcm" not in said


def test_a_recipe_that_skips_everything_has_done_its_work(place, capsys):
    (place / "site.yaml").write_text("series:\n  - {where: {SeriesDescription: '*'}, do: skip}\n")
    assert deidentify("in", "out", "--recipe", "site.yaml") == 0
    said = capsys.readouterr().err
    assert "0 files de-identified, 4 skipped by the recipe" in said
    assert "the recipe skips every file; nothing was written" in said
    assert deidentify("in", "out.tar", "--recipe", "site.yaml") == 0
    with tarfile.open("out.tar") as tar:
        assert tar.getnames() == []  # with its end mark: whoever reads on is not told of a cut
    (place / "in/cut.dcm").write_bytes((place / "in/0.dcm").read_bytes()[:1000])
    assert deidentify("in", "again", "--recipe", "site.yaml") == 65


@pytest.mark.parametrize("verdict", ["skip", "refuse"])
def test_a_file_whose_header_no_rule_can_be_held_against_ends_no_batch(place, capsys, verdict):
    dataset = image(SOPInstanceUID="1.2.3.4.5.6.9", SeriesDescription="localizer", **PERSON, SeriesInstanceUID="1.2.3.4.5.2")
    dataset.SpecificCharacterSet = "ISO_IR 100"
    (place / "in/odd.dcm").write_bytes(written(dataset).replace(b"ISO_IR 100", b"ISO_I\0 100"))
    (place / "site.yaml").write_text(f"series:\n  - {{where: {{SeriesDescription: localizer}}, do: {verdict}}}\n")
    assert deidentify("in", "out", "--recipe", "site.yaml") == 0
    assert len(images(place / "out")) == 3
    assert "ISO_I" not in capsys.readouterr().err


@pytest.mark.parametrize(("other", "warned"), [("MRN-4711", 0), ("MRN-4712", 1)])
def test_a_recipe_that_makes_one_patient_of_several_says_so_once(place, capsys, other, warned):
    dataset = image(SOPInstanceUID="1.2.3.4.5.6.9", SeriesInstanceUID="1.2.3.4.5.9", **(PERSON | {"PatientID": other}))
    for number in range(2):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.5.6.9{number}"
        (place / f"in/other{number}.dcm").write_bytes(written(dataset))
    (place / "site.yaml").write_text("elements: {PatientID: {replace: S01}}\n")
    assert deidentify("in", "out", "--recipe", "site.yaml") == 0
    assert capsys.readouterr().err.count("gives one PatientID to several patients") == warned


def test_what_a_rule_cannot_look_at_is_not_let_pass_nor_quoted():
    class Failing(Recipe):
        def verdict(self, said):
            raise KeyError(said("PatientName"))

    recipe = Failing(turned=(Turned("skip", (("SeriesDescription", "localizer"),)),))
    cleaner = Cleaner(Deidentifier(Profile(), Mapping(Key(bytes(32)))), recipe)
    with pytest.raises(BadData, match=r"cannot be read to apply the recipe \(KeyError\)$") as caught:
        cleaner.clean(written(image(**PERSON)))
    assert "Doe" not in str(caught.value)


def test_an_option_of_the_command_wins_over_the_recipe(place):
    (place / "site.yaml").write_text("options: {dates: removed}\n")
    assert deidentify("in", "removed", "--recipe", "site.yaml") == 0
    assert deidentify("in", "shifted", "--recipe", "site.yaml", "--dates", "shifted") == 0
    assert {one.StudyDate for one in images(place / "removed")} == {""}
    assert {one.StudyDate[:2] for one in images(place / "shifted")} == {"18"}


def test_a_malformed_recipe_ends_before_anything_is_written(place, capsys):
    (place / "site.yaml").write_text("elements:\n  PatientSx: keep\n")
    assert deidentify("in", "out", "--recipe", "site.yaml") == 64
    assert "site.yaml, line 2: elements.PatientSx" in capsys.readouterr().err
    assert not (place / "out").exists()


def test_a_recipe_of_deid_is_taken_or_translated(place, capsys):
    (place / "deid.dicom").write_text("FORMAT dicom\n%header\nKEEP StationName\nREMOVE contains:UID\n")
    assert deidentify("in", "out", "--recipe", "deid.dicom") == 64
    assert "line 4: REMOVE contains:UID" in capsys.readouterr().err
    assert deidentify("in", "out", "--recipe", "deid.dicom", "--recipe-partly") == 0
    said = capsys.readouterr().err
    assert "by the basic profile instead of 1 line that cannot be translated:\n  line 4: REMOVE contains:UID" in said
    assert {one.StationName for one in images(place / "out")} == {"MRC1"}
    capsys.readouterr()
    assert deidentify("--recipe", "deid.dicom", "--print-recipe") == 0
    (place / "site.yaml").write_text(capsys.readouterr().out)
    assert deidentify("in", "again", "--recipe", "site.yaml") == 0
    assert [one.StationName for one in images(place / "again")] == ["MRC1"] * 4


@pytest.mark.parametrize("arguments", [(), ("--recipe", "ours.yaml")])
def test_only_a_recipe_of_deid_is_translated(place, capsys, arguments):
    (place / "ours.yaml").write_text("elements: {}\n")
    assert deidentify("--print-recipe", *arguments) == 64
    assert "deid" in capsys.readouterr().err


def test_a_report_is_left_also_of_what_was_not_written(place):
    (place / "site.yaml").write_text(RECIPE)
    (place / "in/notes.txt").write_text("about MRN-4711")
    assert deidentify("in", "out", "--recipe", "site.yaml", "--report", "r.json", "--verify") == 0
    report = json.loads((place / "r.json").read_text())
    assert report["files"] == {"bad": 1, "refused": 1, "skipped": 1, "written": 2}
    assert (report["verified"], report["recipe"]["lets_through"]) == (True, ["StationName"])
    assert not any(secret in (place / "r.json").read_text() for secret in (*PERSON.values(), "notes", "MRC1"))


def test_a_report_tells_one_key_from_another_and_nothing_of_either(place):
    Key.make(place / "other.key")
    for name, options in {"a": (), "b": (), "c": ("--key", "other.key")}.items():
        assert deidentify("in", name, "--report", f"{name}.json", *options) == 0
        assert deidentify("in", f"{name}2", "--report", f"{name}.html", *options) == 0
    first, second, other = (json.loads((place / f"{name}.json").read_text())["key"] for name in "abc")
    assert first == second != other
    assert first in (place / "a.html").read_text()
    assert first not in (place / "site.key").read_text()


def test_a_report_is_not_overwritten_unless_allowed(place, capsys):
    (place / "r.json").write_text("mine")
    assert deidentify("in", "out", "--report", "r.json") == 73
    assert not (place / "out").exists()
    assert deidentify("in", "out", "--report", "r.json", "--overwrite") == 0


def test_who_became_whom_is_left_encrypted(place):
    pyrage = pytest.importorskip("pyrage", reason="the extra crypt is not installed")
    identity = pyrage.x25519.Identity.generate()
    linkage = ("--linkage-file", "links.age", "--linkage-recipient", str(identity.to_public()))
    (place / "site.yaml").write_text("elements: {PatientID: {replace: S01}}\n")
    assert deidentify("in", "out", *linkage, "--recipe", "site.yaml") == 0
    table = pyrage.decrypt((place / "links.age").read_bytes(), [identity]).decode()
    head, *rows = [line.split("\t") for line in table.splitlines()]
    first = dict(zip(head, rows[0], strict=True))
    (dataset, *_) = [one for one in images(place / "out") if one.SeriesInstanceUID == first["new_series_instance_uid"]]
    assert (first["patient_id"], first["accession_number"]) == ("MRN-4711", "ACC-0815")
    assert (first["new_patient_id"], first["new_study_instance_uid"]) == ("S01", dataset.StudyInstanceUID)
    assert int(first["shift_days"]) < -64_000
    assert len(rows) == 2  # series


def test_a_linkage_file_without_a_key_to_open_it_is_refused_before_any_work(place, capsys):
    assert deidentify("in", "out", "--linkage-file", "links.age") == 64
    assert deidentify("in", "out", "--linkage-recipient", "age1x") == 64
    assert not (place / "out").exists()


class Service(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.headers["Authorization"], asked))
        status, answer = self.server.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.asked, server.answer = [], (200, {"patient_id": "IR7a3", "accession_number": "IR7a4", "date_shift_days": -17})
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_service_gives_ids_and_shift(place, service, monkeypatch):
    monkeypatch.setenv("RTBIDS_IDENTIFIERS_TOKEN", "s3cret")
    url = f"http://127.0.0.1:{service.server_port}/"
    assert deidentify("in", "out", "--identifiers", url, "--identifiers-study", "pain", "--verify") == 0
    found = images(place / "out")
    assert {(one.PatientID, one.AccessionNumber, one.StudyDate) for one in found} == {("IR7a3", "IR7a4", "20240212")}
    assert len(found) == 4
    assert [path.name for path in (place / "out").iterdir()] == ["IR7a3"]
    asked = {"patient_id": "MRN-4711", "accession_number": "ACC-0815", "study": "pain"}
    assert service.asked == [("Bearer s3cret", asked)]  # once


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ((404, {}), 64, "not found"),
        ((200, {"patient_id": "MRN-4711"}), 64, "gave an original identifier back"),
        ((200, {"patient_id": "S7 DOE"}), 64, "a part of the patient's name"),
        ((200, {"patient_id": "janedoe07"}), 64, "a part of the patient's name"),
        ((200, {"patient_id": "S7", "accession_number": "Jane-1"}), 64, "a part of the patient's name"),
        ((200, {"patient_id": "S7", "shift_days": -3}), 64, "a key like ours"),
    ],
)
def test_nothing_is_written_where_the_service_refuses(place, service, capsys, answer, code, words):
    service.answer = answer
    assert deidentify("in", "out", "--identifiers", f"http://127.0.0.1:{service.server_port}/") == code
    said = capsys.readouterr().err
    assert words in said
    assert not any(secret in said for secret in ("4711", "Doe", "DOE", "Jane", "janedoe", "shift_days'"))
    assert not (place / "out").exists()


def test_nothing_is_written_while_the_service_is_down(place, capsys, monkeypatch):
    monkeypatch.setattr("rtbids.wakeup.Wakeup.wait", lambda *_: False)  # the pauses between tries
    assert deidentify("in", "out", "--identifiers", "http://127.0.0.1:1/", "--report", "r.json") == 75
    assert "cannot be reached" in capsys.readouterr().err
    assert images(place / "out") == []
    assert json.loads((place / "r.json").read_text())["files"] == {}


def test_a_survivor_is_not_written_and_ends_in_65(place, capsys):
    """A recipe keeps a private element that no rule looks into; only the search finds who is named there."""
    shutil.rmtree(place / "in")
    (place / "in").mkdir()
    dataset = image(**PERSON)
    dataset.private_block(0x0029, "ACME 1.0", create=True).add_new(0x10, "OB", b"\1\2protocol of MRN-4711 \3")
    (place / "in/1.dcm").write_bytes(written(dataset))
    (place / "in/2.dcm").write_bytes(written(image(SOPInstanceUID="1.2.3.4.5.6.7.8", **PERSON)))
    (place / "site.yaml").write_text('private: {ACME 1.0: {"(0029,xx10)": keep}}\n')
    assert deidentify("in", "out", "--recipe", "site.yaml", "--verify") == 65
    said = capsys.readouterr().err
    assert "1.dcm is left out: a removed value is still to be read in (0029,1010)" in said
    assert "1 of 2 files still held a removed value and was not written" in said
    assert "4711" not in said
    assert len(images(place / "out")) == 1
