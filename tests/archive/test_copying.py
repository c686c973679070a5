"""The copy that ``rtbids run --on … --archive both`` makes at its end: over cuts, with limits, and given up at a signal."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import copies
import growth
import nibabel
import pytest
from stream.link_ends import AT_ONCE, Keeper, Limited, Road

from rtbids.archive.dataset import Archive
from rtbids.archive.origin import Origin
from rtbids.cli import mirroring
from rtbids.cli.mirroring import VERB, Copier, Copying
from rtbids.cli.run import _copying
from rtbids.errors import CannotWrite, ConnectionLost, RtbidsError, Stopped
from rtbids.stream.link import FarLink, Hello, dial
from rtbids.stream.ssh.settings import SshOptions
from rtbids.volume import RunEnd

LARGE = "sub-01/func/sub-01_task-nf_bold.nii.gz"
NAMES = {LARGE, "dataset_description.json", "participants.tsv", ".bidsignore"}


class FarSide(Keeper):
    """A far side that takes the files of each session."""

    def serve(self, link: FarLink, hello: Hello) -> None:
        try:
            mirroring.copy(link, hello.arguments)
            link.close()
        except RtbidsError as error:
            link.close(error)


@pytest.fixture
def road() -> Iterator[Road]:
    made = Road(FarSide())
    yield made
    made.cut()
    made.keeper.close()


@pytest.fixture(autouse=True)
def loud(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have people told, whatever a command that ran in this process was asked for."""
    monkeypatch.setattr("rtbids.cli.console._quiet", False)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    root = copies.study(tmp_path / "study", NAMES - {".bidsignore"})
    (root / ".bidsignore").touch()
    (root / LARGE).write_bytes(os.urandom(100_000))
    return root


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


def copier(road: Road, study: Path, there: Path, *, moves: bool = False) -> Copier:
    how = partial(dial, road.connect, VERB, where="cloud", terms=AT_ONCE)
    return Copier(how, "ssh://cloud/there", Origin(study), Copying(str(there), moves))


