"""``rtbids run --on … --archive remote|both``: the data set of the run on the far side, once it is whole here."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtbids import private
from rtbids.archive import mirror
from rtbids.cli import console, far_places
from rtbids.cli.asking import asker
from rtbids.errors import CannotWrite, ConnectionLost, RtbidsError, StreamBroken
from rtbids.stream.link import Link
from rtbids.stream.ssh.address import Address
from rtbids.stream.ssh.dial import dial
from rtbids.stream.ssh.settings import SshOptions

VERB = "copy"
THERE, MANIFEST, LACKING, FILE = "there.json", "manifest.json", "lacking.json", "file/"
_ANSWER = 30.0  # seconds for the far side to start
_SAFE = 600.0  # seconds for it to have all on its disk
logger = logging.getLogger("rtbids")


def copy(link: Link, arguments: Mapping[str, Any]) -> None:
    """Take the files of a data set that are lacking here; the far side's verb."""
    there = mirror.Copy(far_places.path(arguments), str(arguments.get("origin")))
    link.send(THERE, json.dumps({"known": there.is_known}).encode())
    try:
        for arrived in link.members():
            name = arrived.member.name
            if name == MANIFEST:
                lacking, refused = there.lacking(json.loads(bytes(arrived.member.content)))
                link.send(LACKING, json.dumps({"lacking": lacking, "refused": refused}).encode())
            elif name.startswith(FILE):
                there.take(name.removeprefix(FILE), arrived.member.content)
            link.settle(arrived.number)
    finally:
        there.close()
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
def mirrored(place: str, ssh: SshOptions, bids_dir: Path, copying: Copying) -> Iterator[None]:
    """Have a data set copied when the block is over, whatever became of it.

    What stands in the way is raised at the beginning, where it can be seen there.
    """
    address = Address.parse(place)
    origin = mirror.Origin(bids_dir)
    link = dial(address, ssh, VERB, {"path": copying.path, "origin": origin.name}, ask=asker())
    with link:
        link.wait_up(_ANSWER)
        known = _heard(link, THERE)["known"]
        try:
            yield
        finally:
            is_whole = _copy(link, origin, f"{address}{copying.path}", all_of_them=not known, moves=copying.moves)
            if copying.moves and not is_whole:
                console.say(f"it is kept here until then: {bids_dir}")


def _copy(link: Link, origin: mirror.Origin, place: str, *, all_of_them: bool, moves: bool) -> bool:
    """Send what is lacking there; where that cannot be, the next run does it. Return whether all is there."""
    try:
        count, refused = _sent(link, origin, place, all_of_them=all_of_them, moves=moves)
    except (RtbidsError, OSError) as error:
        logger.warning("the copy at %s is not complete: %s; the data set here is, and the next run completes it", place, error)
        return False
    for name in refused:
        logger.warning("%s is another data set's at %s: it was left as it is there", name, place)
    console.say(f"copy:     {place} ({count} files)")
    return not refused


def _sent(link: Link, origin: mirror.Origin, place: str, *, all_of_them: bool, moves: bool) -> tuple[int, list[str]]:
    changed = origin.changed(place, all_of_them=all_of_them)
    looks = {name: mirror.look(path) for name, path in changed.items()}
    link.send(MANIFEST, json.dumps({name: mirror.sha256(path) for name, path in changed.items()}).encode())
    answer = _heard(link, LACKING)
    for name in answer["lacking"]:
        link.send(f"{FILE}{name}", changed[name].read_bytes())
    link.finish(_SAFE)
    refused = list(answer["refused"])
    origin.copied(place, {name: look for name, look in looks.items() if name not in refused})
    if moves:
        origin.empty(name for name in changed if name not in refused)
    return len(answer["lacking"]), refused


def _heard(link: Link, name: str) -> dict[str, Any]:
    """Return what the far side says next; raise what it refuses."""
    for arrived in link.members():
        link.settle(arrived.number)
        if arrived.member.name != name:
            raise StreamBroken(f"expected {name}, found {arrived.member.name[:80]}")
        said: dict[str, Any] = json.loads(bytes(arrived.member.content))
        return said
    raise ConnectionLost("the far side has ended")
