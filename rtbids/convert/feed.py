"""What turns the images of one kind (one echo, one part, raw or corrected) of one series into one run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeAlias

from rtbids.clock import Clock
from rtbids.convert import geometry
from rtbids.convert.decode import Decoder
from rtbids.convert.dicom import Instance
from rtbids.convert.order import LATE
from rtbids.convert.protocol import SILENT, Protocol
from rtbids.convert.run import Run
from rtbids.convert.stack import MALFORMED, Refusal, Stack, malformed
from rtbids.receipt import settle
from rtbids.volume import Entities, Item

logger = logging.getLogger("rtbids")

_WEIGHT = 20_000  # bytes of memory that an image takes besides its file and its voxels: its elements, as measured

Aside: TypeAlias = Callable[[Instance, str], None]  # what is done with an image that cannot be used, and why it cannot


class Feed:
    """A decoder and the run that it fills; the run is named when its first whole volume has come.

    `title` names the series in messages, `entities` is called once and gives the run's, `aside` gets the images of volumes
    that are left out, `protocol` is what the first header of the series says.
    """

    def __init__(
        self,
        decoder: Decoder,
        title: str,
        entities: Callable[[], Entities],
        clock: Clock,
        aside: Aside = lambda instance, reason: None,
        protocol: Protocol = SILENT,
    ) -> None:
        self.run: Run | None = None
        self._decoder = decoder
        self._title = title
        self._entities = entities
        self._clock = clock
        self._aside = aside
        self._protocol = protocol
        self._refused: list[int] = []  # before the run has begun
        self._said: set[str] = set()
        self._said_late = False
        self._size = 0  # bytes of an image's file

    def add(self, instance: Instance, several: bool, now: float) -> list[Item]:
        """Take an image; return what may leave."""
        self._size = len(instance.content)
        leaving: list[Item] = []
        for result in self._decoder.add(instance, several):
            leaving += self._take(result, now)
        return leaving + self._end_if_complete()

    def tick(self, now: float) -> list[Item]:
        """Return what leaves because time has passed."""
        if self.run is None or self.run.over:
            return []
        lost, leaving = self.run.tick(now)
        self._report(lost, self.run)
        return leaving + self._end_if_complete()

    @property
    def waiting(self) -> int:
        """How many bytes of memory the images take that wait for others, about."""
        images = self._decoder.waiting + (self.run.waiting if self.run else 0)
        return images * (2 * self._size + _WEIGHT)

    def give_up(self) -> list[Item]:
        """Make room: give up the first volumes that others wait for, else the first one begun; return what may leave."""
        if self.run is not None and self.run.order.held:
            lost, leaving = self.run.give_up()
            self._report(lost, self.run)
            return leaving + self._end_if_complete()
        for index in self._decoder.begun[:1]:
            partial = self._decoder.partial(index)
            images = self._decoder.drop(index)
            return self._refuse(Refusal(index, images[0].name, f"incomplete, only {partial}", tuple(images)))
        return []

    def finish(self) -> list[Item]:
        """End the run; return what was held for volumes that did not come."""
        leaving = [item for result in self._decoder.finish() for item in self._take(result, self._clock.now())]
        if self.run is None:
            for index in self._decoder.begun:
                partial = self._decoder.partial(index)
                logger.warning("%s: no whole volume came, only %s", self._title, partial)
                self._keep_aside(self._decoder.drop(index), f"no whole volume came, only {partial}")
            return leaving
        if self.run.over:
            self._report(self._decoder.begun, self.run)
            return leaving
        for index in self._decoder.begun:
            self._report([index], self.run)
            leaving += self.run.refuse(index)
        lost, held = self.run.finish()
        self._report(lost, self.run)
        return [*leaving, *held, self.run.end()]

    def _take(self, result: Stack | Refusal, now: float) -> list[Item]:
        if isinstance(result, Refusal):
            return self._refuse(result)
        if self.run is None:
            return self._begin(result, now)
        if self.run.order.place_taken(result.index) == LATE:
            self._say_late()
        return self.run.add(result, now)

    def _begin(self, first: Stack, now: float) -> list[Item]:
        """Begin the run with a volume, if all of its header can be read; the next one's may be sound."""
        try:
            self.run = Run(self._entities(), first, self._clock, self._keep_aside, self._protocol)
        except MALFORMED as error:
            return self._refuse(Refusal(first.index, first.name, malformed(error, first.instances), first.instances))
        early = [item for index in self._refused for item in self.run.refuse(index)]
        return early + self.run.add(first, now)

    def _keep_aside(self, instances: Iterable[Instance], reason: str) -> None:
        """Give away images that cannot be used."""
        for instance in instances:
            self._aside(instance, reason)
            settle(instance.receipts)

    def _refuse(self, refusal: Refusal) -> list[Item]:
        self._keep_aside(refusal.instances, refusal.reason)
        if refusal.is_late:
            self._say_late()
        if self.run is not None and refusal.index is not None:
            logger.warning("%s: volume %d of %s refused: %s", refusal.name, refusal.index, self.run.stem, refusal.reason)
            return self.run.refuse(refusal.index)
        if refusal.index is not None:
            self._refused.append(refusal.index)
        if refusal.reason not in self._said:  # the same for every image of a series that has no usable one
            logger.warning("%s: %s: %s", refusal.name, self._title, refusal.reason)
        self._said.add(refusal.reason)
        return []

    def _say_late(self) -> None:
        """Say once what may be done where images come in no order, as when a folder is sent as its file system lists it."""
        if not self._said_late:
            logger.warning(
                "%s: images of volumes that were given up still come; where a folder is sent, send its files in the order of "
                "acquisition",
                self._title,
            )
        self._said_late = True

    def _end_if_complete(self) -> list[Item]:
        if self.run is None or self.run.over or not self.run.complete:
            return []
        return [self.run.end()]

    def _report(self, lost: list[int], run: Run) -> None:
        """Say which volumes are given up: those of which slices are there one by one, the others together."""
        absent = []
        for index in lost:
            partial = self._decoder.partial(index)
            if partial is None:
                absent.append(index)
                continue
            logger.warning("volume %d of %s is incomplete and left out: %s", index, run.stem, partial)
            self._keep_aside(self._decoder.drop(index), f"volume {index} is incomplete: {partial}")
        if absent:
            several = "s" if len(absent) > 1 else ""
            logger.warning("volume%s %s of %s did not come", several, geometry.named(absent), run.stem)
