"""The data set as a script may look at it: which runs are earlier, what each left behind, and what cannot be read."""

from __future__ import annotations

import json
import threading

import nibabel
import numpy as np
import pytest
from run.sessions import volume

from rtbids.archive.writer import GrowingFile
from rtbids.bids import entities as bids_entities
from rtbids.errors import BadData, InputMissing, NothingMatched, RtbidsError, UsageFault
from rtbids.run.past import study_so_far
from rtbids.run.past.study_so_far import StudySoFar
from rtbids.run.past.where import Where
from rtbids.volume import voxels

EVENTS = "onset\tduration\ttrial_type\n0\t2\tgo\n"


class DataSet:
    """A data set of runs with two volumes, whose tables are written by hand."""

    def __init__(self, root, generator=None):
        self.root = root
        made = {"GeneratedBy": [{"Name": generator}]} if generator else {}
        root.mkdir()
        (root / "dataset_description.json").write_text(json.dumps({"Name": "past", "BIDSVersion": "1.10.0", **made}))

    def path(self, name, suffix):
        entities = bids_entities.parse(f"{name}_bold")[0]
        return self.root / bids_entities.folder(entities) / f"{name}_{suffix}"

    def derivative(self, name, suffix):
        path = self.root / "derivatives" / "rtbids" / self.path(name, suffix).relative_to(self.root)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def add(self, *names, extension=".nii.gz"):
        for value, name in enumerate(names):
            file = self.path(name, f"bold{extension}")
            file.parent.mkdir(parents=True, exist_ok=True)
            voxels = np.stack([np.full((3, 2, 2), 10 * value + index, np.int16) for index in range(2)], axis=-1)
            nibabel.Nifti1Image(voxels, np.diag([3, 3, 4, 1])).to_filename(file)
            self.path(name, "bold.json").write_text('{"RepetitionTime": 2.0}')

    def scans(self, folder, **moments):
        """Write a scans table, of file → acq_time."""
        path = self.root / folder / f"{folder.replace('/', '_')}_scans.tsv"
        rows = [f"func/{name}_bold.nii.gz\t{moment}" for name, moment in moments.items()]
        path.write_text("\n".join(["filename\tacq_time", *rows]) + "\n")

    def before(self, name):
        return StudySoFar(self.root, bids_entities.parse(f"{name}_bold")[0])

    def noted(self, name, *earlier):
        self.derivative(name, "desc-latency_timeseries.json").write_text(json.dumps({"EarlierRuns": earlier}))


@pytest.fixture
def data_set(tmp_path):
    return DataSet(tmp_path / "study")


def names(runs):
    return [run.name for run in runs]


def test_without_another_word_the_runs_before_by_number_are_given(data_set):
    data_set.add(*(f"sub-01_task-nf_run-{number}" for number in ("1", "2", "3")))
    assert names(data_set.before("sub-01_task-nf_run-3").runs()) == ["sub-01_task-nf_run-1", "sub-01_task-nf_run-2"]
    assert names(data_set.before("sub-01_task-nf_run-1").runs()) == []


def test_acquisition_times_tell_what_names_do_not(data_set):
    data_set.add("sub-01_task-rest", "sub-01_task-nf", "sub-01_task-loc")
    times = {"sub-01_task-nf": "1900-01-01T10:10:00", "sub-01_task-rest": "1900-01-01T10:20:00"}
    data_set.scans("sub-01", **times, **{"sub-01_task-loc": "1900-01-01T10:00:00"})
    assert names(data_set.before("sub-01_task-nf").runs()) == ["sub-01_task-loc"]
    assert names(data_set.before("sub-01_task-rest").runs()) == ["sub-01_task-loc", "sub-01_task-nf"]


def test_in_a_data_set_of_rtbids_the_rows_of_the_scans_table_tell(tmp_path):
    ours = DataSet(tmp_path / "ours", "rtbids")
    ours.add("sub-01_task-a", "sub-01_task-b")
    ours.scans("sub-01", **{"sub-01_task-b": "n/a", "sub-01_task-a": "n/a"})
    assert names(ours.before("sub-01_task-a").runs()) == ["sub-01_task-b"]
    assert names(ours.before("sub-01_task-b").runs()) == []


