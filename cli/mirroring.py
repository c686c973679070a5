"""``rtbids run --on … --archive remote|both``: the data set of the run on the far side, once it is whole here."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rtbids import private
from rtbids.archive import mirror
from rtbids.archive.origin import STAYS, File, Origin
from rtbids.cli import console, far_places
from rtbids.cli.asking import asker
from rtbids.cli.exchange import Exchange
from rtbids.cli.stopping import stopping_at_once
from rtbids.errors import CannotWrite, ConnectionLost, RtbidsError, Stopped
from rtbids.plural import counted
from rtbids.stream.link import Link
from rtbids.stream.link.terms import delay
from rtbids.stream.ssh.address import Address
from rtbids.stream.ssh.dial import dial
from rtbids.stream.ssh.settings import SshOptions

VERB = "copy"
MANIFEST, LACKING, FILE, PLACE, PLACED = "manifest.json", "lacking.json", "file/", "place.json", "placed.json"
PIECE = 4 << 20
PATIENCE = 60.0  # seconds without a connection, as a run waits for its last answers; nobody may be there to press Ctrl-C
_ANSWER = 30.0  # seconds for the far side to end
logger = logging.getLogger("rtbids")


def copy(link: Link, arguments: Mapping[str, Any]) -> None:
    """Take the files of a data set that are lacking here; the far side's verb."""
    mode = arguments.get("mode")
    there = mirror.Copy(far_places.path(arguments), str(arguments.get("origin")), mode if isinstance(mode, int) else 0o700)
    for arrived in link.members():
        name = arrived.member.name
        if name == MANIFEST:
            lacking = there.lacking(json.loads(bytes(arrived.member.content)))
            link.send(LACKING, json.dumps({"lacking": lacking}).encode())
        elif name == PLACE:
            here, refused = there.place()
            link.send(PLACED, json.dumps({"here": here, "refused": refused}).encode())
        elif name.startswith(FILE):
            there.take(name.removeprefix(FILE), arrived.member.content)
        link.settle(arrived.number)
    link.finish(_ANSWER)


@dataclass(frozen=True)
class Copying:
    """That the data set of a run is wanted on the far side, at `path`; with `moves` its images are not kept here."""

    path: str
    moves: bool = False

    def working_folder(self, place: str) -> Path:
        """Return the folder of this user's alone in which the data set is made that is to be moved."""
        name = hashlib.sha256(f"{place}{self.path}".encode()).hexdigest()[:16]
        folder = private.lasting_folder().parent / "to-be-moved" / name
        try:
            private.make_folder(folder)
        except OSError as error:
            raise CannotWrite(f"{folder}: {error.strerror}") from None
        return folder


@contextmanager
def mirrored(
    place: str, ssh: SshOptions, bids_dir: Path, copying: Copying, typed: dict[str, str] | None = None
) -> Iterator[None]:
    """Have a data set copied when the block is over, whatever became of it, but where it is left at once.

    What stands in the way is raised at the beginning, where it can be seen there. `typed` are passwords that were asked for.
    """
    address = Address.parse(place)
    connect = partial(dial, address, ssh, VERB, ask=asker(), typed={} if typed is None else typed)
    copier = Copier(connect, f"{address}{copying.path}", Origin(bids_dir), copying)
    copier.begin()
    try:
        yield
    except Stopped:
        copier.say_left()
        raise
    except Exception:
        copier.copy()
        raise
    if not copier.copy() and copying.moves:  # then nothing is where it was asked for
        raise CannotWrite(f"the data set is not at {address}{copying.path}", copier.left)


