"""What has come already: a sender that was killed begins anew, and so does a keeper; each volume goes on once."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from rtbids.receipt import settle
from rtbids.stream import wire
from rtbids.stream.branch import Units
from rtbids.stream.standing import Standing
from rtbids.stream.units import Unit

_HEADER = 352  # bytes of a NIfTI-1 file before its voxels
RUNS = 200  # that are over and still known: a folder that is given once more is no new measurement
FILES = 200_000  # of DICOM that are known
logger = logging.getLogger("rtbids")
Digests = dict[int, bytes]


def digest(content: memoryview | bytes) -> bytes:
    return hashlib.sha256(content).digest()[:16]  # in half of the time of blake2b where the processor has it built in


def digest_of(unit: Unit) -> bytes:
    """Return the digest of the voxels of a volume, or of a whole file."""
    last = unit.pieces[-1]
    if unit.is_file:
        return digest(last.content())
    return digest(memoryview(last.parts[1]).cast("B") if len(last.parts) > 1 else last.content()[_HEADER:])


class Taken:
    """The volumes of each run, by index, and the files that have come.

    `known` gives what the place holds already of a run, by index; `ended` are runs that are over there, the oldest first;
    `files` are digests of files that it has.
    """

    def __init__(
        self,
        standing: Standing,
        known: Callable[[str], Mapping[int, bytes]] = lambda run: {},
        ended: Iterable[str] = (),
        files: Iterable[bytes] = (),
    ) -> None:
        self._standing = standing
        self._known = known
        self._ended = dict.fromkeys(ended)
        self._runs: dict[str, Digests] = {}
        self._gone: Digests = {}
        self._latest = b""
        self._files = dict.fromkeys(files)
        self._late: set[str] = set()  # runs of which that was said

    def digest(self, unit: Unit) -> bytes:
        """Return the digest of an image that was passed on, empty for any other unit."""
        return self._latest if unit.is_image else b""

    def new(self, units: Units) -> Units:
        """Pass on what has not come before; what has is settled. A run whose name is used anew is ended first."""
        for unit in units:
            if unit is None:
                yield None
                continue
            self._latest = digest_of(unit) if unit.is_image else b""
            if self._is_anew(unit):
                said = self._standing.of_run(unit.run)  # which the end has whoever reads on forget
                yield self._end_of(unit)
                yield from (Unit((piece,), unit.run) for piece in said)
            if self._is_new(unit):
                yield unit
                self._standing.note(unit)
            else:
                settle(unit.receipts)

    def _is_new(self, unit: Unit) -> bool:
        if unit.is_file:
            is_new = self._latest not in self._files
            self._files[self._latest] = None
            _forget_oldest(self._files, FILES)
            return is_new
        if unit.index is not None:
            return self._is_new_volume(unit, unit.index)
        if unit.is_end:
            return self._is_new_end(unit.run)
        return not self._standing.holds(unit)

    def _is_new_end(self, run: str) -> bool:
        is_new = run not in self._ended
        self._ended[run] = None
        for forgotten in _forget_oldest(self._ended, RUNS):
            self._runs.pop(forgotten, None)
        self._late.discard(run)
        return is_new

    def _is_new_volume(self, unit: Unit, index: int) -> bool:
        there = self._of(unit.run)
        if index in there:
            return False
        if there and index < (last := max(there)):
            self._leave_out(unit.run, index, last)
            return False
        there[index] = self._latest
        return True

    def _leave_out(self, run: str, index: int, last: int) -> None:
        """Say once a run that a volume comes too late: whoever reads on, or a file that grows, has passed its place."""
        if run not in self._late:
            self._late.add(run)
            logger.warning("%s: volume %d came when volume %d was there: it and others so late are left out", run, index, last)

    def _of(self, run: str) -> Digests:
        if run not in self._runs:
            self._runs[run] = dict(self._known(run))
        return self._runs[run]

    def _is_anew(self, unit: Unit) -> bool:
        """Say whether a volume shows that another run has the name of one before; return whether that one is still open."""
        if unit.index is None or unit.is_file:
            return False
        there = self._of(unit.run)
        is_over = unit.run in self._ended
        if unit.index in there:
            is_other = there[unit.index] != self._latest
        else:
            is_other = is_over
        if not is_other:
            return False
        self._gone = dict(there)
        self._runs[unit.run] = {}
        self._ended.pop(unit.run, None)
        self._late.discard(unit.run)
        return not is_over

    def _end_of(self, unit: Unit) -> Unit:
        """Return the end of the run before, which nobody told of."""
        logger.warning("%s: another run of this name begins", unit.run)
        last = max(self._gone, default=-1)
        end = {"count": len(self._gone), "missing": sorted(set(range(last)) - set(self._gone))}
        name = f"{unit.name.rpartition('/')[0]}/{unit.run}_end.json"
        return Unit((wire.Piece(name, (json.dumps(end).encode(),)),), unit.run)


def _forget_oldest(known: dict[Any, None], most: int) -> list[Any]:
    """Keep `most` of what is known, the newest; return what is forgotten."""
    gone = list(islice(known, max(0, len(known) - most)))
    for one in gone:
        del known[one]
    return gone
