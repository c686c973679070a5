"""Anatomical images wait until all files are read, for a face is taken out of a volume, and a volume is many files.

They wait de-identified in a folder of their own that only we can read and that is gone afterwards: a session fills no memory.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rtbids.deidentify.clean import Clean
from rtbids.deidentify.pixels import Refused
from rtbids.errors import cannot_write
from rtbids.wakeup import Wakeup

if TYPE_CHECKING:
    from rtbids.deidentify.deface import Defacer
    from rtbids.deidentify.linkage import Link


@dataclass(frozen=True)
class Held:
    """An image: what it was called, how it is de-identified, and who became whom where that is to be left."""

    name: str
    clean: Clean
    link: Link | None = None


@dataclass(frozen=True)
class Waiting:
    """The images of the series that may show a face."""

    defacer: Defacer
    folder: Path
    stop: Wakeup
    series: dict[str, list[Held]] = field(default_factory=dict)

    def takes(self, held: Held) -> bool:
        """Keep an image back, if it may show a face."""
        from rtbids.deidentify.deface import shows_a_face

        if not shows_a_face(held.clean):
            return False
        self._keep(held.clean)
        light = replace(held.clean, content=b"", gone=frozenset())
        self.series.setdefault(light.series, []).append(replace(held, clean=light))
        return True

    def finish(self, write: Callable[[Held], None], refuse: Callable[[list[Held], Refused], None]) -> None:
        """Deface what waits, series by series, and hand each image on, or the reason why its series cannot be."""
        while self.series and not self.stop.is_set():
            images = self.series.pop(next(iter(self.series)))
            try:
                defaced = self.defacer.deface([self._whole(held.clean) for held in images])
            except Refused as refused:
                if not self.stop.is_set():
                    refuse(images, refused)
                continue
            for held, clean in zip(images, defaced, strict=True):
                write(replace(held, clean=clean))

    def _keep(self, clean: Clean) -> None:
        path = self._path(clean)
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(clean.content)
        except OSError as error:
            raise cannot_write(path, error) from None

    def _whole(self, clean: Clean) -> Clean:
        path = self._path(clean)
        content = path.read_bytes()
        path.unlink()
        return replace(clean, content=content)

    def _path(self, clean: Clean) -> Path:
        return self.folder / clean.name.replace("/", " ")


@contextmanager
def waiting(program: str | None, stop: Wakeup) -> Iterator[Waiting | None]:
    """Give where images wait for `program`; raise UsageFault where there is no such program."""
    if program is None:
        yield None
        return
    from rtbids.deidentify.deface import defacer

    found = replace(defacer(program), stopped=stop.wait)
    with tempfile.TemporaryDirectory(prefix="rtbids-deface-") as folder:
        yield Waiting(found, Path(folder), stop)
