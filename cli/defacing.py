"""Anatomical images wait until their series is whole, for a face is taken out of a volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rtbids.deidentify.engine import Clean
from rtbids.deidentify.pixels import Refused

if TYPE_CHECKING:
    from rtbids.deidentify.deface import Defacer


@dataclass(frozen=True)
class Held:
    """An image that waits: what it was called, its bytes as they came, and de-identified."""

    name: str
    content: bytes
    clean: Clean


@dataclass(frozen=True)
class Waiting:
    """The images of the series that may show a face."""

    defacer: Defacer
    series: dict[str, list[Held]] = field(default_factory=dict)

    def takes(self, held: Held) -> bool:
        """Keep an image back, if it may show a face."""
        from rtbids.deidentify.deface import shows_a_face

        if not shows_a_face(held.clean):
            return False
        self.series.setdefault(held.clean.series, []).append(held)
        return True

    def finish(self, write: Callable[[Held, Clean], None], refuse: Callable[[list[Held], Refused], None]) -> None:
        """Deface what waits, series by series, and hand each image on, or the reason why its series cannot be."""
        for images in self.series.values():
            try:
                defaced = self.defacer.deface([held.clean for held in images])
            except Refused as refused:
                refuse(images, refused)
                continue
            for held, clean in zip(images, defaced, strict=True):
                write(held, clean)
        self.series.clear()


def waiting(program: str | None) -> Waiting | None:
    """Return where images wait for `program`; raise UsageFault where there is no such program."""
    if program is None:
        return None
    from rtbids.deidentify.deface import defacer

    return Waiting(defacer(program))
