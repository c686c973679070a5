"""``rtbids convert --check`` as its user sees it."""

from __future__ import annotations

from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom

PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 12.0), repetition_time=2.0, volumes=3)


def test_a_folder_without_a_functional_series_is_65(call, tmp_path):
    (tmp_path / "x.dcm").write_text("no image")
    assert call("convert", tmp_path, "--check").code == 65


def test_the_command_shows_a_table(call, tmp_path):
    scanner.scan(scanner.dicoms(PHANTOM), tmp_path, interval=0)
    outcome = call("convert", tmp_path, "--check")
    assert outcome.code == 0, outcome.err
    head, row = [line.split("\t") for line in outcome.out.decode().splitlines()]
    assert head == ["series", "volumes", "image", "sidecar", "differs in"]
    assert row[1:3] == ["3", "agrees"]
    assert "1 of 1 runs agree" in outcome.err