def test_what_nothing_tells_of_is_left_out_and_said(data_set):
    data_set.add("sub-01_ses-pre_task-nf", "sub-01_ses-post_task-nf")
    with pytest.raises(NothingMatched, match=r"no earlier run with task nf; there are: none; 1 are left out, as no acq_time"):
        data_set.before("sub-01_ses-post_task-nf").latest(task="nf")


def test_a_recorded_run_sees_what_was_noted_when_it_began_and_nothing_else(data_set):
    data_set.add(*(f"sub-01_task-nf_run-{number}" for number in ("1", "2", "3")), "sub-01_task-added", "sub-01_task-late")
    data_set.noted("sub-01_task-nf_run-1")
    data_set.noted("sub-01_task-nf_run-3", "sub-01_task-added", "sub-01_task-nf_run-1", "sub-01_task-gone", "../../etc")
    assert names(data_set.before("sub-01_task-nf_run-3").runs()) == ["sub-01_task-nf_run-1", "sub-01_task-added"]


def test_runs_are_this_subjects_unless_another_is_named(data_set):
    data_set.add("sub-01_task-nf_run-1", "sub-01_task-nf_run-2", "sub-02_task-nf_run-9")
    study = data_set.before("sub-01_task-nf_run-2")
    assert names(study.runs()) == ["sub-01_task-nf_run-1"]
    assert names(study.runs(subject="02")) == names(study.runs(subject="sub-02", run=9)) == ["sub-02_task-nf_run-9"]
    assert study.subjects == ("01", "02")


def test_another_subjects_run_that_was_recorded_later_is_not_there(data_set):
    data_set.add("sub-01_task-nf", "sub-02_task-nf", "sub-03_task-nf", "sub-04_task-nf")
    for name, began in (("sub-01_task-nf", 20.0), ("sub-02_task-nf", 10.0), ("sub-03_task-nf", 30.0)):
        table = f"volume\treceived\n0\tn/a\n1\t{began}\n"
        data_set.derivative(name, "desc-latency_timeseries.tsv").write_text(table)
    study = data_set.before("sub-01_task-nf")
    assert study.subjects == ("02", "04")  # nothing tells of 04


def test_entities_pick_sessions_and_runs_and_an_unknown_one_is_named(data_set):
    data_set.add(*(f"sub-01_ses-{session}_task-nf_run-0{number}" for session in ("1", "2", "3") for number in (1, 2)))
    study = data_set.before("sub-01_ses-3_task-nf_run-02")
    assert study.sessions == ("1", "2", "3")
    assert names(study.runs(session="2")) == ["sub-01_ses-2_task-nf_run-01", "sub-01_ses-2_task-nf_run-02"]
    assert study.latest(run=2).name == "sub-01_ses-2_task-nf_run-02"
    assert study.latest().name == "sub-01_ses-3_task-nf_run-01"
    with pytest.raises(UsageFault, match="no entity 'sesion'; did you mean 'session'"):
        study.runs(sesion="1")
    with pytest.raises(UsageFault, match="only letters and digits"):
        study.runs(subject="../../etc")


def test_a_data_set_without_earlier_runs_is_empty_and_says_so(data_set):
    study = data_set.before("sub-01_task-nf")
    assert (study.runs(), study.sessions, study.subjects) == ((), (), ())
    with pytest.raises(NothingMatched, match="no earlier run; there are: none"):
        study.latest()


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"], ids=["growing", "finished"])
def test_a_run_gives_its_volumes_sidecar_and_events(data_set, extension):
    data_set.add("sub-01_task-nf_run-1", extension=extension)
    data_set.path("sub-01_task-nf_run-1", "events.tsv").write_text(EVENTS)
    (run,) = data_set.before("sub-01_task-nf_run-2").runs()
    assert [(one.index, int(one.data.max())) for one in run.volumes] == [(0, 0), (1, 1)]
    assert int(run.volumes[-1].data[0, 0, 0]) == 1
    assert run.volumes[0].affine.diagonal().tolist() == [3, 3, 4, 1]
    assert run.volumes[0].entities == run.entities == {"subject": "01", "task": "nf", "run": "1"}
    assert (run.metadata["RepetitionTime"], run.repetition_time) == (2.0, 2.0)
    assert [event.trial_type for event in run.events.rows] == ["go"]
    assert run.responses == ()


