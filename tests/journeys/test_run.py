"""``rtbids run`` as its user sees it: on a small data set, with scripts that behave and scripts that do not."""

from __future__ import annotations

import json
import os
import pty
import signal
import threading
from contextlib import suppress

import nibabel
import numpy as np
import pytest
from journeys.conftest import SHAPE, TR, table

MEAN = "def feedback(volume, run):\n    return float(volume.data.mean())\n"
DECLARED = f"from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Settings:\n    gain: int = 1\n\n{MEAN}"
ROI = "def feedback(volume, run):\n    return run.roi('target').mean()\n"


def means(small):
    return small.voxels.mean(axis=(0, 1, 2)).tolist()


def archived(study):
    (file,) = (study / "sub-07" / "func").glob("*_bold.nii.gz")
    return np.asarray(nibabel.load(file).dataobj)


@pytest.mark.alone
def test_each_volume_gets_one_line_with_the_scripts_value_on_standard_output(small, script, call):
    outcome = call("run", script(MEAN), small.root, "--speed", "max")
    assert outcome.code == 0, outcome.err
    assert [line["volume"] for line in outcome.lines] == list(range(30))
    assert {line["status"] for line in outcome.lines} == {"ok"}
    assert [line["value"] for line in outcome.lines] == pytest.approx(means(small), rel=1e-12)
    assert list(outcome.lines[0]) == ["experiment", "run", "volume", "value", "status", "reason", "received", "due", "sent"]


@pytest.mark.alone
def test_the_data_set_holds_the_same_voxels_affine_events_and_tables(small, script, call, tmp_path):
    study = tmp_path / "study"
    outcome = call("run", script(MEAN), small.root, "--speed", "max", "--bids-dir", study)
    assert outcome.code == 0, outcome.err
    assert outcome.out == b""
    assert np.array_equal(archived(study), small.voxels)
    (events,) = study.rglob("*_events.tsv")
    assert events.read_bytes() == next(small.root.rglob("*_events.tsv")).read_bytes()
    feedback, latency = table(study, "feedback"), table(study, "latency")
    assert [float(row["value"]) for row in feedback] == pytest.approx(means(small), rel=1e-12)
    assert [row["volume"] for row in latency] == [str(index) for index in range(30)]
    stages = ("received", "analysed", "answered", "sent")
    for row in latency:
        assert sorted(stages, key=lambda stage: float(row[stage])) == list(stages)
    (report,) = study.rglob("*_report.html")
    assert "sub-07_task-small_run-1" in report.read_text()


@pytest.mark.alone
def test_replaying_what_a_paced_run_archived_gives_its_values_bit_for_bit(small, script, call, tmp_path):
    experiment = script(
        "def feedback(volume, run):\n    return run.roi('target').percent_signal_change('rest')\n",
        f"rois:\n  target: {small.mask_file}\n",
    )
    study = tmp_path / "study"
    first = call("run", experiment, small.root, "--bids-dir", study, "--feedback", tmp_path / "live.jsonl")
    assert first.code == 0, first.err
    live = [json.loads(line) for line in (tmp_path / "live.jsonl").read_text().splitlines()]
    stream = call("replay", study, "--speed", "max")
    again = call("run", experiment, "-", stdin=stream.out)
    assert again.code == 0, again.err
    ok = {line["volume"]: line["value"] for line in live if line["status"] == "ok"}
    assert len(ok) >= 25  # a loaded machine may miss one
    assert ok == {line["volume"]: line["value"] for line in again.lines if line["volume"] in ok}


@pytest.mark.alone
def test_percent_signal_change_is_that_of_numpy(small, script, call):
    experiment = script(
        "def feedback(volume, run):\n    return run.roi('target').percent_signal_change('rest')\n",
        f"rois:\n  target: {small.mask_file}\n",
    )
    outcome = call("run", experiment, small.root, "--speed", "max")
    signal_ = small.voxels[small.mask > 0].mean(axis=0)
    times = np.arange(30) * TR
    rest = ~(((times > 0.49) & (times < 0.99)) | ((times > 1.49) & (times < 1.99)))
    expected = [100 * (signal_[n] / signal_[: n + 1][rest[: n + 1]].mean() - 1) for n in range(30)]
    # The sums are taken in another order than numpy's; nothing else differs.
    assert [line["value"] for line in outcome.lines] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("return 1 / 0", "ZeroDivisionError: division by zero (experiment.py, line 3)"),
        ("return 'a word'", "found str"),
        ("return float('nan')", "found nan"),
        ("raise SystemExit(3)", "ended by itself (exit code 3)"),
        ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL"),
    ],
)
def test_a_script_that_fails_on_a_volume_costs_that_volume_only(small, script, call, trouble, words):
    experiment = script(f"def feedback(volume, run):\n    if volume.index == 5:\n        {trouble}\n    return volume.index\n")
    outcome = call("run", experiment, small.root, "--speed", "max", "--alternate", "-1")
    assert outcome.code == 0, outcome.err
    assert words in outcome.err
    assert [line["value"] for line in outcome.lines] == [*range(5), -1, *range(6, 30)]
    assert (outcome.lines[5]["status"], outcome.lines[5]["reason"]) == ("alternate", "error")


