"""De-identification of images on their way from a folder, the network or a stream to whoever takes them."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rtbids.errors import BadData, UsageFault
from rtbids.receipt import abandon
from rtbids.stream import endpoints

if TYPE_CHECKING:
    from rtbids.convert.beforehand import Foreseen
    from rtbids.convert.dicom import Instance
    from rtbids.deidentify.by_recipe import Cleaner

logger = logging.getLogger("rtbids")


@dataclass(frozen=True)
class Wish:
    """What the options of the same names say."""

    deidentify: bool | None = None
    key: Path | None = None
    recipe: Path | None = None


@dataclass(frozen=True)
class Stage:
    """A stage that gives images de-identified, in the order in which they come.

    Attributes
    ----------
    make
        Makes what cleans them, when the first image comes: a stream may hold none, and then needs no key.
    """

    make: Callable[[], Cleaner]

    @functools.cached_property
    def cleaner(self) -> Cleaner:
        return self.make()

    def instances(self, found: Iterable[Instance], faults: list[str]) -> Iterator[Instance]:
        """Pass images on de-identified; one that cannot be is left out, named, and stays with its source."""
        for instance in found:
            try:
                clean = self._clean(instance)
            except BadData as error:
                text = f"{instance.name}: left out: {error}"
                faults.append(text)
                logger.warning("%s", text)
                abandon(instance.receipts)
                continue
            yield clean

    def seen(self, foreseen: Foreseen) -> Foreseen:
        """Return what is known beforehand of the images as they are before, for the images as they will be."""
        if self.cleaner.engine.profile.options.uids:
            return foreseen
        return replace(foreseen, series={self._renamed(key): series for key, series in foreseen.series.items()})

    def _clean(self, instance: Instance) -> Instance:
        from rtbids.convert import dicom

        content = self.cleaner.clean(bytes(instance.content)).content
        clean = dicom.read(content, instance.name, instance.received)
        return replace(clean, paced=instance.paced, receipts=instance.receipts)

    def _renamed(self, key: str) -> str:
        """Return the key of a series, which begins with a UID, with the new UID."""
        uid, space, rest = key.partition(" ")
        return self.cleaner.engine.mapping.uid(uid) + space + rest


def of_source(source: str, wish: Wish, *, identified: bool = False, late: bool = False) -> Stage | None:
    """Return the stage for a source: none here where it is on another machine, which has its own."""
    if not endpoints.is_far(source):
        return stage(wish, identified=identified, late=late)
    if wish.deidentify and identified:
        raise UsageFault("--deidentify and --identified exclude each other")
    return None


def stage(wish: Wish, *, identified: bool = False, late: bool = False) -> Stage | None:
    """Return the stage that is asked for, ready for the first image unless it may be `late`; None where none is.

    Raises
    ------
    InputMissing, UsageFault
        The site's key or the recipe is not there, or not what it should be.
    """
    from rtbids.cli import cleaners

    if not wish.deidentify:
        if wish.key or wish.recipe:
            raise UsageFault("--key and --recipe are for --deidentify")
        return None
    if identified:
        raise UsageFault("--deidentify and --identified exclude each other")
    made = Stage(lambda: cleaners.cleaner(cleaners.Rules({}, wish.key, wish.recipe), lambda seconds: None))
    if not late:
        _ = made.cleaner
    return made
