"""A whole series de-identified before it is converted or kept; what cannot be is kept apart from the data set."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rtbids.cli import headers
from rtbids.errors import BadData

if TYPE_CHECKING:
    from rtbids.deidentify.engine import Deidentifier

logger = logging.getLogger("rtbids")
_CLEAN = "made-clean"  # beside the series' folder of DICOM files


@dataclass
class CleanSeries:
    """De-identifies the files of series that wait in folders; `words` know what not to keep in names.

    By the site's key, where there is one, as ``rtbids deidentify`` does; else by one for this call alone, without dates.
    """

    words: headers.Words
    _made: set[Path] = field(default_factory=set)

    def copy(self, dicom: Path) -> Path:
        """Return a folder with the files of `dicom` de-identified, those that cannot be left out; made once."""
        place = dicom.parent / _CLEAN
        if place not in self._made:
            shutil.rmtree(place, ignore_errors=True)  # of a killed process
            place.mkdir(mode=0o700)
            engine: Deidentifier | None = None
            for file in sorted(dicom.glob("*.dcm")):
                content = file.read_bytes()
                engine = engine or self._engine(content)
                _write_clean(engine, content, place / file.name)
            self._made.add(place)
        return place

    def keep(self, dicom: Path, apart: Path) -> int:
        """De-identify the files of `dicom` where they are; those that cannot be go to `apart`: return how many."""
        clean = self.copy(dicom)
        left = [file for file in sorted(dicom.iterdir()) if not (clean / file.name).exists()]
        for file in left:
            apart.mkdir(parents=True, mode=0o700, exist_ok=True)
            shutil.move(file, apart / file.name)
        for file in clean.iterdir():
            os.replace(file, dicom / file.name)
        self._made.discard(clean)
        return len(left)

    def _engine(self, content: bytes) -> Deidentifier:
        """Return what de-identifies a series: names of protocol and series keep what does not identify."""
        from rtbids.deidentify.engine import Deidentifier
        from rtbids.deidentify.profile import Action, Change, Options, Profile

        names = headers.names_in(content)
        kept = [(keyword, self.words.left(name)) for keyword, name in zip(headers.NAMES, names, strict=True)]
        changes = tuple(Change(Action.REPLACE, (keyword,), value=name) for keyword, name in kept if name)
        options = Options(dates="shifted" if headers.has_key() else "removed")
        return Deidentifier(Profile(options, changes), headers.mapping())


def apart(data_set: str, number: int) -> Path:
    """Return where images that cannot be de-identified are kept: in the user's own folder, a new one for each series."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    base = Path(state, "rtbids", "refused", data_set)
    return next(place for count in range(1, 10**6) if not (place := base / f"series-{number:03d}-{count}").exists())


def _write_clean(engine: Deidentifier, content: bytes, path: Path) -> None:
    try:
        clean = engine.clean(content)
    except BadData:  # why is said when the series is settled
        return
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(clean.content)