@pytest.mark.alone
def test_after_a_crash_the_analysis_has_missed_nothing(small, script, call, tmp_path):
    seen = "len(run.roi('target').series())"
    crash = f"def feedback(volume, run):\n    if volume.index == 5:\n        raise SystemExit(1)\n    return {seen}\n"
    experiment = script(crash, f"rois:\n  target: {small.mask_file}\n")
    outcome = call("run", experiment, small.root, "--speed", "max", "--bids-dir", tmp_path / "study", "--feedback", "-")
    assert [line["value"] for line in outcome.lines] == [1, 2, 3, 4, 5, 5, *range(7, 31)]


@pytest.mark.alone
def test_a_script_that_hangs_delays_nothing_and_is_started_again(small, script, call, tmp_path):
    hang = "import time\n\ndef feedback(volume, run):\n    volume.index == 3 and time.sleep(100)\n    return volume.index\n"
    study = tmp_path / "study"
    outcome = call("run", script(hang), small.root, "--deadline", "0.1", "--bids-dir", study, "--feedback", "-")
    assert outcome.code == 0, outcome.err
    assert "silent for 1 s" in outcome.err
    assert [line["volume"] for line in outcome.lines] == list(range(30))
    missed = [line for line in outcome.lines if line["reason"] == "deadline"]
    assert {3, 4, 5} <= {line["volume"] for line in missed}
    assert all(line["sent"] >= line["due"] for line in missed)
    # The figure on a quiet machine is in the benchmarks; here it only must not wait for the script.
    assert max(line["sent"] - line["due"] for line in missed) < 0.5
    assert outcome.lines[-1]["status"] == "ok"
    assert np.array_equal(archived(study), small.voxels)


@pytest.mark.alone
def test_what_a_script_prints_does_not_get_into_the_feedback(small, script, call):
    outcome = call("run", script("print('hello')\n" + MEAN), small.root, "--speed", "max", "--volumes", 2)
    assert len(outcome.lines) == 2
    assert "hello" in outcome.err


@pytest.mark.parametrize(
    ("text", "config", "code", "words"),
    [
        ("def feedback(volume run):\n    pass\n", "", 70, "experiment.py, line 1"),
        ("x = 1\n", "", 70, "feedback(volume, run)"),
        ("import nowhere_to_be_found\n" + MEAN, "", 70, "nowhere_to_be_found"),
        ("def start(run):\n    raise ValueError('no model')\n" + MEAN, "", 70, "no model (experiment.py, line 2)"),
        (MEAN, "rois: [1\n", 64, "config.yaml, line"),
        (MEAN, "deadlin: 1\n", 64, "'deadline'"),
        (MEAN, "deadline: 0\n", 64, "above 0"),
        (MEAN, "settings:\n  gain: 2\n", 64, "Settings"),
        (DECLARED, "settings:\n  gian: 2\n", 64, "config.yaml, settings"),
        (MEAN, "rois:\n  target: nowhere.nii\n", 66, "nowhere.nii"),
    ],
    ids=[
        "syntax",
        "no feedback",
        "import",
        "start",
        "yaml",
        "unknown key",
        "deadline",
        "settings without class",
        "unknown setting",
        "mask missing",
    ],
)
def test_an_experiment_that_cannot_be_begun_is_one_clear_line(small, script, call, text, config, code, words):
    outcome = call("run", script(text, config), small.root, "--speed", "max")
    assert outcome.code == code, outcome.err
    assert words in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.err.count("\n") <= 2


