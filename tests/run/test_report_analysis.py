"""What a report says of motion, quality, design and maps."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
from report_pages import ENTITIES, STEM, Page

from rtbids.run.report import report
from rtbids.run.report.figures import map_pictures, pictures

AFFINE = np.array([[-3.0, 0, 0, 30], [0, 3, 0, -30], [0, 0, 4, -16], [0, 0, 0, 1]])
SHAPE = (20, 20, 9)
MOTION = "volume\ttrans_x\ttrans_y\ttrans_z\trot_x\trot_y\trot_z\tframewise_displacement\trmsd\tpose"
QUALITY = "volume\tdvars\tglobal_signal\ttsnr\tspike\tgood"


@pytest.fixture
def study(tmp_path) -> Path:
    func, derived = (tmp_path / base / "sub-01/func" for base in (".", "derivatives/rtbids"))
    for folder in (func, derived):
        folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    nibabel.save(nibabel.Nifti1Image(rng.integers(0, 900, (*SHAPE, 6)).astype(np.int16), AFFINE), func / f"{STEM}_bold.nii.gz")
    (func / f"{STEM}_bold.json").write_text('{"RepetitionTime": 2.0}')
    lost = "no end after 20 steps"
    motion = [MOTION, "0\t0.0\t0.0\t0.0\t0.0\t0.0\t0.0\tn/a\tn/a\tknown"]
    motion += [f"{n}\t0.{n}\t-0.05\t0.02\t0.001\t0.0\t0.0\t0.{n}\t0.1\tknown" for n in (1, 2, 5)]
    motion += [f"3\t{chr(9).join(['n/a'] * 8)}\t{lost}"]
    (derived / f"{STEM}_desc-motion_timeseries.tsv").write_text("\n".join(motion) + "\n")
    quality = [
        QUALITY,
        *(f"{n}\t{1.5 + n}\t800.0\t{60 + n}\t{'dvars' if n == 4 else 'none'}\t{float(n < 3)}" for n in range(6)),
    ]
    (derived / f"{STEM}_desc-quality_timeseries.tsv").write_text("\n".join(quality) + "\n")
    design = ["volume\tgo\tconstant", *(f"{n}\t0.{n}\t1.0" for n in range(6))]
    (derived / f"{STEM}_desc-design_timeseries.tsv").write_text("\n".join(design) + "\n")
    t = rng.normal(0, 1, SHAPE).clip(-2, 2)
    t[5, 6, 7], t[9, 9, 2], t[0, 0, 0] = 8.0, -5.0, np.nan
    image = nibabel.Nifti1Image(t.astype(np.float32), AFFINE)
    nibabel.save(image, derived / f"{STEM}_contrast-faces_stat-t_statmap.nii.gz")
    (derived / f"{STEM}_contrast-faces_stat-t_statmap.json").write_text('{"Volumes": 6, "DegreesOfFreedom": 4}')
    return tmp_path


def page(study: Path) -> Page:
    report.write(study, ENTITIES, study / "report.html")
    return Page((study / "report.html").read_text())


def test_each_part_has_its_section_and_its_numbers(study):
    text = page(study).text
    for title in ("Motion", "Data quality", "Design", "Maps"):
        assert title in text
    assert "0.27 mm on average and 0.50 mm at the most" in text
    assert "The pose is not known in 1 volume: 3 (the first: no end after 20 steps)" in text
    assert "1 spike in 6 volumes" in text
    assert (
        "6 s of good data: 3 of 6 volumes (50.0 %) moved less than 0.2 mm, and of 3, the first among them, it is not known"
        in text
    )
    assert "known of 3 volumes: 1 of them (33.3 %) moved less than 0.2 mm" in text
    assert "2 regressors of 6 volumes." in text
    x, y, z = (f"{place:.0f}".replace("-", "−") for place in (AFFINE @ [5, 6, 7, 1])[:3])
    assert f"Greatest t 8.0 at ({x}, {y}, {z}) mm; 1 voxel above 3.1, 1 below −3.1" in text
    assert "6 volumes, 4 degrees of freedom" in text


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ((3, 2.5, "n/a", 2), "as it went, another 2 min 0 s would have been enough"),
        ((1, 0.5, 0.0, 0.0), "there was enough of it at volume 2 · 0:04"),
    ],
)
def test_the_time_to_enough_good_data_is_told_where_it_was_worked_out(study, left, expected):
    table = study / f"derivatives/rtbids/sub-01/func/{STEM}_desc-quality_timeseries.tsv"
    rows = [f"{n}\t1.0\t800.0\t60\tnone\t1.0\t{minutes}" for n, minutes in enumerate(left)]
    table.write_text("\n".join([f"{QUALITY}\tminutes_to_criterion", *rows]) + "\n")
    assert expected in page(study).text


def test_a_volume_that_never_came_is_in_no_count_of_spikes(study):
    table = study / f"derivatives/rtbids/sub-01/func/{STEM}_desc-quality_timeseries.tsv"
    table.write_text(table.read_text() + "6\tn/a\tn/a\tn/a\tn/a\tn/a\n")
    found = page(study)
    assert "1 spike in 6 volumes" in found.text
    assert "1 spike (16.7 % of volumes): 4" in found.text


@pytest.mark.parametrize(
    ("asked", "good", "spike"), [(True, "0.2", "0.5"), ({"good_displacement": 0.35}, "0.35", "0.5"), (7, "0.2", "0.5")]
)
def test_what_counts_as_good_is_what_the_experiment_asked_for(study, asked, good, spike):
    head = study / f"derivatives/rtbids/sub-01/func/{STEM}_desc-"
    (head.parent / f"{head.name}quality_timeseries.json").write_text('{"Experiment": "still"}')
    about = {"GeneratedBy": [{"Version": "1"}], "Experiments": {"still": {"Analysis": {"quality": asked}}}}
    (head.parent / f"{head.name}feedback_timeseries.json").write_text(json.dumps(about))
    text = page(study).text
    assert f"moved less than {good} mm" in text
    assert f"good below {good} mm" in text
    assert f"spike from {spike} mm" in text


def test_how_far_the_head_moved_and_what_is_wrong_with_it_stand_at_the_top(study):
    found = page(study)
    assert "From one volume to the next the head moved 0.5 mm at most." in found.text
    assert "The temporal signal-to-noise ratio was 65 at the end." in found.text
    links = {element.text: element.attributes["href"] for element in found.all("a") if "nav" not in element.above}
    assert links["the head was not found in 1 volume: 3"] == "#motion"
    assert links["1 spike (16.7 % of volumes): 4"] == "#data-quality"
    assert links["no feedback was recorded"] == "#feedback"
    assert "All 6 volumes came; no feedback was given." in found.text


def test_a_run_without_an_analysis_has_none_of_them(study):
    for file in (study / "derivatives/rtbids/sub-01/func").iterdir():
        file.unlink()
    text = page(study).text
    for title in ("Motion", "Data quality", "Design", "Maps"):
        assert title not in text


def test_what_cannot_be_read_is_a_warning_and_costs_no_more(study):
    folder = study / "derivatives/rtbids/sub-01/func"
    (folder / f"{STEM}_contrast-faces_stat-t_statmap.nii.gz").write_bytes(b"no image")
    (folder / f"{STEM}_desc-motion_timeseries.tsv").write_text(f"{MOTION}\n0\t0.1\nx\ty\n-4\t1\n99999999\t2\n")
    (folder / f"{STEM}_desc-design_timeseries.tsv").write_text("volume\tgo\n0\tnan\n1\tinf\n")
    found = page(study)
    assert "statmap" in found.text
    assert "Data quality" in found.text


def test_voxels_beyond_the_threshold_alone_are_coloured_warm_and_cold():
    rgba = map_pictures.colours(np.array([[0.0, 3.0, 3.2, 8.0], [-3.0, -3.2, -8.0, 0.0]]), 8.0)
    assert (rgba[..., 3] > 0).tolist() == [[False, False, True, True], [False, True, True, False]]
    assert rgba[0, 3, 0] > rgba[0, 3, 2]
    assert rgba[1, 2, 2] > rgba[1, 2, 0]
    assert rgba[0, 3, 1] > rgba[0, 2, 1]


def test_only_slices_with_something_to_see_are_shown(study):
    found = page(study)
    labels = [element.attributes.get("aria-label", "") for element in found.all("svg")]
    assert len([label for label in labels if label.startswith("t-map at z")]) == 2


def test_a_picture_in_colours_is_a_png_that_decodes_to_itself():
    rgba = np.random.default_rng(1).integers(0, 256, (5, 7, 4)).astype(np.uint8)
    content = pictures.png(rgba)
    assert content[25] == 6  # colour type: RGBA
    chunk = re.search(rb"IDAT(.*)....\x00\x00\x00\x00IEND", content, re.DOTALL)
    assert chunk is not None
    rows = np.frombuffer(zlib.decompress(chunk[1]), np.uint8).reshape(5, 29)
    np.testing.assert_array_equal(np.cumsum(rows[:, 1:].reshape(5, 7, 4), axis=1, dtype=np.uint8), rgba)
    assert base64.b64decode(pictures.data_uri(rgba).partition(",")[2]) == content
