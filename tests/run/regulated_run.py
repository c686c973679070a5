"""The neurofeedback run among the real series: its volumes, its events, and where its regions are."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

import rtbids
from rtbids.bids import events as bids_events
from rtbids.bids.events import Events
from rtbids.volume import Volume


def read(real_data: Path, scratch: Path) -> tuple[Path, list[Volume], Events]:
    """Return its folder, its volumes and its events; skip where it is not there."""
    folder = real_data / "siemens_mosaic_vb17_nf" / "whole_run"
    if not folder.is_dir():
        pytest.skip("the neurofeedback run is not among the real series: siemens_mosaic_vb17_nf/whole_run")
    with tarfile.open(folder / "nf_run.tar.xz") as tar:
        tar.extractall(scratch, filter="data")
    return folder, list(rtbids.volumes(scratch)), bids_events.read((folder / "nf_run_events.tsv").read_text(), "events")
