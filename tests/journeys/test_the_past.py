"""What a script may read of the past: any volume of its run so far, and the runs of the data set before it."""

from __future__ import annotations

import json
import shutil

import nibabel
import numpy as np
import pytest
from journeys.conftest import SHAPE, TR

pytestmark = pytest.mark.alone

FROM_THE_FIRST = """
def feedback(volume, run):
    change = volume.data.astype(float).mean() - run.volumes[0].data.mean()
    before = float(run.volumes[-2].data[4, 4, 2]) if len(run.volumes) > 1 else None
    return {"change": change, "before": before, "count": len(run.volumes)}
"""
FROM_THE_SESSION_BEFORE = """
def feedback(volume, run):
    before = run.study.latest(task="nf")
    baseline = sum(one.data.mean() for one in before.volumes) / len(before.volumes)
    return {"change": float(volume.data.mean() - baseline), "from": before.name, "runs": len(run.study.runs())}
"""
COUNTS_RUNS = "def feedback(volume, run):\n    return len(run.study.runs())\n"


def values(lines):
    return {line["volume"]: line["value"] for line in lines if line["status"] == "ok"}


@pytest.fixture
def sessions(tmp_path):
    """A data set of three sessions, and the voxels of each."""
    root, voxels = tmp_path / "sessions", {}
    for session in ("1", "2", "3"):
        func = root / "sub-07" / f"ses-{session}" / "func"
        func.mkdir(parents=True)
        voxels[session] = np.random.default_rng(int(session)).integers(100, 1000, (*SHAPE, 8), dtype=np.int16)
        image = nibabel.Nifti1Image(voxels[session], np.diag([3, 3, 4, 1]))
        image.header.set_zooms((3, 3, 4, TR))
        image.header.set_xyzt_units("mm", "sec")
        name = f"sub-07_ses-{session}_task-nf"
        image.to_filename(func / f"{name}_bold.nii.gz")
        (func / f"{name}_bold.json").write_text(json.dumps({"RepetitionTime": TR, "TaskName": "nf"}))
    (root / "dataset_description.json").write_text(json.dumps({"Name": "sessions", "BIDSVersion": "1.10.0"}))
    return root, voxels


def expected(voxels):
    first = voxels[..., 0].mean()
    return {
        index: {
            "change": voxels[..., index].mean() - first,
            "before": float(voxels[4, 4, 2, index - 1]) if index else None,
            "count": index + 1,
        }
        for index in range(voxels.shape[3])
    }


@pytest.mark.parametrize("kept", [True, False], ids=["archived", "kept nowhere"])
@pytest.mark.parametrize("where", [[], ["--in-process"]], ids=["in its own process", "in the run's process"])
def test_a_script_reads_any_earlier_volume_of_its_run(small, script, call, tmp_path, kept, where):
    to = ["--bids-dir", tmp_path / "study"] if kept else []
    outcome = call("run", script(FROM_THE_FIRST), small.root, "--speed", "max", "--feedback", "-", *to, *where)
    assert outcome.code == 0, outcome.err
    assert values(outcome.lines) == expected(small.voxels)


def test_after_a_crash_the_script_has_the_volumes_from_before_it(small, script, call, tmp_path):
    crash = FROM_THE_FIRST.replace("    change =", "    if volume.index == 5:\n        raise SystemExit(1)\n    change =")
    outcome = call("run", script(crash), small.root, "--speed", "max", "--bids-dir", tmp_path / "study", "--feedback", "-")
    assert outcome.code == 0, outcome.err
    assert "is started again" in outcome.err
    without_the_crash = expected(small.voxels)
    del without_the_crash[5]
    assert values(outcome.lines) == without_the_crash


@pytest.mark.slow
def test_a_replayed_session_is_given_what_it_was_given_live_and_nothing_later(sessions, script, call, tmp_path):
    source, voxels = sessions
    study, experiment, live = tmp_path / "study", script(FROM_THE_SESSION_BEFORE), {}
    for session in ("1", "2", "3"):
        stream = call("replay", source, "--session", session, "--speed", "max")
        outcome = call("run", experiment, "-", "--bids-dir", study, "--feedback", "-", stdin=stream.out)
        assert outcome.code == 0, outcome.err
        live[session] = values(outcome.lines)
    assert live["1"] == {}  # nothing was there before it
    for session, before in (("2", "1"), ("3", "2")):
        baseline = np.mean([voxels[before][..., index].mean() for index in range(8)])
        changes = [live[session][index]["change"] for index in range(8)]
        # Sums are taken in another order than numpy's; nothing else differs.
        assert changes == pytest.approx([voxels[session][..., index].mean() - baseline for index in range(8)], abs=1e-9)
        assert live[session][0]["from"] == f"sub-07_ses-{before}_task-nf"
        assert live[session][0]["runs"] == int(before)
        replay = ("run", experiment, study, "--session", session, "--speed", "max", "--feedback", "-")
        assert values(call(*replay).lines) == live[session]
        assert values(call(*replay, "--bids-dir", tmp_path / session).lines) == live[session]


@pytest.mark.parametrize("where", [[], ["--in-process"]], ids=["in its own process", "in the run's process"])
def test_the_run_before_in_a_stream_is_there_whole(small, script, call, tmp_path, where):
    name = small.file.name.removesuffix("_bold.nii.gz")
    for file in sorted(small.file.parent.glob(f"{name}_*")):
        shutil.copy(file, file.with_name(file.name.replace("run-1", "run-2")))
    last = "def feedback(volume, run):\n    return [one.volumes[-1].index for one in run.study.runs()] or None\n"
    experiment = script(last.replace("return ", "return {'last': ").replace(" or None", "}"))
    stream = call("replay", small.root, "--speed", "max")
    to = ("--bids-dir", tmp_path / "study", "--feedback", "-")
    outcome = call("run", experiment, "-", *to, *where, stdin=stream.out)
    assert outcome.code == 0, outcome.err
    told = [(line["run"][-1], line["value"]) for line in outcome.lines]
    assert told == [("1", {"last": []})] * 30 + [("2", {"last": [29]})] * 30


def test_without_a_data_set_one_line_names_bids_dir(small, script, call):
    stream = call("replay", small.root, "--speed", "max")
    outcome = call("run", script(COUNTS_RUNS), "-", stdin=stream.out)
    assert outcome.code == 0, outcome.err
    assert {line["reason"] for line in outcome.lines} == {"error"}
    assert "run.study is the data set that --bids-dir names" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:200]), "cannot be read"),
        (lambda file: file.write_bytes(b""), "ended after 0 of 348 bytes"),
        (lambda file: file.write_bytes(b"not an image"), "cannot be read"),
        (lambda file: (file.unlink(), file.symlink_to("/nowhere/at/all.nii.gz")), "leads out of the data set"),
    ],
    ids=["cut", "empty", "another file", "a link out of the data set"],
)
def test_an_earlier_run_that_cannot_be_read_costs_feedback_and_is_named(sessions, script, call, spoil, words):
    root, _ = sessions
    spoil(root / "sub-07/ses-1/func/sub-07_ses-1_task-nf_bold.nii.gz")
    outcome = call("run", script(FROM_THE_SESSION_BEFORE), root, "--session", "2", "--speed", "max")
    assert outcome.code == 0, outcome.err
    assert [line["reason"] for line in outcome.lines] == ["error"] * 8
    assert words in outcome.err
    assert "ses-1_task-nf_bold.nii.gz" in outcome.err
    assert "Traceback" not in outcome.err
