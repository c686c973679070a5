"""One series: which of its images to take, and the runs that they make."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from rtbids.clock import Clock
from rtbids.convert import classic, decode, enhanced, functional, pixels, protocol
from rtbids.convert.dicom import Instance
from rtbids.convert.feed import Aside, Feed
from rtbids.convert.protocol import Protocol
from rtbids.convert.run import Run
from rtbids.volume import Item

logger = logging.getLogger("rtbids")

Keep: TypeAlias = Literal["original", "corrected", "both"]
EntitiesOfRun: TypeAlias = Callable[[str, str, Mapping[str, str]], dict[str, str]]
_QUIET = 5.0  # seconds without an image after which a series is over when another has begun; two TRs where that is longer


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
        self.aside: Aside = lambda instance, reason: None  # for images of volumes that are left out
        self.images, self.keys = 0, 1
        self._description = description
        self._protocol = str(dataset.get("ProtocolName") or "") or description
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
        return [item for part, kind in zip(parts, kinds, strict=True) for item in self._add(part, kind, now)]

    def _kind_of(self, dataset: Any) -> Kind:
        """Return what kind of image this is, and count the kind among those of the series; asked again, it is remembered."""
        if self._asked is None or self._asked[0] is not dataset:
            self._asked = dataset, _kind(dataset)
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
        if overtaken and not self.over:
            moments.append(self._quiet_at)
        return min((moment for moment in moments if moment is not None), default=None)

    def tick(self, now: float, *, overtaken: bool) -> list[Item]:
        """Return what leaves because time has passed."""
        leaving = [item for feed in self._feeds.values() for item in feed.tick(now)]
        if overtaken and not self.over and now >= self._quiet_at:
            leaving += self.finish()
        return leaving

    def finish(self) -> list[Item]:
        """End the runs of this series; return what was held."""
        self.ended = True
        return [item for feed in self._feeds.values() for item in feed.finish()]

    @property
    def _quiet_at(self) -> float:
        return self._heard + max(_QUIET, 2 * max(run.repetition_time for run in self.runs))

    def _named(self, kind: Kind) -> dict[str, str]:
        """Return the entities of the run of one kind of image; an only echo and the magnitude go without saying."""
        own = self._own(kind)
        if self._entities is None:
            self._entities = self._entities_of_run(self._protocol, self.title, own)
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
        return corrected if kind.part is None else {**corrected, "part": kind.part}

    def _echo(self, kind: Kind) -> int:
        """Return the number of an echo: as the header has it, or by echo time where different echoes have one number."""
        times = sorted({one.echo_time for one in self._kinds if one.echo == kind.echo})
        return kind.echo if len(times) < 2 else 1 + times.index(kind.echo_time)


class Kind(NamedTuple):
    """What tells the images of one moment apart."""

    echo: int
    echo_time: float
    part: str | None
    corrected: bool


def _kind(dataset: Any) -> Kind:
    return Kind(
        functional.echo(dataset), functional.echo_time(dataset), functional.part(dataset), functional.is_corrected(dataset)
    )


def _place(dataset: Any) -> tuple[int, ...]:
    """Return what no two images of one series share."""
    keywords = ("AcquisitionNumber", "InstanceNumber", "EchoNumbers", "SeriesNumber")
    return tuple(pixels.whole(dataset, keyword) for keyword in keywords)


def number_of(dataset: Any) -> int:
    """Return the series number as people know it."""
    number = pixels.whole(dataset, "SeriesNumber")
    return number // classic.VOLUME_SERIES if classic.is_volume_series(dataset) else number
