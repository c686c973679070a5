"""One series: which of its images to take, and the runs that they make."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from rtbids.clock import Clock
from rtbids.convert import classic, decode, dicom, enhanced, functional, pixels, protocol
from rtbids.convert.dicom import Instance
from rtbids.convert.feed import Aside, Feed
from rtbids.convert.functional import Kind
from rtbids.convert.protocol import Protocol
from rtbids.convert.run import Run
from rtbids.volume import Item

logger = logging.getLogger("rtbids")

Keep: TypeAlias = Literal["original", "corrected", "both"]
EntitiesOfRun: TypeAlias = Callable[[str, str, Mapping[str, str]], dict[str, str]]
_QUIET = 5.0  # seconds without an image after which a series is over when another has begun; two TRs where that is longer
MOST_WAITING = 1 << 31  # bytes of memory that images of one series may take while they wait for others


class Series:
    """One series: its images by echo, part and correction, each kind a run of its own under the same run label."""

    def __init__(self, dataset: Any, entities_of_run: EntitiesOfRun, keep: Keep, clock: Clock) -> None:
        description = str(dataset.get("SeriesDescription") or "")
        self.number = number_of(dataset)
        self.title = f"series {self.number} ({description or 'no description'})"
        self.key = ""  # what tells it from other series
        self.wanted = True
        self.other = False  # not functional: for the session's other series
        self.ended = False
        self.most_waiting = MOST_WAITING
        self.hurry = True  # somebody waits for its volumes: one that does not come is given up, and the next ones leave
        self.aside: Aside = lambda instance, reason: None  # for images of volumes that are left out
        self.also: Callable[[Mapping[str, str], str, Mapping[str, str]], None] = lambda entities, protocol, own: None
        self.images, self.keys = 0, 1
        self._description = description
        self._protocol = protocol_of(dataset)
        self._entities_of_run = entities_of_run
        self._entities: dict[str, str] | None = None
        self._keep = keep
        self._clock = clock
        self._kinds: set[Kind] = set()
        self._asked: tuple[Any, Kind] | None = None  # the image whose kind was asked last
        self._feeds: dict[Kind, Feed] = {}
        self._announced: Protocol | None = None  # when the first image has been asked
        self._heard = 0.0
        self._places: set[tuple[int, ...]] = set()  # of the images, as long as each has a series UID of its own
        self._said_dropped = False
        self._said_full = False
        self._expected: int | None = None  # images, where that is known beforehand
        self._magnitudes: dict[bool, str | None] = {}  # their part, once it is given: of raw and of corrected ones
        self._has_parts = False  # other series have the phases of these magnitudes
        self._unnamed: set[str] = set()  # runs of which it was said that they lack echo

    @property
    def runs(self) -> list[Run]:
        return [feed.run for feed in self._feeds.values() if feed.run is not None]

    @property
    def begun(self) -> bool:
        return bool(self.runs)

    @property
    def over(self) -> bool:
        """Whether nothing of this series is waited for any more."""
        return (
            self.ended or not self.wanted or (self.begun and all(feed.run and feed.run.over for feed in self._feeds.values()))
        )

    @property
    def is_whole(self) -> bool:
        """Whether it is known that no more images of this series will come."""
        return self._expected is not None and self.images >= self._expected

    def foresee(self, kinds: frozenset[Kind], images: int | None, *, has_parts: bool) -> None:
        """Learn which kinds of image will come, how many in all, and whether the phases of these magnitudes will elsewhere."""
        self._kinds |= kinds
        self._expected = images
        self._has_parts = has_parts

    def scrambled(self, dataset: Any) -> bool:
        """Say whether every image so far came with a series UID of its own, and this one looks like the next."""
        same = number_of(dataset) == self.number and str(dataset.get("SeriesDescription") or "") == self._description
        return same and self.images == self.keys and not self.over and _place(dataset) not in self._places

    def counts(self, dataset: Any) -> None:
        """Count an image of this series."""
        self.images += 1
        if self.images == self.keys:
            self._places.add(_place(dataset))

    def keeps(self, dataset: Any) -> bool:
        """Say whether to take this image, raw or corrected; that some are dropped is said once."""
        kind = self._kind_of(dataset)
        if self._keep == "both" or kind.corrected == (self._keep == "corrected"):
            return True
        if not self._said_dropped:
            what = "corrected for motion by the scanner" if kind.corrected else "not corrected for motion"
            logger.warning("%s: images %s are dropped from the run; --keep says which to take", self.title, what)
        self._said_dropped = True
        return False

    def add(self, instance: Instance, now: float) -> list[Item]:
        """Take an image of this series; return what may leave."""
        self._heard = now
        if self._announced is None:
            self._announced = protocol.read(instance)
        parts = enhanced.uniform(instance)
        kinds = [self._kind_of(part.dataset) for part in parts]
        leaving = [item for part, kind in zip(parts, kinds, strict=True) for item in self._add(part, kind, now)]
        return leaving if self.hurry else leaving + self._relieved()

    def _kind_of(self, dataset: Any) -> Kind:
        """Return what kind of image this is, and count the kind among those of the series; asked again, it is remembered."""
        if self._asked is None or self._asked[0] is not dataset:
            self._asked = dataset, functional.kind(dataset)
            self._kinds.add(self._asked[1])
        return self._asked[1]

    def _add(self, instance: Instance, kind: Kind, now: float) -> list[Item]:
        if kind not in self._feeds:
            decoder = decode.decoder(instance.dataset)
            self._feeds[kind] = Feed(decoder, self.title, lambda: self._named(kind), self._clock, self.aside, self._told)
        several = len(self._kinds) > 1 or kind.echo > 1
        return self._feeds[kind].add(instance, several, now)

    def wake(self, *, overtaken: bool) -> float | None:
        """When `tick` has something to do: give up a volume, or end a series that another has overtaken."""
        moments = [run.order.wake for run in self.runs if not run.over]
        if not self.hurry:
            moments = [max(moment, self._quiet_at) for moment in moments if moment is not None]
        if overtaken and not self.over:
            moments.append(self._quiet_at)
        return min((moment for moment in moments if moment is not None), default=None)

    def tick(self, now: float, *, overtaken: bool) -> list[Item]:
        """Return what leaves because time has passed."""
        leaving: list[Item] = []
        if self.hurry or now >= self._quiet_at:
            leaving += [item for feed in self._feeds.values() for item in feed.tick(now)]
        if overtaken and not self.over and now >= self._quiet_at:
            leaving += self.finish()
        return leaving

    def finish(self) -> list[Item]:
        """End the runs of this series; return what was held."""
        self.ended = True
        return [item for feed in self._feeds.values() for item in feed.finish()]

    @property
    def _quiet_at(self) -> float:
        return self._heard + max(_QUIET, 2 * max((run.repetition_time for run in self.runs), default=0.0))

    @property
    def waiting(self) -> int:
        """How many bytes of memory its images take that wait for others, about."""
        return sum(feed.waiting for feed in self._feeds.values())

    def _relieved(self) -> list[Item]:
        """Give up as many volumes as it takes to keep memory; return what may leave."""
        leaving: list[Item] = []
        while (before := self.waiting) > self.most_waiting:
            leaving += max(self._feeds.values(), key=lambda feed: feed.waiting).give_up()
            if self.waiting >= before:
                break
            self._say_full()
        return leaving

    def _say_full(self) -> None:
        if not self._said_full:
            text = "%s: images for more than %d MiB wait for others of their volumes: the first are given up"
            logger.warning(text, self.title, self.most_waiting >> 20)
        self._said_full = True

    def _named(self, kind: Kind) -> dict[str, str]:
        """Return the entities of the run of one kind of image; an only echo and an only magnitude go without saying."""
        own = self._own(kind)
        if self._entities is None:
            self._entities = self._entities_of_run(self._protocol, self.title, own)
        else:
            self.also(self._entities, self._protocol, own)
        named = {**self._entities, **own}
        if self._several_echoes:
            named["echo"] = str(self._echo(kind))
            self._say_unnamed()
        return named

    @property
    def _told(self) -> Protocol:
        return self._announced or protocol.SILENT

    @property
    def _several_echoes(self) -> bool:
        """Whether there are several echoes, as far as it is announced or they have come."""
        came = {(kind.echo, kind.echo_time) for kind in self._kinds}
        return self._told.echoes > 1 or len(came) > 1 or any(kind.echo > 1 for kind in self._kinds)

    def _say_unnamed(self) -> None:
        """Say which runs began before anything told that there are several echoes."""
        for stem in [run.stem for run in self.runs if "echo" not in run.entities and run.stem not in self._unnamed]:
            self._unnamed.add(stem)
            logger.warning(
                "%s: %s is one of several echoes but is named without echo, as its header did not say that others follow; "
                "give its files echo-1 before programs such as fmriprep take them",
                self.title,
                stem,
            )

    def _own(self, kind: Kind) -> dict[str, str]:
        """Return what a run of this kind is called besides, a series of its own or not."""
        corrected = {"reconstruction": "moco"} if kind.corrected and self._keep == "both" else {}
        part = kind.part or self._magnitude(kind)
        return corrected if part is None else {**corrected, "part": part}

    def _magnitude(self, kind: Kind) -> str | None:
        """Return the part of magnitudes, which an only one has not; what is named once is so for all echoes."""
        if kind.corrected not in self._magnitudes:
            several = self._has_parts or any(other.part for other in self._kinds if other.corrected == kind.corrected)
            self._magnitudes[kind.corrected] = functional.MAGNITUDE if several else None
        return self._magnitudes[kind.corrected]

    def _echo(self, kind: Kind) -> int:
        """Return the number of an echo: as the header has it, or by echo time where different echoes have one number."""
        times = sorted({one.echo_time for one in self._kinds if one.echo == kind.echo})
        return kind.echo if len(times) < 2 else 1 + times.index(kind.echo_time)


def _place(dataset: Any) -> tuple[int, ...]:
    """Return what no two images of one series share."""
    keywords = ("AcquisitionNumber", "InstanceNumber", "EchoNumbers", "SeriesNumber")
    return tuple(pixels.whole(dataset, keyword) for keyword in keywords)


def number_of(dataset: Any) -> int:
    """Return the series number as people know it."""
    number = pixels.whole(dataset, "SeriesNumber")
    return number // classic.VOLUME_SERIES if classic.is_volume_series(dataset) else number


def protocol_of(dataset: Any) -> str:
    """Return the name of the protocol, else the series description."""
    return str(dataset.get("ProtocolName") or "") or str(dataset.get("SeriesDescription") or "")


def key_of(dataset: Any) -> str:
    """Return what the images of one run share; in the classic export of Siemens XA every volume is a series of its own."""
    if classic.is_volume_series(dataset):
        return f"{dataset.get('StudyInstanceUID')} series {number_of(dataset)}"
    return dicom.series_key(dataset)
