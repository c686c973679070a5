"""``make demo``: a scanner simulation through the whole loop, with feedback whose truth is known.

A phantom with one active region is scanned, ten times as fast as a scanner would; its DICOM files appear in a folder that
``rtbids run`` watches, as at a real one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np

from rtbids.cli import console, running
from rtbids.cli.request import Live, Request
from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom
from rtbids.run.recipe import recipes
from rtbids.run.recipe.recipes import Wishes
from rtbids.run.report import report, reports

PHANTOM = Phantom(volumes=120)
RUN = {"subject": "01", "task": "nf", "run": "01"}
SPEED = 10
QUIET = 3.0  # seconds without a file after which the run is over


def main(folder: Path) -> None:
    """Run the demonstration in `folder`, which is begun anew, and say how well the feedback followed the truth."""
    export, study = _prepared(folder)
    console.set_up(verbose=False, quiet=False, log_file=None, log_json=False)
    console.say(
        f"A phantom is scanned: {PHANTOM.volumes} volumes, {SPEED} times as fast as a scanner with a TR of "
        f"{PHANTOM.repetition_time:g} s.\nIts active region is what roi_feedback gives feedback of.\n"
    )
    order = running.Order(
        ("roi_feedback",),
        Wishes((f"rois.target={folder / 'region.nii.gz'}",)),
        bids_dir=study,
        destinations=(str(folder / "feedback.tsv"),),
        events=folder / "events.tsv",
    )
    request = Request(str(export), {"task": "nf"}, Live(idle_timeout=QUIET))
    scan = subprocess.Popen([sys.executable, "-m", "rtbids.cli.demo", "scan", str(export)])
    try:
        running.run(order, request)
    finally:
        scan.kill()
        scan.wait()
    page = folder / "report.html"
    masks = reports.masks(recipes.read(order.experiments, order.wishes))
    report.write(study, RUN, page, experiment=masks, truth=PHANTOM.truth.tolist())
    followed = _correlation(folder / "feedback.tsv", PHANTOM.truth)
    console.say(
        f"\nThe feedback followed the truth with r = {followed:.3f}.\n\n"
        f"  data set  {study}\n  feedback  {folder / 'feedback.tsv'}\n  report    {page}\n"
    )


def scan(export: Path) -> None:
    """Play the scanner: one DICOM file every tenth of a TR."""
    scanner.scan(scanner.dicoms(PHANTOM), export, interval=PHANTOM.repetition_time / SPEED)


def _prepared(folder: Path) -> tuple[Path, Path]:
    for old in ("export", "study"):
        shutil.rmtree(folder / old, ignore_errors=True)
    (folder / "export").mkdir(parents=True)
    (folder / "events.tsv").write_text(PHANTOM.events)
    nibabel.Nifti1Image(PHANTOM.mask(), PHANTOM.affine).to_filename(folder / "region.nii.gz")
    return folder / "export", folder / "study"


def _correlation(feedback: Path, truth: np.ndarray) -> float:
    header, *rows = [line.split("\t") for line in feedback.read_text().splitlines()]
    index, value, status = (header.index(name) for name in ("volume", "value", "status"))
    ok = [(int(row[index]), float(row[value])) for row in rows if row[status] == "ok" and row[value] != "n/a"]
    given = np.array(ok)
    return float(np.corrcoef(given[:, 1], truth[given[:, 0].astype(int)])[0, 1])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["scan", place]:
            scan(Path(place))
        case [place]:
            main(Path(place))
        case _:
            main(Path("demo"))