class Copier:
    """Copies a data set to `place` on another machine, over a connection of its own each time."""

    def __init__(self, connect: Callable[[Mapping[str, Any]], Link], place: str, origin: Origin, copying: Copying) -> None:
        self._connect = connect
        self._place = place
        self._origin = origin
        self._moves = copying.moves
        mode = origin.root.stat().st_mode & 0o777
        self._arguments = {"path": copying.path, "origin": origin.name, "mode": mode}

    def begin(self) -> None:
        """Raise what stands in the way of a copy."""
        with stopping_at_once(), self._connect(self._arguments) as link:
            Exchange(link, PATIENCE, self._say_waits).ask(PLACE, {}, PLACED)
            with suppress(ConnectionLost):  # it has said what was to be known
                link.finish(_ANSWER)

    def copy(self) -> bool:
        """Copy what is lacking there; return whether that could be done. Where not, or a signal comes, the next run does it."""
        is_whole = False
        console.say(f"copying the data set to {self._place}")
        try:
            with stopping_at_once(), self._origin.alone(), self._connected() as link:
                is_whole = self._copied(link)
        except Stopped:
            raise
        except (RtbidsError, OSError) as error:
            said = f"the copy at {self._place} is not complete: {error}"
            console.warn(said, said)
            return False
        finally:
            if not is_whole:
                self.say_left()
        return True

    def _connected(self) -> Link:
        """Return a link to the far side, once there is a way there."""
        until = time.monotonic() + PATIENCE
        failures = 0
        while True:
            try:
                return self._connect(self._arguments)
            except ConnectionLost as error:
                failures += 1
                if time.monotonic() > until:
                    raise
                if failures == 1:
                    self._say_waits(str(error))
            time.sleep(delay(failures))

    @property
    def left(self) -> str:
        return f"the data set is kept here: {self._origin.root}; the next run with this --archive copies what is lacking"

    def say_left(self) -> None:
        console.say(self.left)

    def _say_waits(self, problem: str) -> None:
        console.say(f"waiting for a connection to {self._place}, for the copy ({problem}); Ctrl-C gives it up")

    def _copied(self, link: Link) -> bool:
        """Send what is lacking there and have it put in its place; return whether all is there."""
        files = self._origin.files()
        far = Exchange(link, PATIENCE, self._say_waits)
        described = {name: (file.sha256, file.size, file.mode) for name, file in files.items()}
        manifest = {"files": described, "folders": self._origin.folders(list(files))}
        lacking = _names(far.ask(MANIFEST, manifest, LACKING), "lacking", files)
        with console.counting("copying", len(lacking)) as advance:
            for name in lacking:
                _send(far, name, files[name])
                advance()
        placed = far.ask(PLACE, {}, PLACED)
        with suppress(ConnectionLost):  # it has said that all is safe
            link.finish(_ANSWER)
        here, refused = _names(placed, "here", files), _names(placed, "refused", files)
        if self._moves:
            self._origin.empty({name: files[name] for name in here})
        self._say(len(lacking), refused, len(files) - len(here) - len(refused))
        return len(here) == len(files)

    def _say(self, count: int, refused: Sequence[str], left: int) -> None:
        for name in refused:
            logger.warning("%s is another data set's at %s: it was left as it is there", name, self._place)
        if gone := self._origin.gone:
            others = f" and {counted(len(gone) - 1, 'other file')}" if len(gone) > 1 else ""
            logger.warning("%s%s, which went from here, stay at %s", gone[0], others, self._place)
        if left:
            logger.warning("%s changed or went while they were copied to %s", counted(left, "file"), self._place)
        console.say(f"copy:     {self._place} ({counted(count, 'file')})")
        if (self._origin.root / STAYS).exists():
            console.say(f"not copied, as it is never: {self._origin.root / STAYS}")


def _send(far: Exchange, name: str, file: File) -> None:
    """Send a file, piece by piece, at least one; one that cannot be read any more is left to the next copy."""
    with suppress(OSError), file.path.open("rb") as opened:
        left = file.size
        while piece := opened.read(min(left, PIECE)):
            far.send(f"{FILE}{name}", piece)
            left -= len(piece)
        if not file.size:
            far.send(f"{FILE}{name}", b"")


def _names(said: Mapping[str, Any], key: str, files: Mapping[str, File]) -> list[str]:
    """Return those of the names that the far side says which are of files that it was told of."""
    found = said.get(key)
    return [name for name in found if isinstance(name, str) and name in files] if isinstance(found, list) else []
