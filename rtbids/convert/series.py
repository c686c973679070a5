"""From instances to runs: which series are functional, which images belong together, when a run is over.

`Assembler` is a pure machine: instances and the time go in, volumes and ends of runs come out. `volumes` makes a stage of it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from rtbids.bids import entities as bids_entities
from rtbids.clock import CLOCK, Clock
from rtbids.convert import classic, decode, dicom, functional, pixels
from rtbids.convert.dicom import Instance
from rtbids.convert.feed import Feed
from rtbids.convert.run import Run
from rtbids.convert.stack import MALFORMED
from rtbids.errors import BadData
from rtbids.volume import Item, run_key

logger = logging.getLogger("rtbids")

Number: TypeAlias = Callable[[Mapping[str, str]], str]
Keep: TypeAlias = Literal["original", "corrected", "both"]
_QUIET = 5.0  # seconds without an image after which a series is over when another has begun; two TRs where that is longer


def counter() -> Number:
    """Return the plain numbering of runs: ``01``, ``02``, ... for each combination of the other entities."""
    taken: Counter[tuple[tuple[str, str], ...]] = Counter()

    def number(entities: Mapping[str, str]) -> str:
        taken[run_key(entities)] += 1
        return f"{taken[run_key(entities)]:02d}"

    return number


def volumes(instances: Iterable[Instance | None], assembler: Assembler) -> Iterator[Item]:
    """Turn instances into volumes and ends of runs; None is a tick. At the end every run is ended."""
    for instance in instances:
        now = CLOCK.now()
        yield from assembler.tick(now) if instance is None else assembler.add(instance, now)
    yield from assembler.finish()


class Assembler:
    """Sorts instances by series, and gives the volumes of the functional ones in order.

    Parameters
    ----------
    entities
        What the user gave. Without `subject` it is ``01``, without `task` the protocol's name.
    number
        Called with the other entities once per functional series, unless `entities` has a run; returns the run's label.
    keep
        Which images to take where the scanner sends raw and motion-corrected ones. With ``both`` the corrected ones get
        ``rec-moco``.
    series
        Series numbers to take, functional or not; without it every functional series.
    """

    def __init__(
        self,
        entities: Mapping[str, str],
        number: Number,
        *,
        keep: Keep = "original",
        series: frozenset[int] | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        self._entities = {"subject": "01", **entities}
        self._number = number
        self._keep = keep
        self._picked = series
        self._clock = clock
        self._seen: set[str] = set()
        self._series: dict[str, Series] = {}
        self._begun: list[Series] = []  # functional series in the order in which they began
        self._stems: set[str] = set()

    @property
    def wake(self) -> float | None:
        """The moment (POSIX seconds) at which `tick` wants to be called; None while nothing is waited for."""
        moments = [series.wake(overtaken=series is not self._begun[-1]) for series in self._begun]
        return min((moment for moment in moments if moment is not None), default=None)

    def add(self, instance: Instance, now: float) -> list[Item]:
        """Take one image; return what may leave."""
        try:
            leaving = self._add(instance, now)
        except (BadData, *MALFORMED) as error:
            logger.warning("%s: left out: %s", instance.name, error)
            leaving = []
        return leaving + self.tick(now)

    def tick(self, now: float) -> list[Item]:
        """Return what leaves because time has passed: volumes held for one that did not come, ends of runs."""
        leaving = [item for series in self._begun for item in series.tick(now, overtaken=series is not self._begun[-1])]
        self._begun = [series for series in self._begun if not series.over or series is self._begun[-1]]
        return leaving

    def finish(self) -> list[Item]:
        """End every run; return what was held."""
        open_ones = [series for series in dict.fromkeys(self._series.values()) if not series.over]
        return [item for series in open_ones for item in series.finish()]

    def _add(self, instance: Instance, now: float) -> list[Item]:
        dataset = instance.dataset
        uid = dicom.instance_uid(dataset)
        if uid in self._seen:
            logger.warning("%s: the same image has come before, and this one is dropped", instance.name)
            return []
        self._seen.add(uid)
        series = self._series_of(dataset)
        if not series.wanted or not series.keeps(dataset):
            return []
        leaving = series.add(instance, now)
        if series.begun and series not in self._begun:
            self._begun.append(series)
        return leaving

    def _series_of(self, dataset: Any) -> Series:
        key = _key(dataset)
        if key not in self._series:
            self._series[key] = self._same_series(dataset) or self._new_series(dataset)
        series = self._series[key]
        series.images += 1
        return series

    def _same_series(self, dataset: Any) -> Series | None:
        """Find the series of an image whose series UID is its own: some anonymisers give every file a new one."""
        if pixels.whole(dataset, "InstanceNumber", 1) == 1:
            return None
        for series in reversed(self._series.values()):
            if series.scrambled(dataset):
                series.keys += 1
                return series
        return None

    def _new_series(self, dataset: Any) -> Series:
        series = Series(dataset, self._entities_of_run, self._keep, self._clock)
        if self._picked is not None:
            series.wanted = series.number in self._picked
        elif not functional.is_functional(dataset):
            series.wanted = False
            logger.warning("%s is not functional: left alone", series.title)
        return series

    def _entities_of_run(self, protocol: str, title: str) -> dict[str, str]:
        """Return the entities of a new run."""
        task = self._entities.get("task") or bids_entities.clean_label(protocol) or "rest"
        base = {**self._entities, "task": task}
        given = base.pop("run", None)
        named = {**base, "run": given or self._number(base)}
        if bids_entities.stem(named) in self._stems:
            named["run"] = self._number(base)
            logger.warning("%s becomes %s: run %s is taken", title, bids_entities.stem(named), given)
        self._stems.add(bids_entities.stem(named))
        return named


class Series:
    """One series: its images by echo, part and correction, each kind a run of its own under the same run label."""

    def __init__(self, dataset: Any, entities_of_run: Callable[[str, str], dict[str, str]], keep: Keep, clock: Clock) -> None:
        description = str(dataset.get("SeriesDescription") or "")
        self.number = _number(dataset)
        self.title = f"series {self.number} ({description or 'no description'})"
        self.wanted = True
        self.ended = False
        self.images, self.keys = 0, 1
        self._description = description
        self._protocol = str(dataset.get("ProtocolName") or "") or description
        self._entities_of_run = entities_of_run
        self._entities: dict[str, str] | None = None
        self._keep = keep
        self._clock = clock
        self._kinds: set[Kind] = set()
        self._feeds: dict[Kind, Feed] = {}
        self._heard = 0.0
        self._said_dropped = False

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
        same = _number(dataset) == self.number and str(dataset.get("SeriesDescription") or "") == self._description
        return same and self.images == self.keys and not self.over

    def keeps(self, dataset: Any) -> bool:
        """Say whether to take this image, raw or corrected; that some are dropped is said once."""
        kind = _kind(dataset)
        self._kinds.add(kind)
        if self._keep == "both" or kind.corrected == (self._keep == "corrected"):
            return True
        if not self._said_dropped:
            what = "corrected for motion by the scanner" if kind.corrected else "not corrected for motion"
            logger.info("%s: images %s are dropped", self.title, what)
        self._said_dropped = True
        return False

    def add(self, instance: Instance, now: float) -> list[Item]:
        """Take an image of this series; return what may leave."""
        self._heard = now
        kind = _kind(instance.dataset)
        if kind not in self._feeds:
            decoder = decode.decoder(instance.dataset)
            self._feeds[kind] = Feed(decoder, self.title, lambda: self._named(kind), self._clock)
        return self._feeds[kind].add(instance, len(self._kinds) > 1, now)

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
        """Return the entities of the run of one kind of image; the first echo and the magnitude go without saying."""
        if self._entities is None:
            self._entities = self._entities_of_run(self._protocol, self.title)
        named = dict(self._entities)
        if kind.corrected and self._keep == "both":
            named["reconstruction"] = "moco"
        if kind.echo > 1:
            named["echo"] = str(kind.echo)
        if kind.part is not None:
            named["part"] = kind.part
        return named


class Kind(NamedTuple):
    """What tells the images of one moment apart."""

    echo: int
    part: str | None
    corrected: bool


def _kind(dataset: Any) -> Kind:
    return Kind(functional.echo(dataset), functional.part(dataset), functional.is_corrected(dataset))


def _number(dataset: Any) -> int:
    number = pixels.whole(dataset, "SeriesNumber")
    return number // classic.VOLUME_SERIES if classic.is_volume_series(dataset) else number


def _key(dataset: Any) -> str:
    """Return what the images of one run share; in the classic export of Siemens XA every volume is a series of its own."""
    if classic.is_volume_series(dataset):
        return f"{dataset.get('StudyInstanceUID')} series {_number(dataset)}"
    return dicom.series_key(dataset)
