"""Where batches come from while the outbox's database comes and goes, and what a sender of a node leaves behind."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rtbids.cli import arrivals, main
from rtbids.cli.arrivals import Source
from rtbids.cli.held import Noted
from rtbids.cli.request import Live
from rtbids.replay.scanner import Phantom, dicoms
from rtbids.send.database import DatabaseLost
from rtbids.send.found import Found
from rtbids.send.outbox import Outbox
from rtbids.wakeup import Wakeup
from rtbids.watch.finished import Finished, Rule
from rtbids.watch.incoming import Incoming

T = TypeVar("T")
RUN = list(dicoms(Phantom(shape=(8, 8, 4), voxel=(24.0, 24.0, 24.0), volumes=3)))


class Cable:
    """Leads to a port on this machine; may be drawn and put back."""

    def __init__(self, port: int) -> None:
        self._port, self._ends = port, list[socket.socket]()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self._is_drawn, self.refused = False, 0
        threading.Thread(target=self._lead, daemon=True).start()

    def draw(self) -> None:
        self._is_drawn = True
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def put_back(self) -> None:
        self._is_drawn = False

    def _lead(self) -> None:
        while True:
            near, _ = self._door.accept()
            if self._is_drawn:
                near.close()
                self.refused += 1
                continue
            far = socket.create_connection(("127.0.0.1", self._port))
            self._ends += (near, far)
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    @staticmethod
    def _carry(near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while piece := near.recv(1 << 16):
                far.sendall(piece)
        with suppress(OSError):
            far.shutdown(socket.SHUT_RDWR)


def folder_of(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number, content in enumerate(RUN):
        (folder / f"{number}.dcm").write_bytes(content)
    return folder


def answered(ask: Callable[[], T]) -> T:
    """Ask again where a connection that lay idle turns out to be cut, as the workers do."""
    for _ in range(5):
        try:
            return ask()
        except DatabaseLost:
            continue
    return ask()


def source(place: object, **live: Any) -> Source:
    return Source(str(place), Live(**{"wait": False, **live}), Rule(0.0, 60.0), 0, 1.0)


@pytest.fixture
def cable(fresh_database: str) -> tuple[Cable, str]:
    """A cable to a database, and the URL of its other end."""
    port = fresh_database.rsplit(":", 1)[1].partition("/")[0]
    made = Cable(int(port))
    return made, fresh_database.replace(f":{port}/", f":{made.port}/")


def batches(folder: Path, outbox: Outbox) -> Iterator[Found]:
    return arrivals.batches(source(folder), outbox, Noted(outbox.folder.incoming), Wakeup())


def test_a_folder_that_comes_while_the_database_is_away_is_taken_in_when_it_is_back(
    cable: tuple[Cable, str], tmp_path: Path
) -> None:
    line, url = cable
    folder_of(tmp_path / "export" / "7")
    with Outbox.open(tmp_path / "outbox", url) as outbox:
        line.draw()
        came = batches(tmp_path / "export", outbox)
        with pytest.raises(DatabaseLost):
            outbox.add(found := next(came))
        assert line.refused > 0
        line.put_back()
        assert answered(lambda: outbox.add(found)) == 1
        assert next(came, None) is None


def test_a_folder_that_was_taken_in_and_comes_again_while_the_database_is_away_is_known_when_it_is_back(
    cable: tuple[Cable, str], tmp_path: Path
) -> None:
    line, url = cable
    folder_of(tmp_path / "export" / "7")
    with Outbox.open(tmp_path / "outbox", url) as outbox:
        assert [outbox.add(found) for found in batches(tmp_path / "export", outbox)] == [1]
        assert list(batches(tmp_path / "export", outbox)) == []
        line.draw()
        (found,) = batches(tmp_path / "export", outbox)
        line.put_back()
        assert answered(lambda: outbox.add(found)) is None


def test_a_folder_renamed_while_the_database_is_away_is_the_batch_that_it_was(cable: tuple[Cable, str], tmp_path: Path) -> None:
    line, url = cable
    old, new = folder_of(tmp_path / "X"), tmp_path / "Y"
    names = sorted(path.name for path in old.iterdir())
    with Outbox.open(tmp_path / "outbox", url) as outbox:
        outbox.add(Found("X", old, tuple(old / name for name in names)))
        old.rename(new)
        line.draw()
        found = arrivals._found(Finished("Y", new, tuple(new / name for name in names), renamed_from=old))
        with pytest.raises(DatabaseLost):
            outbox.add(found)
        line.put_back()
        assert answered(lambda: outbox.add(found)) is None


@pytest.mark.parametrize("existing", [True, False])
def test_images_that_were_acknowledged_and_left_go_in_any_case(tmp_path: Path, existing: bool) -> None:
    with Outbox.open(tmp_path / "outbox") as outbox:
        killed = Incoming(outbox.folder.incoming, quiet=60.0)
        for content in RUN:
            killed.keep(content)
        killed.close()  # lets go of the folder; the images in it stay
        where = source("dicom-scp://RTBIDS@127.0.0.1:11112", existing=existing)
        (found,) = arrivals.batches(where, outbox, Noted(tmp_path), Wakeup())
        assert sorted(path.read_bytes() for path in found.files) == sorted(RUN)


@pytest.mark.parametrize("inner", ["", "out", "a/b"])
def test_a_destination_in_the_watched_folder_is_refused(tmp_path: Path, inner: str, capsys: pytest.CaptureFixture[str]) -> None:
    export = folder_of(tmp_path / "export")
    words = [
        "send",
        str(export),
        f"file://{export / inner}",
        "--outbox",
        str(tmp_path / "outbox"),
        "--no-deidentify",
        "--no-wait",
    ]
    assert main.run(main.cli, words) == 64
    assert "which is watched" in capsys.readouterr().err
    assert not (tmp_path / "outbox").exists()


@pytest.mark.parametrize("url", ["gs://bucket", "az://bucket"])
def test_an_endpoint_for_who_does_not_ask_there_is_refused(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["send", str(tmp_path), url, "--outbox", str(tmp_path / "outbox"), "--endpoint", "http://127.0.0.1:1"]
    assert main.run(main.cli, words) == 64
    assert "--endpoint is of s3://" in capsys.readouterr().err