def test_a_run_that_is_compressed_between_two_looks_is_read_all_the_same(data_set):
    data_set.add("sub-01_task-nf_run-1", extension=".nii")
    (run,) = data_set.before("sub-01_task-nf_run-2").runs()
    data_set.add("sub-01_task-nf_run-1")
    data_set.path("sub-01_task-nf_run-1", "bold.nii").unlink()
    assert [one.index for one in run.volumes] == [0, 1]


def test_the_feedback_of_each_experiment_is_told_apart(data_set):
    data_set.add("sub-01_task-nf_run-1")
    (run,) = data_set.before("sub-01_task-nf_run-2").runs()
    header = "experiment\trun\tvolume\tvalue\tstatus\treason\treceived\tdue\tsent\n"
    rows = ["a\tr\t0\t1.5\tok\tn/a\t1\t2\t1", 'b\tr\t0\t{"x":1}\tok\tn/a\t1\t2\t1', "a\tr\t1\tn/a\talternate\terror\t1\t2\t1"]
    data_set.derivative("sub-01_task-nf_run-1", "desc-feedback_timeseries.tsv").write_text(header + "\n".join(rows) + "\n")
    assert [(sent.volume, sent.value, sent.status) for sent in run.feedback("a")] == [(0, 1.5, "ok"), (1, None, "alternate")]
    assert [sent.value for sent in run.feedback("b")] == [{"x": 1}]
    with pytest.raises(InputMissing, match=r"of which experiment.* there is that of: a, b"):
        run.feedback()
    with pytest.raises(InputMissing, match="of 'c'; there is that of: a, b"):
        run.feedback("c")


def test_tables_have_a_number_a_volume_and_name_the_column_that_is_not_there(data_set):
    data_set.add("sub-01_task-nf_run-1")
    (run,) = data_set.before("sub-01_task-nf_run-2").runs()
    table = "volume\tframewise_displacement\tpose\n1\t0.25\tlost\n"
    data_set.derivative("sub-01_task-nf_run-1", "desc-motion_timeseries.tsv").write_text(table)
    assert run.motion.columns == ("framewise_displacement", "pose")
    assert np.array_equal(run.motion["framewise_displacement"], [np.nan, 0.25], equal_nan=True)
    assert run.motion.texts("pose") == {1: "lost"}
    with pytest.raises(InputMissing, match="no column 'framewise_displacment'; did you mean 'framewise_displacement'"):
        run.motion["framewise_displacment"]
    with pytest.raises(InputMissing, match="sub-01_task-nf_run-1 has no table of quality"):
        run.quality  # noqa: B018 - that it raises is what is asked


def test_a_contrast_that_is_not_there_is_named_with_those_that_are(data_set):
    data_set.add("sub-01_task-nf_run-1")
    (run,) = data_set.before("sub-01_task-nf_run-2").runs()
    values = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    path = data_set.derivative("sub-01_task-nf_run-1", "contrast-go_stat-t_statmap.nii.gz")
    nibabel.Nifti1Image(values, np.eye(4)).to_filename(path)
    assert run.contrasts == ("go",)
    assert np.array_equal(run.t("go"), values)
    with pytest.raises(InputMissing, match="no map of the contrast 'stop'; there are: go"):
        run.t("stop")


