"""The volumes that are kept on the machine of the scripts, beside the latest contents that came there."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
from run.sessions import volume
from stream.link_ends import ends

from rtbids import nifti
from rtbids.run.far import members
from rtbids.run.far.kept import Kept
from rtbids.run.far.output_there import Output
from rtbids.run.far.scripts import Scripts
from rtbids.run.far.store import Store
from rtbids.run.process import told
from rtbids.run.process.channel import Message
from rtbids.run.process.launcher import Launcher
from rtbids.run.process.memory_file import MemoryFile
from rtbids.run.process.shared import Shared
from rtbids.stream.wire import Member

SIZE = volume(0).data.nbytes


def given(kept: Kept, reader: int, index: int, run: str = "01") -> Message:
    """Give a volume to a script, as the bridge does; return the line that the script is told."""
    line = json.loads(told.volume(Shared(volume(index, run)), ask=True, is_new=False))
    located = kept.located(reader, line)
    kept.keep(line, MemoryFile(memoryview(volume(index, run).data.tobytes(order="F"))))
    return located["where"]


def test_a_volume_that_one_script_was_not_given_is_kept_when_another_is(tmp_path):
    kept = Kept(tmp_path)
    places = {index: given(kept, reader, index) for reader, index in ((1, 0), (1, 2), (2, 1), (1, 3))}
    voxels = np.asarray(nibabel.load(places[0]["file"]).dataobj)
    assert {index: voxels[0, 0, 0, where["place"]] for index, where in places.items()} == {0: 0, 1: 1, 2: 2, 3: 3}
    assert places[3]["written"] == 2


def test_what_is_kept_takes_up_half_of_what_was_free_at_the_most(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=2 * (nifti.HEADER + 3 * SIZE)))
    kept = Kept(tmp_path)
    assert [given(kept, 1, index)["file"] is None for index in range(5)] == [False, False, False, True, True]
    assert [record.message.partition(":")[0] for record in caplog.records] == ["run.volumes holds the latest volumes only"]
    kept.ended(1, dict(volume(0).entities))
    assert [given(kept, 1, index, "02")["file"] is None for index in range(2)] == [False, False]
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_script_that_has_left_was_given_is_kept_no_longer(tmp_path):
    kept = Kept(tmp_path)
    for reader in (1, 2):
        given(kept, reader, 0)
    kept.left(1)
    assert len(list(tmp_path.iterdir())) == 1
    kept.left(2)
    assert list(tmp_path.iterdir()) == []


def test_a_content_that_came_for_a_process_that_is_no_more_is_there_for_another(tmp_path):
    with ends() as (link, _), closing(Output()) as output, closing(Launcher(output.end)) as launcher:
        scripts = Scripts(link, launcher, output, Store(tmp_path / "store"), tmp_path / "laid out")
        name, *parts = members.with_content(1, members.SAY, members.encoded(number=0, content=7), memoryview(b"voxels"))
        scripts._take(Member(name, memoryview(b"".join(parts)), 0.0))
        again = members.said(Member(members.name(2, members.SAY), memoryview(members.encoded(number=1, content=7)), 0.0))
        assert again is not None
        found = scripts._coming.along(again)
    assert found is not None
    assert Path(f"/proc/self/fd/{found.descriptor}").read_bytes() == b"voxels"
