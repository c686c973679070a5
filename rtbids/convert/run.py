"""One run as it is converted: stacks in, volumes in order out, with one sidecar, one affine and one scale."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from rtbids.bids import entities as bids_entities
from rtbids.clock import Clock
from rtbids.convert import absent, header, mosaic, siemens
from rtbids.convert.dicom import Instance
from rtbids.convert.moment import ScannersClock
from rtbids.convert.order import Order
from rtbids.convert.pace import Pace
from rtbids.convert.protocol import SILENT, Protocol
from rtbids.convert.stack import Stack
from rtbids.volume import Entities, Item, RunEnd, Volume, volume_of

logger = logging.getLogger("rtbids")

_SAME_PLACE = 1e-3  # mm: headers round differently from image to image, tables move by more


class Run:
    """The volumes of one series, or of one echo, part or correction of it."""

    def __init__(
        self,
        entities: Entities,
        first: Stack,
        clock: Clock,
        aside: Callable[[Iterable[Instance], str], None] = lambda instances, reason: None,
        protocol: Protocol = SILENT,
    ) -> None:
        self.entities = entities
        self.stem = bids_entities.stem(entities)
        self.over = False
        self.order: Order[Stack] = Order(patience(first.repetition_time))
        self._first = replace(first, instances=())
        self._aside = aside
        self._clock = clock
        self._said_jump = False
        self._scanners_clock = ScannersClock(first.repetition_time or 0.0)
        self._expected = first.planned or protocol.volumes or 0
        self._metadata = header.sidecar(first.header(), first.shape, first.repetition_time, entities["task"], protocol.fields)
        if entities.get("part") == "phase":
            self._metadata["Units"] = "arbitrary"  # BIDS asks; the scanner's steps are no radians
        self._marked: tuple[dict[str, Any], bool, dict[str, Any]] | None = None
        self._pace = Pace(first.repetition_time)
        self._asked_for_timing = 0  # volumes that have been asked for the slice times: one, or two where the first cannot tell
        if doubt := mosaic.doubt(first.header()):
            logger.warning("%s: %s", self.stem, doubt)
        for reason in absent.reasons(self._metadata, first.header(), has_timing=bool(first.timing)):
            logger.info("%s: %s", self.stem, reason)
        if first.acquired is None:
            logger.info("%s: no header says when a volume was acquired: its repetition time cannot be checked", self.stem)

    @property
    def repetition_time(self) -> float:
        """Seconds, 0 where the header has none."""
        return self._first.repetition_time or 0.0

    @property
    def complete(self) -> bool:
        """Whether every volume that the header plans has come or was given up."""
        planned = self._first.planned
        return planned is not None and self.order.due >= planned

    def add(self, stack: Stack, now: float) -> list[Item]:
        """Take a volume; return what may leave."""
        why = self.order.place_taken(stack.index)
        if self.over:
            why = "came after the end of its run and is kept out"
        if why:
            logger.warning("%s: volume %d of %s %s", stack.name, stack.index, self.stem, why)
            self._aside(stack.instances, f"volume {stack.index} {why}")
            return []
        difference = self._difference(stack)
        if difference:
            logger.warning("%s: volume %d of %s refused: %s", stack.name, stack.index, self.stem, difference)
            self._aside(stack.instances, f"volume {stack.index} refused: {difference}")
            return self.refuse(stack.index)
        return self._leave(self.order.add(stack.index, stack, now))

    def refuse(self, index: int) -> list[Item]:
        """Count a volume as missing that came but cannot be used; return what may leave."""
        return self._leave(self.order.refuse(index))

    def tick(self, now: float) -> tuple[list[int], list[Item]]:
        """Return the volumes given up at `now`, and what may leave for it."""
        lost, leaving = self.order.tick(now)
        return lost, self._leave(leaving)

    @property
    def waiting(self) -> int:
        """How many images are in volumes that wait for others."""
        return sum(len(stack.instances) for stack in self.order.held)

    def give_up(self) -> tuple[list[int], list[Item]]:
        """Return the volumes that the first one held has waited for, and what may leave now."""
        lost, leaving = self.order.give_up()
        return lost, self._leave(leaving)

    def finish(self) -> tuple[list[int], list[Item]]:
        """Return the volumes given up at the end, and what was held for them."""
        lost, leaving = self.order.finish()
        return lost, self._leave(leaving)

    def end(self) -> RunEnd:
        """Return the end of the run; nothing of it may come any more."""
        self.over = True
        if self.order.due < self._expected:
            text = "%s stopped short: %d of the %d volumes that its header announces came"
            logger.warning(text, self.stem, self.order.count, self._expected)
        return RunEnd(self.entities, self.order.count, tuple(self.order.missing))

    def _difference(self, stack: Stack) -> str | None:
        """Say how a volume differs from the run's first in what must be the same for all; None where it does not."""
        first = self._first
        if stack.shape != first.shape or stack.slices.dtype != first.slices.dtype:
            return (
                f"expected {_grid(first)} {first.slices.dtype} as the volumes before, found {_grid(stack)} {stack.slices.dtype}"
            )
        if not np.abs(stack.affine - first.affine).max() <= _SAME_PLACE:  # nor where one is no number
            return f"expected voxels at {_place(first)} as the volumes before, found {_place(stack)}"
        if stack.repetition_time != first.repetition_time:
            return f"expected a repetition time of {first.repetition_time} s, found {stack.repetition_time} s"
        if (stack.slope, stack.inter) != (first.slope, first.inter) and not np.allclose(
            (stack.slope, stack.inter), (first.slope, first.inter), rtol=1e-6
        ):
            return f"expected scale {first.slope:g}, {first.inter:g}, found {stack.slope:g}, {stack.inter:g}"
        return None

    def _leave(self, stacks: Iterable[Stack]) -> list[Item]:
        return [self._volume(stack) for stack in stacks]

    def _volume(self, stack: Stack) -> Volume:
        first = self._first
        return volume_of(
            stack.slices.T,
            first.affine,
            self.entities,
            self._paced(self._sidecar(stack), stack.paced),
            stack.index,
            times=self._times(stack),
            slope=first.slope,
            inter=first.inter,
            receipts=tuple(receipt for instance in stack.instances for receipt in instance.receipts),
        )

    def _times(self, stack: Stack) -> dict[str, float]:
        """Return the times so far.

        The scanner's clock is not ours, and its date is an identifier: `acquired` of the first volume is set to when that was
        received, and the scanner's clock counts on from there. It tells steps and drift, not the way from scanner to us. Where
        it would be in the future, the files were there already when they were read, and it is left out.
        """
        times = {"received": stack.received, "converted": self._clock.now()}
        if stack.acquired is None:
            return times
        place = stack.index, stack.acquired, stack.received
        jump = self._scanners_clock.jump(*place)
        if jump and not self._said_jump:  # anonymised times may all be made up
            self._said_jump = True
            way = "after" if jump > 0 else "before"
            text = "%s: by the scanner's clock volume %d was acquired %.0f s %s its time: the clock was set, or the scan paused"
            logger.warning(text, self.stem, stack.index, abs(jump), way)
        if said := self._pace.acquired(stack.index, stack.acquired):
            logger.warning("%s: %s", self.stem, said)
        acquired = self._scanners_clock.carried(*place)
        return times if acquired > stack.received + self.repetition_time else {"acquired": acquired, **times}

    def _sidecar(self, stack: Stack) -> dict[str, Any]:
        """Return the sidecar: one mapping for all volumes, a new one where the second volume tells other slice times."""
        if self._asked_for_timing < 2:
            self._asked_for_timing += 1
            usable = stack.timing is not None and not siemens.broken(stack.timing, stack.repetition_time)
            told = header.with_timing(self._metadata, stack.timing if usable else None)
            self._metadata = told if told != self._metadata else self._metadata
            if stack.timing is None or (usable and not stack.timing_is_provisional):
                self._asked_for_timing = 2
        return self._metadata

    def _paced(self, metadata: dict[str, Any], paced: bool) -> dict[str, Any]:
        """Mark the sidecar of volumes that were there before anybody watched: their feedback is waited for."""
        if paced and self._marked is None:
            return metadata
        if self._marked is None or self._marked[:2] != (metadata, paced):
            self._marked = metadata, paced, {**metadata, "Paced": paced}
        return self._marked[2]


def patience(repetition_time: float | None) -> float:
    """Return how long (s) to hold volumes for one that is missing: half a TR, a quarter of a second at least, one at most."""
    return min(max((repetition_time or 2.0) / 2, 0.25), 1.0)


def _grid(stack: Stack) -> str:
    return "x".join(map(str, stack.shape))


def _place(stack: Stack) -> str:
    zooms = np.sqrt((stack.affine[:3, :3] ** 2).sum(axis=0))
    size = "x".join(f"{zoom:.3g}" for zoom in zooms)
    return f"{size} mm from ({', '.join(f'{value:.2f}' for value in stack.affine[:3, 3])})"