@pytest.mark.parametrize(
    ("suffix", "ask"),
    [
        ("bold.nii.gz", lambda run: run.volumes),
        ("bold.json", lambda run: run.metadata),
        ("events.tsv", lambda run: run.events),
    ],
)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe nonsense", b"[1"], ids=["empty", "binary", "broken"])
def test_what_cannot_be_read_is_named(data_set, suffix, ask, content):
    data_set.add("sub-01_task-nf_run-1")
    data_set.path("sub-01_task-nf_run-1", suffix).write_bytes(content)
    (run,) = data_set.before("sub-01_task-nf_run-2").runs()
    if suffix == "events.tsv" and not content:
        assert run.events.rows == ()
        return
    with pytest.raises(RtbidsError, match="sub-01_task-nf_run-1"):
        ask(run)


def test_a_scans_table_that_is_broken_is_named(data_set):
    data_set.add("sub-01_task-nf_run-1")
    (data_set.root / "sub-01" / "sub-01_scans.tsv").write_text("nothing\n")
    with pytest.raises(BadData, match=r"sub-01_scans\.tsv: expected a column filename"):
        data_set.before("sub-01_task-nf_run-2").runs()


@pytest.mark.parametrize("what", ["bold.nii.gz", "desc-motion_timeseries.tsv"])
def test_a_link_that_leads_out_of_the_data_set_is_not_followed(data_set, tmp_path, what):
    data_set.add("sub-01_task-nf_run-1")
    is_image = what.startswith("bold")
    path = (data_set.path if is_image else data_set.derivative)("sub-01_task-nf_run-1", what)
    path.unlink(missing_ok=True)
    (tmp_path / "elsewhere").write_text("volume\n")
    path.symlink_to(tmp_path / "elsewhere")
    (run,) = data_set.before("sub-01_task-nf_run-2").runs()
    with pytest.raises(BadData, match="leads out of the data set"):
        run.volumes if is_image else run.motion  # noqa: B018 - that it raises is what is asked


def test_looking_writes_nothing(data_set):
    data_set.add("sub-01_task-nf_run-1", "sub-02_task-nf")
    before = {path: path.stat().st_mtime_ns for path in data_set.root.rglob("*")}
    study = data_set.before("sub-01_task-nf_run-2")
    assert [list(run.volumes) and run.events for run in (*study.runs(), *study.runs(subject="02"))]
    assert study.sessions == ()
    assert {path: path.stat().st_mtime_ns for path in data_set.root.rglob("*")} == before


def test_the_data_set_that_is_replayed_comes_before_the_one_that_is_written(tmp_path):
    replayed, written = DataSet(tmp_path / "replayed"), DataSet(tmp_path / "written")
    replayed.add("sub-01_task-nf_run-1", "sub-01_task-nf_run-2")
    written.add("sub-01_task-nf_run-7")
    files = [str(data.path(name, "bold.nii.gz")) for data, name in _two(replayed, written)]
    assert names(study_so_far.of({}, Where(*files)).runs()) == ["sub-01_task-nf_run-1"]
    assert study_so_far.of({}, Where(None, files[1])).root == written.root
    with pytest.raises(UsageFault, match=r"sub-01_task-nf: run\.study is the data set that --bids-dir names"):
        study_so_far.of({"subject": "01", "task": "nf"}, Where())


def _two(replayed, written):
    return (replayed, "sub-01_task-nf_run-2"), (written, "sub-01_task-nf_run-7")


def test_a_run_that_the_script_has_still_to_end_is_not_waited_for(data_set):
    data_set.add("sub-01_task-nf_run-1", extension=".nii")
    still = ["sub-01_task-nf_run-1"]
    study = StudySoFar(data_set.root, {"subject": "01", "task": "nf", "run": "2"}, lambda name: name in still)
    with pytest.raises(BadData, match="sub-01_task-nf_run-1 has ended, but not yet for this script"):
        study.runs()
    still.clear()
    assert names(study.runs()) == ["sub-01_task-nf_run-1"]


def test_the_last_volumes_of_the_run_before_are_waited_for(data_set):
    data_set.add("sub-01_task-nf_run-1", extension=".nii")
    first = volume(0)
    file = data_set.path("sub-01_task-nf_run-1", "bold.nii")
    file.unlink()
    growing, asked, given = GrowingFile(file, first), threading.Event(), []

    def look():
        asked.set()
        (run,) = data_set.before("sub-01_task-nf_run-2").runs()
        given.extend(one.index for one in run.volumes)

    looks = threading.Thread(target=look)
    looks.start()
    assert asked.wait(10)
    looks.join(0.3)  # far longer than a look takes
    assert looks.is_alive()
    growing.append(voxels(volume(1)))
    growing.close()
    looks.join(10)
    assert given == [0, 1]


def test_a_run_that_is_itself_a_link_out_of_the_data_set_is_found_in_it(data_set, tmp_path):
    data_set.add("sub-01_task-nf_run-1", "sub-01_task-nf_run-2")
    file = data_set.path("sub-01_task-nf_run-2", "bold.nii.gz")
    file.rename(tmp_path / "elsewhere.nii.gz")
    file.symlink_to(tmp_path / "elsewhere.nii.gz")
    assert names(study_so_far.of({}, Where(str(file))).runs()) == ["sub-01_task-nf_run-1"]
