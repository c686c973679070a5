"""Series that were arriving when an rtbids was stopped or killed: they wait, and the next one joins them to their rest."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rtbids.plural import counted

if TYPE_CHECKING:
    from rtbids.archive.dataset import Archive
    from rtbids.archive.waiting import Room, Waiting
    from rtbids.convert.session import Gathered

logger = logging.getLogger("rtbids")


class CutSeries:
    """The series that another process left while they arrived."""

    def __init__(self) -> None:
        self._cut: list[Gathered] = []

    def add(self, gathered: Gathered) -> None:
        self._cut.append(gathered)

    def joined(self, gathered: Gathered) -> Gathered:
        """Return a series with what had come of it before: a rest of slices is no image."""
        return gathered if gathered.reason else self._joined(gathered)

    def _joined(self, gathered: Gathered) -> Gathered:
        from rtbids.convert import whole_series

        try:
            uids = whole_series.series_uids(gathered.place)
            for cut in [cut for cut in self._cut if uids & whole_series.series_uids(cut.place)]:
                gathered = replace(gathered, images=whole_series.join(cut.place, gathered.place))
                self._cut.remove(cut)
                shutil.rmtree(cut.place.parent)
        except OSError as error:
            reason = f"what came of it before a stop or a kill cannot be read ({error.strerror or error})"
            return replace(gathered, reason=reason)
        return gathered

    def rest(self) -> list[Gathered]:
        """Give up those of which nothing more has come; parts that several kills have left of a series are one."""
        given_up: list[Gathered] = []
        while self._cut:
            given_up.append(self._joined(self._cut.pop()))
        return given_up[::-1]


def taken_up(archive: Archive, room: Room, ours: Mapping[str, str]) -> Iterator[tuple[Gathered, Mapping[str, str]]]:
    """Give the series that other processes left waiting, and whose they are; those of `ours` wait in `room` from here on."""
    for left in archive.left_waiting():
        owner = left.facts().get("owner", ours)
        try:
            gathered = _left_over(room.adopt(left) if owner == ours else left)
        except OSError as error:
            logger.warning("a series that an earlier rtbids left waits for the next one: %s", error.strerror or error)
            continue
        yield gathered, owner


def _left_over(waiting: Waiting) -> Gathered:
    """Return the series that is left in a folder."""
    from rtbids.convert.session import Gathered

    for part in waiting.dicom.glob("*.part"):  # of an image that the kill cut
        part.unlink()
    facts, images = waiting.facts(), len(list(waiting.dicom.glob("*.dcm")))
    gathered = Gathered(waiting.dicom, int(facts.get("number", 0)), str(facts.get("description", "")), images)
    return replace(gathered, sequel=int(facts.get("sequel", -1)), reason=str(facts.get("reason", "")))


def said(gathered: Gathered, bids_dir: Path) -> str:
    """Say that a series waits, and what to do about it."""
    title = f"series {gathered.number} ({gathered.description or 'no description'})"
    return (
        f"{title} waits with {counted(gathered.images, 'image')}: rtbids was stopped while more of it may have been coming; "
        f"`rtbids convert SOURCE -o {bids_dir}` places it with its rest, or keeps it in sourcedata where no more of it comes"
    )
