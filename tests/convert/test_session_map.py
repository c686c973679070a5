"""Where images go by the rules, and what they take from what is known of the session."""

from __future__ import annotations

import re
import resource
import threading
from pathlib import Path
from typing import Any

import pytest
from slices import canon

from rtbids.clock import ManualClock
from rtbids.convert import session_map
from rtbids.convert.places import Known, decide, decide_all
from rtbids.convert.session import ARRIVING, QUIET, Gathered, Run, Session
from rtbids.errors import UsageFault

OWNER = {"subject": "01"}
M, P = ["ORIGINAL", "PRIMARY", "M", "ND", "NORM"], ["ORIGINAL", "PRIMARY", "P", "ND"]


def fields(description: str, image_type: list[str] = M, **more: Any) -> dict[str, Any]:
    return {"SeriesDescription": description, "ProtocolName": description, "ImageType": image_type, "SeriesNumber": 5, **more}


@pytest.mark.parametrize(
    ("found", "place"),
    [
        (fields("t1_mprage_sag_p2_iso"), "anat/T1w"),
        (fields("MEMPRAGE_4e_p2"), "anat/T1w"),
        (fields("WIP_T1W_3D_TFE"), "anat/T1w"),
        (fields("Sag BRAVO"), "anat/T1w"),
        (fields("3D T1 BRAVO"), "anat/T1w"),
        (fields("Ax FSPGR 3D"), "anat/T1w"),
        (fields("sT1W_3D_TFE"), "anat/T1w"),
        (fields("MPRAGE SENSE"), "anat/T1w"),
        (fields("t1_gre_fsp_3d_sag"), "anat/T1w"),
        (fields("t1_mprage_sag_ND", ["ORIGINAL", "PRIMARY", "M", "ND"]), "sourcedata/"),
        (fields("T1 map MOLLI"), None),
        (fields("t1_mp2rage_sag_UNI_Images", ["DERIVED", "PRIMARY", "M", "UNI"]), "anat/UNIT1"),
        (fields("t1_mp2rage_sag_INV1"), None),
        (fields("Sag CUBE T2"), "anat/T2w"),
        (fields("T2W_TSE_32"), "anat/T2w"),
        (fields("t2_fse_tra"), "anat/T2w"),
        (fields("Ax T2 FLAIR"), "anat/FLAIR"),
        (fields("t2star_gre"), "anat/T2starw"),
        (fields("T2W_FFE"), "anat/T2starw"),
        (fields("SWI_Images"), None),
        (fields("3D TOF"), "anat/angio"),
        (fields("anat-T1w"), "anat/T1w"),
        (fields("T2_SPC_SAG"), "anat/T2w"),
        (fields("anat-T2w_acq-highres"), "anat/T2w"),
        (fields("t2_space_dark-fluid_sag"), "anat/FLAIR"),
        (fields("3D_Brain_VIEW_FLAIR"), "anat/FLAIR"),
        (fields("AAHead_Scout"), "sourcedata/"),
        (fields("Survey"), "sourcedata/"),
        (fields("SURVEY_32ch"), "sourcedata/"),
        (fields("Locator"), "sourcedata/"),
        (fields("ASSET calibration"), "sourcedata/"),
        (fields("CoilSurvey"), "sourcedata/"),
        (fields("Ref_Head_32"), "sourcedata/"),
        (fields("MoCoSeries", ["ORIGINAL", "PRIMARY", "M", "MOCO", "ND"]), "sourcedata/"),
        (fields("ep2d_diff_ADC", ["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "NORM"]), "sourcedata/"),
        (fields("ep2d_diff_TRACEW", ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW", "NORM"], gradients="yes"), "sourcedata/"),
        (fields("Apparent Diffusion Coefficient (mm2/s)"), "sourcedata/"),
        (fields("dADC", gradients="yes"), "sourcedata/"),
        (fields("DTI_32", gradients="yes"), "dwi/dwi"),
        (fields("Ax DTI", gradients="yes"), "dwi/dwi"),
        (fields("dti_fa_protocol", gradients="yes"), "dwi/dwi"),
        (fields("dwi_acq-multi_dir-AP", gradients="yes"), "dwi/dwi"),
        (fields("3Plane Loc SSFSE"), "sourcedata/"),
        (fields("gre_field_mapping", EchoNumber=1), "fmap/magnitude1"),
        (fields("gre_field_mapping", EchoNumber=2), "fmap/magnitude2"),
        (fields("gre_field_mapping", P, EchoTime1=0.004, EchoTime2=0.006), "fmap/phasediff"),
        (
            fields("SpinEchoFieldMap_AP", ScanningSequence="EP\\SE", PhaseEncodingDirection="j-", TotalReadoutTime=0.05),
            "fmap/epi",
        ),
        (fields("fmap_dir-AP", ScanningSequence="EP", PhaseEncodingDirection="j-", TotalReadoutTime=0.05), "fmap/epi"),
        (fields("B0map", EchoNumber=1), "fmap/magnitude1"),
        (fields("B0 map", P, EchoNumber=1, echoes="1 2"), "fmap/phase1"),
        (fields("B0 map", P, EchoNumber=2, echoes="1 2"), "fmap/phase2"),
        (fields("B0 map", [*M, "FIELDMAPHZ"], beside="magnitude"), "fmap/fieldmap"),
        (fields("B0 map", beside="Hz"), "fmap/magnitude"),
        (fields("t1_mprage MPR cor", ["DERIVED", "PRIMARY", "MPR"]), "sourcedata/"),
        (fields("t1_mprage_MPR_Cor", ["DERIVED", "SECONDARY", "MPR", "CSA MPR", "NORM", "DIS2D"]), "sourcedata/"),
        (fields("cmrr_dMRI_SBRef"), "dwi/sbref"),
        (fields("spectro"), None),
        (fields("nf_t1", ScanningSequence="EP\\GR"), None),
        (fields("t1_mprage", P), None),
    ],
    ids=lambda value: value["SeriesDescription"] if isinstance(value, dict) else "",
)
def test_series_are_known_by_what_scanners_call_them(found, place):
    decided = session_map.load().place(found)
    assert (decided and f"{decided.datatype}/{decided.suffix}") == place


def test_labels_in_the_name_are_entities():
    place = session_map.load().place(fields("anat-T1w_acq-fast_run-2"))
    assert place is not None
    assert place.entities == {"acquisition": "fast", "run": "02"}


@pytest.mark.parametrize(("name", "label"), [("topup_AP", "AP"), ("fmap_dir-left_run", "left"), ("topup", "jminus")])
def test_an_epi_field_map_has_the_direction_of_its_name_or_its_axis(name, label):
    found = fields(name, ScanningSequence="EP", PhaseEncodingDirection="j-", TotalReadoutTime=0.05)
    place = session_map.load().place(found)
    assert place is not None
    assert place.entities == {"direction": label}


def test_diffusion_is_known_by_its_gradients():
    known, rules = Known(OWNER), session_map.load()
    assert decide(fields("ep2d_diff"), True, rules, known, last=True).place.entities == OWNER
    assert decide(fields("ep2d_diff"), False, rules, known, last=True).reason == "no rule of the session map fits"


def test_a_phase_difference_waits_for_its_magnitudes_and_takes_their_echo_times():
    known, rules = Known(OWNER), session_map.load()
    phase = fields("gre_field_mapping", P, EchoTime=0.00738)
    assert decide(phase, False, rules, known, last=False).wait
    for echo, seconds in ((1, 0.00492), (2, 0.00738)):
        magnitude = decide(fields("gre_field_mapping", EchoNumber=echo, EchoTime=seconds), False, rules, known, last=False)
        known.learn(magnitude.place, magnitude.fields)
    decided = decide(phase, False, rules, known, last=False)
    assert (decided.fields["EchoTime1"], decided.fields["EchoTime2"]) == (0.00492, 0.00738)
    other = decide(fields("gre_field_mapping", P, EchoTime=0.005), False, rules, known, last=True)
    assert other.reason == "phasediff needs EchoTime1, EchoTime2"


def test_a_reference_waits_for_its_run_and_takes_its_name():
    known, rules = Known(OWNER), session_map.load()
    found = fields("nf_SBRef", ProtocolName="nf", RepetitionTime=1.0, SliceTiming=[0.0, 2.5], EchoNumber=2)
    known.runs.append(Run(3, "nf", {**OWNER, "task": "nf", "run": "01"}))
    assert decide(found, False, rules, known, last=False).wait
    known.runs += [Run(number, "nf", {**OWNER, "task": "nf", "run": run}) for number, run in ((9, "03"), (6, "02"))]
    decided = decide(found, False, rules, known, last=False)
    assert decided.place.entities == {**OWNER, "task": "nf", "run": "02", "echo": "2"}
    assert decided.fields["TaskName"] == "nf"
    assert "SliceTiming" not in decided.fields  # 2.5 s into a TR of 1 s


def test_a_reference_whose_run_never_comes_has_the_task_of_its_protocol():
    decided = decide(fields("task-nf_sbref"), False, session_map.load(), Known(OWNER), last=True)
    assert decided.place.entities == {**OWNER, "task": "nf"}


@pytest.mark.parametrize("first", [{}, {"EchoNumber": 1}])  # dcm2niix leaves it out of enhanced images
def test_the_references_of_several_echoes_are_named_by_echo_from_the_first_on(first: dict[str, int]):
    images = [(fields("nf_SBRef", **echo), False) for echo in (first, {"EchoNumber": 2})]
    known = Known(OWNER)
    known.runs += [Run(6, "nf", {**OWNER, "task": "nf", "run": "01"})]
    decided = decide_all(images, session_map.load(), known, last=False)
    assert [one.place.entities for one in decided] == [
        {**OWNER, "task": "nf", "run": "01", "echo": echo} for echo in ("1", "2")
    ]
    (alone,) = decide_all(images[:1], session_map.load(), known, last=False)
    assert "echo" not in alone.place.entities


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: 5", "expected rules to be a list, found int"),
        ("rulez: []", "map.yaml: unknown key 'rulez', did you mean 'rules'?"),
        ("rules: [{match: {name: a}, datatype: anat, suffix: bold}]", "rule 1: expected sourcedata or one of"),
        ("rules: [{match: {name: '('}, datatype: sourcedata}]", "match name: not a regular expression"),
        (
            "rules: [{match: {name: a}, datatype: anat, suffix: T1w, entities: {acqisition: a}}]",
            "rule 1: entities: unknown key 'acqisition', did you mean 'acquisition'?",
        ),
        (
            "rules: [{match: {name: a}, datatype: anat, suffix: T1w, entities: {dir: AP}}]",
            "rule 1: a T1w has no direction in BIDS, only subject, session, acquisition, run, ceagent",
        ),
        ("rules: [{match: {name: a}, place: anat}]", "rule 1: unknown key 'place', expected one of name, match"),
        ("rules: [{name: mine, macth: {name: a}}]", "rule 1 (mine): unknown key 'macth', did you mean 'match'?"),
        ("defaults: 5", "expected defaults to be true or false, found 5"),
        ("rules: [{match: {name: a}, datatype: sourcedata, reason: 5}]", "rule 1: expected reason to be a text, found 5"),
        ("rules: [{match: {name: a}, datatype: fmap, suffix: epi, intended_for: '('}]", "intended_for: not a regular"),
        ("rules: [{datatype: sourcedata}]", "expected match to name a field"),
        ("rules: [{match: {name: a}, datatype: anat, suffix: T1w, entities: {acquisition: a-b}}]", "only letters and digits"),
    ],
)
def test_what_is_wrong_with_a_map_is_named(tmp_path, text, said):
    path = tmp_path / "map.yaml"
    path.write_text(text)
    with pytest.raises(UsageFault, match=re.escape(said)):
        session_map.load(path)


def test_defaults_can_be_left_out(tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text("defaults: false\nrules: [{match: {name: odd}, datatype: anat, suffix: T1w}]")
    rules = session_map.load(path)
    assert rules.place(fields("t1_mprage")) is None
    assert rules.place(fields("ODD one")).suffix == "T1w"


class Room:
    """Folders for series, and the series that were handed over."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.made = 0
        self.over: list[Gathered] = []

    def folder(self, number: int, description: str) -> Path:
        self.made += 1
        path = self.place / str(self.made)
        path.mkdir()
        return path


def test_a_series_is_over_when_it_is_quiet_and_another_has_begun(tmp_path):
    room = Room(tmp_path)
    session = Session(room.folder, room.over.append)
    session.begun("a")
    session.add("a", 1, canon(0, 0), 100.0)
    session.tick(100.0 + 10 * QUIET)
    assert (room.over, session.wake) == ([], None)
    session.begun("b")
    session.add("a", 1, canon(0, 1), 101.0)
    session.tick(101.0 + QUIET / 2)
    assert (room.over, session.wake) == ([], 101.0 + QUIET)
    session.tick(101.0 + QUIET)
    assert [(series.number, series.images, series.sequel) for series in room.over] == [(1, 2, 0)]
    assert sorted(path.name for path in room.over[0].place.iterdir()) == ["000001.dcm", "000002.dcm"]


def test_images_that_come_late_are_a_sequel_and_the_end_hands_over_what_is_left(tmp_path):
    room = Room(tmp_path)
    session = Session(room.folder, room.over.append)
    session.begun("a")
    session.add("a", 1, canon(0, 0), 100.0)
    session.begun("b")
    session.tick(100.0 + QUIET)
    session.add("a", 1, canon(0, 1), 200.0)
    session.finish()
    session.add("a", 1, canon(0, 2), 201.0)
    assert [(series.images, series.sequel) for series in room.over] == [(1, 0), (1, 1)]


@pytest.mark.parametrize(("stopped", "over"), [(True, [1]), (False, [1, 2])])
def test_a_series_that_still_arrives_when_the_source_is_stopped_waits_for_its_rest(tmp_path, stopped, over):
    room = Room(tmp_path)
    clock = ManualClock(100.0)
    session = Session(room.folder, room.over.append, is_stopped=lambda: stopped, clock=clock)
    session.add("a", 1, canon(0, 0), clock.now())
    clock.advance(2 * ARRIVING)
    session.add("b", 2, canon(0, 1), clock.now())
    session.finish()
    assert [series.number for series in room.over] == over
    clock.advance(2 * ARRIVING)
    session.finish()  # the assembler says it, and who closes the session says it again
    assert [series.number for series in room.over] == over
    assert [(series.number, series.sequel) for series in session.cut] == [(2, -1)] * (2 - len(over))


def test_a_disk_that_refuses_costs_the_other_series_only(tmp_path, caplog):
    def refuse(number: int, description: str) -> Path:
        raise OSError(28, "No space left on device")

    session = Session(refuse, lambda gathered: None)
    for place in range(3):
        session.add("a", 1, canon(0, place), 100.0)
    assert [record.message for record in caplog.records] == [
        "series that are not functional are left alone from here on: No space left on device"
    ]


@pytest.fixture
def no_room_for():
    """Let no file of this process grow beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_series_that_the_disk_did_not_take_whole_is_not_taken_for_one(tmp_path, no_room_for):
    room = Room(tmp_path)
    session = Session(room.folder, room.over.append)
    for key in ("a", "b"):
        session.add(key, ord(key), canon(0, 0), 100.0)
    no_room_for(100)
    session.add("a", ord("a"), canon(0, 1), 101.0)
    no_room_for(resource.RLIM_INFINITY)
    session.add("a", ord("a"), canon(0, 2), 102.0)
    session.finish()
    assert [(series.images, series.reason) for series in room.over] == [(1, "the disk did not take all of its images"), (1, "")]
    assert [path.name for path in room.over[0].place.iterdir()] == ["000001.dcm"]


def test_the_end_may_be_said_while_images_come_in(tmp_path):
    room = Room(tmp_path)
    session = Session(room.folder, room.over.append)
    image, failed = canon(0, 0), []
    ready = threading.Barrier(2)

    def come_in() -> None:
        ready.wait()
        try:
            for number in range(400):
                session.begun(f"series {number}")
                session.add(f"series {number}", number, image, 100.0)
                _ = session.wake
        except RuntimeError as error:  # "dictionary changed size during iteration"
            failed.append(error)

    thread = threading.Thread(target=come_in)
    thread.start()
    ready.wait()
    while room.made < 20:
        assert thread.is_alive() or room.made >= 20
    session.finish()
    handed_over = len(room.over)
    thread.join()
    assert failed == []
    assert len(room.over) == handed_over == room.made
    assert all(len(list(series.place.iterdir())) == series.images == 1 for series in room.over)