def content(root: Path) -> dict[str, bytes]:
    found = (path for path in root.rglob("*") if path.is_file() and ".rtbids" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def test_a_data_set_is_copied_in_pieces(road, study, there, monkeypatch, capsys):
    monkeypatch.setattr(mirroring, "PIECE", 30_000)
    (study / "sourcedata").mkdir()
    one = copier(road, study, there)
    one.begin()
    one.copy()
    assert content(there) == content(study)
    said = capsys.readouterr().err
    assert "ssh://cloud/there (4 files)" in said
    assert f"not copied, as it is never: {study / 'sourcedata'}" in said


def test_a_connection_that_is_cut_in_the_middle_of_a_file_costs_nothing(road, study, there, monkeypatch):
    monkeypatch.setattr(mirroring, "PIECE", 10_000)
    made: list[object] = []

    def shape(near, far):
        made.append(near)
        return (Limited(near, 60_000), far) if len(made) == 1 else (near, far)

    road.shape = shape
    copier(road, study, there).copy()
    assert len(made) > 1
    assert content(there) == content(study)


def test_a_link_that_stays_down_is_given_up_and_the_next_run_copies(road, study, there, monkeypatch, caplog, capsys):
    one = copier(road, study, there)
    one.begin()
    monkeypatch.setattr(mirroring, "PATIENCE", 0.1)
    road.is_blocked.set()
    one.copy()
    assert "the copy at ssh://cloud/there is not complete" in caplog.text
    assert f"the data set is kept here: {study}" in capsys.readouterr().err
    assert content(there) == {}
    road.is_blocked.clear()
    copier(road, study, there).copy()
    assert content(there) == content(study)


@pytest.mark.parametrize("moves", [False, True])
def test_a_copy_that_is_not_made_is_an_error_where_the_data_set_was_wanted_there_alone(
    road, study, there, monkeypatch, capsys, moves
):
    monkeypatch.setattr(mirroring, "PATIENCE", 0.1)
    direct = partial(dial, road.connect, where="cloud", terms=AT_ONCE)
    monkeypatch.setattr(mirroring, "dial", lambda place, ssh, verb, arguments, **options: direct(verb, arguments))
    fails = pytest.raises(CannotWrite, match=r"is not at ssh://cloud") if moves else nullcontext()
    with fails as raised, mirroring.mirrored("ssh://cloud", SshOptions(), study, Copying(str(there), moves)):
        road.is_blocked.set()
    said = capsys.readouterr().err
    assert said.index("is not complete") < said.index(f"the data set is kept here: {study}")
    assert raised is None or f"the data set is kept here: {study}" in (raised.value.hint or "")


def test_a_copy_is_made_as_soon_as_there_is_a_way_there(road, study, there, capsys):
    refusals = [ConnectionLost("there is no host cloud")] * 2
    direct = partial(dial, road.connect, VERB, where="cloud", terms=AT_ONCE)

    def connect(arguments: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return direct(arguments)

    Copier(connect, "ssh://cloud/there", Origin(study), Copying(str(there))).copy()
    assert capsys.readouterr().err.count("for the copy (there is no host cloud)") == 1
    assert content(there) == content(study)


def test_a_signal_gives_up_a_copy_at_once_and_says_where_the_data_set_is(road, study, there, monkeypatch, capsys):
    monkeypatch.setattr("rtbids.cli.exchange._SOON", 0.0)
    road.is_blocked.set()
    one = copier(road, study, there)
    say = one._say_waits
    monkeypatch.setattr(one, "_say_waits", lambda problem: (say(problem), os.kill(os.getpid(), signal.SIGINT)))
    with pytest.raises(Stopped, match="SIGINT"):
        one.copy()
    said = capsys.readouterr().err
    assert "waiting for a connection to ssh://cloud/there, for the copy (the road is blocked)" in said
    assert f"the data set is kept here: {study}" in said


def test_a_far_side_that_has_forgotten_all_is_told_so_and_the_next_copy_goes_on(road, study, there, monkeypatch, caplog):
    monkeypatch.setattr(mirroring, "PIECE", 10_000)
    taken = []
    whole = mirroring.mirror.Copy.take

    def take(copy: Any, name: str, piece: memoryview) -> None:
        whole(copy, name, piece)
        taken.append(name)
        if name == LARGE and taken.count(LARGE) == 2:
            monkeypatch.setattr(mirroring.mirror.Copy, "take", whole)
            road.keeper.lose()
            road.cut()
            raise ConnectionLost("killed")

    monkeypatch.setattr(mirroring.mirror.Copy, "take", take)
    copier(road, study, there).copy()
    assert "is not complete: cloud was started anew" in caplog.text
    assert content(there) == {}
    copier(road, study, there).copy()
    assert content(there) == content(study)


def test_what_is_refused_there_is_said_at_the_beginning(road, study, there):
    there.mkdir()
    (there / "thesis.tex").touch()
    with pytest.raises(CannotWrite, match="expected a BIDS data set or an empty folder"):
        copier(road, study, there).begin()


def test_a_link_that_is_down_at_the_beginning_is_said_there(road, study, there, monkeypatch):
    monkeypatch.setattr(mirroring, "PATIENCE", 0.1)
    road.is_blocked.set()
    with pytest.raises(ConnectionLost, match=r"blocked|no connection"):
        copier(road, study, there).begin()


def test_another_data_sets_file_is_named_and_left(road, study, there, caplog, capsys):
    there.mkdir()
    (there / "dataset_description.json").write_text("{}")
    copier(road, study, there, moves=True).copy()
    assert "dataset_description.json is another data set's at ssh://cloud/there" in caplog.text
    assert (there / "dataset_description.json").read_text() == "{}"
    assert (study / LARGE).stat().st_size == 0
    assert "is kept here" in capsys.readouterr().err


def test_what_is_not_here_any_more_is_named_once_and_stays_there(road, study, there, caplog):
    copier(road, study, there).copy()
    (study / LARGE).unlink()
    for _ in range(2):
        copier(road, study, there).copy()
    assert caplog.messages.count(f"{LARGE}, which went from here, stay at ssh://cloud/there") == 1
    assert (there / LARGE).stat().st_size == 100_000


def test_two_runs_that_are_moved_to_one_place_lose_nothing(road, tmp_path, there):
    root = tmp_path / "working"
    second = {**growth.RUN, "run": "02"}
    with Archive(root) as archive, Archive(root) as other:
        growing = other.begin(growth.volume(0, entities=second))
        archive.begin(growth.volume(0)).end(RunEnd(growth.RUN, 0))
        archive.close()
        copier(road, root, there, moves=True).copy()
        assert [path.name for path in there.rglob("*_bold.nii*")] == ["sub-01_task-nf_run-01_bold.nii.gz"]
        growing.append(growth.volume(1, entities=second))
    copier(road, root, there, moves=True).copy()
    assert [path.stat().st_size for path in root.rglob("*_bold.nii*")] == [0, 0]
    assert sorted(nibabel.load(path).shape[3] for path in there.rglob("*_bold.nii.gz")) == [1, 2]


def test_a_data_set_that_is_named_by_where_we_are_has_its_name_there(tmp_path, monkeypatch):
    (tmp_path / "study" / "code").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "study" / "code")
    assert _copying("both", "ssh://cloud", Path(".."), None) == Copying("/~/study")
    assert _copying("both", "ssh://cloud", Path(), None) == Copying("/~/code")