def test_a_mask_on_another_grid_names_both_and_nothing_is_written(small, script, call, tmp_path):
    nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)).to_filename(tmp_path / "other.nii")
    study = tmp_path / "study"
    experiment = script(ROI, f"rois:\n  target: {tmp_path / 'other.nii'}\n")
    outcome = call("run", experiment, small.root, "--bids-dir", study)
    assert outcome.code == 65, outcome.err
    assert "4×4×4 voxels of 1×1×1 mm" in outcome.err
    assert "8×9×5 voxels of 3×3×4 mm" in outcome.err
    assert not list(study.glob("sub-*"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "no_such_thing", "."], 66, "roi_feedback"),
        (["run", "roi_feedback", "/no/such/folder"], 66, "/no/such/folder"),
        (["rum"], 64, "did you mean 'run'"),
        (["run", "roi_feedback", ".", "--deadlin", "3"], 64, "--deadline"),
        (["run", "roi_feedback", ".", "--subject", "a/b"], 64, "letters and digits"),
        (["run", "roi_feedback", "s3://bucket/x"], 64, "s3://"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_clear_line(call, tmp_path, arguments, code, words):
    outcome = call(*arguments, cwd=tmp_path)
    assert outcome.code == code, outcome.err
    assert words in outcome.err
    assert "Traceback" not in outcome.err


def test_a_stream_cut_in_the_middle_ends_with_74_and_keeps_what_came_whole(small, script, call, tmp_path):
    stream = call("replay", small.root, "--speed", "max").out
    study = tmp_path / "study"
    outcome = call("run", script(MEAN), "-", "--bids-dir", study, "--feedback", "-", stdin=stream[: len(stream) // 2])
    assert outcome.code == 74, outcome.err
    whole = len(outcome.lines)
    assert 10 < whole < 20
    assert np.array_equal(archived(study), small.voxels[..., :whole])


@pytest.mark.alone
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_run_in_order(small, script, start, tmp_path, number, code):
    study = tmp_path / "study"
    process = start("run", script(MEAN), small.root, "--speed", "0.5", "--bids-dir", study, "--feedback", "-")
    for _ in range(3):
        process.stdout.readline()
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err.decode()
    sent = 3 + len(out.splitlines())
    assert np.array_equal(archived(study), small.voxels[..., :sent])
    assert len(table(study, "latency")) == sent
    (report,) = study.rglob("*_report.html")
    assert str(report) in err.decode()


def test_a_signal_while_a_script_is_loaded_ends_all_at_once(small, script, start, tmp_path):
    hangs = 'import threading\n\nprint("is imported")\nthreading.Event().wait()\n'
    process = start("run", script(hangs), small.root, "--bids-dir", tmp_path / "study")
    while b"is imported" not in (said := process.stderr.readline()):
        assert said
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.decode().splitlines() == ["rtbids: stopped by SIGINT"]
    assert not list(tmp_path.rglob("study/**/*_bold*"))


def test_a_mask_that_is_not_there_is_missed_before_the_scan(script, call, tmp_path):
    (tmp_path / "export").mkdir()
    outcome = call("run", script(ROI, "rois:\n  target: nowhere.nii\n"), tmp_path / "export", "--bids-dir", tmp_path / "study")
    assert outcome.code == 66
    assert "nowhere.nii: the mask cannot be read" in outcome.err


def test_events_of_ones_own_are_archived_in_the_order_of_bids(small, script, call, tmp_path):
    (tmp_path / "mine.tsv").write_text("trial_type\tonset\tduration\nregulate\t0.5\t1\n")
    study = tmp_path / "study"
    outcome = call(
        "run",
        script(MEAN),
        small.root,
        "--speed",
        "max",
        "--events",
        tmp_path / "mine.tsv",
        "--bids-dir",
        study,
        "--volumes",
        3,
    )
    assert outcome.code == 0, outcome.err
    (events,) = study.rglob("*_events.tsv")
    assert events.read_text() == "onset\tduration\ttrial_type\n0.5\t1\tregulate\n"


def test_an_event_of_a_negative_duration_is_refused_with_the_name_of_its_file(small, script, call, tmp_path):
    (tmp_path / "mine.tsv").write_text("onset\tduration\ttrial_type\n0.5\t-1\tregulate\n")
    outcome = call("run", script(MEAN), small.root, "--events", tmp_path / "mine.tsv")
    assert outcome.code == 65
    assert f"{tmp_path / 'mine.tsv'}: the event at 0.5 s has a duration of -1 s" in outcome.err


@pytest.mark.alone
def test_a_debugger_has_the_terminal_to_itself(small, script, start, tmp_path):
    ours, theirs = pty.openpty()
    process = start("run", script(MEAN), small.root, "--in-process", "--feedback", tmp_path / "f.tsv", stderr=theirs)
    os.close(theirs)
    with open(ours, "rb", buffering=0) as terminal, suppress(OSError):  # EIO is the end of a terminal
        said = b""
        while chunk := terminal.read(4096):
            said += chunk
    assert process.wait() == 0
    assert b"30 volumes" in said
    assert b"\x1b[2K" not in said  # "erase this line", with which a live line begins


@pytest.mark.alone
def test_a_second_process_on_the_same_run_is_refused(small, script, start, call, tmp_path):
    study = tmp_path / "study"
    experiment = script(MEAN)
    stream = call("replay", small.root, "--speed", "max", "--volumes", 3).out
    first = start("run", experiment, small.root, "--speed", "0.5", "--bids-dir", study, "--feedback", "-")
    first.stdout.readline()
    second = call("run", experiment, "-", "--run", 1, "--bids-dir", study, stdin=stream)
    assert second.code == 73, second.err
    assert "sub-07_task-small_run-1" in second.err


def test_a_run_that_is_there_is_not_touched_and_the_new_one_takes_the_next_number(small, script, call, tmp_path):
    study = tmp_path / "study"
    for _ in range(2):
        assert call("run", script(MEAN), small.root, "--speed", "max", "--bids-dir", study).code == 0
    names = sorted(file.name for file in (study / "sub-07" / "func").glob("*_bold.nii.gz"))
    assert names == ["sub-07_task-small_run-02_bold.nii.gz", "sub-07_task-small_run-1_bold.nii.gz"]


@pytest.mark.alone
def test_feedback_through_a_named_pipe_and_a_reader_that_leaves(small, script, start, tmp_path):
    pipe = tmp_path / "feedback"
    os.mkfifo(pipe)
    process = start("run", script(MEAN), small.root, "--feedback", pipe, "--feedback", tmp_path / "all.tsv")
    with pipe.open() as reader:
        values = [json.loads(reader.readline())["value"] for _ in range(3)]
    assert values == pytest.approx(means(small)[:3], rel=1e-12)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err.decode()
    assert b"its reader has gone; the run goes on" in err
    assert len((tmp_path / "all.tsv").read_text().splitlines()) == 31


def test_a_feedback_pipe_without_a_reader_is_named_after_the_time_out(small, script, call, tmp_path):
    os.mkfifo(tmp_path / "feedback")
    outcome = call("run", script(MEAN), small.root, "--feedback", tmp_path / "feedback", "--open-timeout", "0.2")
    assert outcome.code == 74
    assert "waited 0.2 s for a reader" in outcome.err


def test_an_output_that_cannot_be_written_is_73(small, script, call, tmp_path):
    outcome = call("run", script(MEAN), small.root, "--feedback", tmp_path / "no" / "folder.jsonl")
    assert outcome.code == 73, outcome.err
    outcome = call("run", script(MEAN), small.root, "--bids-dir", small.mask_file)
    assert outcome.code == 73, outcome.err


def test_a_log_of_json_lines_is_nothing_else(small, script, call):
    fails = "def feedback(volume, run):\n    return 1 / (volume.index - 2)\n"
    outcome = call("run", script(fails), small.root, "--speed", "max", "--log-json")
    (warning,) = [json.loads(line) for line in outcome.err.splitlines()]
    assert warning["level"] == "warning"
    assert "volume 2" in warning["message"]


def test_in_process_gives_the_same_values(small, script, call):
    outcome = call("run", script(MEAN), small.root, "--speed", "max", "--in-process")
    assert outcome.code == 0, outcome.err
    assert [line["value"] for line in outcome.lines] == pytest.approx(means(small), rel=1e-12)


def test_the_python_api_gives_the_volumes(small):
    import rtbids

    seen = list(rtbids.volumes(small.root))
    assert [volume.index for volume in seen] == list(range(30))
    assert seen[0].shape == SHAPE
    assert np.array_equal(seen[7].data, small.voxels[..., 7])


@pytest.mark.alone
def test_many_lines_do_not_wait_for_a_reader_that_stands_still(small, script, start, tmp_path):
    pipe = tmp_path / "feedback"
    os.mkfifo(pipe)
    process = start("run", script(MEAN), small.root, "--speed", "max", "--feedback", pipe)
    opened = threading.Event()
    done = threading.Event()

    def hold() -> None:
        with pipe.open("rb"):
            opened.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert opened.wait(20)
    process.wait(timeout=30)
    done.set()
    holder.join()
    assert process.returncode == 0
