"""A BIDS data set on disk: made or opened, changed by one process at a time, valid between any two steps.

What the official validator (3.0.2) calls an error, and what is done about it:

- ``participants.tsv`` that does not name exactly the ``sub-`` folders there are: so a data set without subjects has none.
- An image without its sidecar, a sidecar without its image, a subject's folder before its row. No order of single steps avoids
  all of these, so such steps are taken behind a *curtain*: lines in ``.bidsignore`` that hide what is half made, put up and
  taken down by one rename each. If a kill leaves one up, the data set is valid, and recovery takes it down.
- ``*_scans.tsv`` that names a file that is not there: a row is added after its file and removed before it.
- Not errors: folders without files, an image both as ``.nii`` and as ``.nii.gz``, bytes after the last counted volume, hidden
  files and folders. Work in progress is therefore kept in the hidden folder ``.rtbids``.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rtbids.archive import listing, locks
from rtbids.bids import dataset, sidecar
from rtbids.bids import entities as bids_entities
from rtbids.errors import BadData, CannotWrite, cannot_write
from rtbids.volume import Entities

logger = logging.getLogger("rtbids")
WORK = ".rtbids"
DERIVATIVE = Path("derivatives", "rtbids")
_CURTAIN = "# being written by rtbids\n"
_NOT_IN_SCHEMA = "*_timeseries.tsv\n*_timeseries.json\n*_statmap.nii.gz\n*_statmap.json\n*.html\n"
_README = """\
# {name}

This BIDS data set was recorded during real-time fMRI by rtbids {version}.

Each run of `func/` grew volume by volume while it was measured. Indices of volumes that never arrived are listed in
`MissingVolumes` of the run's sidecar. What was computed and shown during the runs is in `derivatives/rtbids`.
Please add here what was measured, of whom, and why.
"""


class Study:
    """The data set at `root`, made where there is none; an existing one is left as it is.

    Its sidecars say who was measured, where and when only if it is `identified`.

    Raises
    ------
    CannotWrite
        Where `root` cannot be written, holds other files than a data set, or is a derivative.
    """

    def __init__(self, root: Path, version: str, *, identified: bool = False) -> None:
        self.root = root
        self.version = version
        self.identified = identified
        self._work = root / WORK
        self._has_derivative = False
        try:
            self._open()
        except OSError as error:
            raise cannot_write(root, error) from error

    def _open(self) -> None:
        refuse_strangers(self.root)
        self.growing.mkdir(parents=True, exist_ok=True)
        with self.locked():
            self._scratch = self._work / "tmp" / f"{os.getpid()}-{secrets.token_hex(4)}"
            self._scratch.mkdir(parents=True)
            self._owner = locks.take(self._scratch / "owner")
            if not dataset.is_dataset(self.root):
                self._make()

    def _make(self) -> None:
        name = self.root.resolve().name
        self.write(self.root / dataset.DESCRIPTION, sidecar.dumps(dataset.description(name, self.version)))
        self.write(self.root / ".bidsignore", "")
        self.write(self.root / "README.md", self._readme)

    @property
    def _readme(self) -> str:
        return _README.format(name=self.root.resolve().name, version=self.version)

    def remove_own_readme(self) -> None:
        """Remove the README of a data set that rtbids made, if nobody wrote into it: its runs were not recorded here."""
        if read_text(self.root / "README.md") == self._readme:
            (self.root / "README.md").unlink()

    @property
    def growing(self) -> Path:
        """The folder of the claims on runs that grow."""
        return self._work / "growing"

    def close(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        if self._owner is not None:
            os.close(self._owner)
            self._owner = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process and thread from changing the data set; for some milliseconds at the most."""
        with locks.held(self._work / "lock"):
            yield

    def staged(self, name: str) -> Path:
        """Return where a file named `name` may be prepared, on the same file system as its place."""
        return self._scratch / name

    def write(self, path: Path, text: str) -> None:
        """Put a whole new text in place of `path` in one step."""
        try:
            os.replace(self._prepared(path.name, text), path)
        except OSError as error:
            raise cannot_write(path, error) from error

    def _prepared(self, name: str, text: str) -> Path:
        place = self.staged(name)
        place.write_bytes(text.encode("utf-8", "surrogateescape"))
        return place

    @contextmanager
    def curtain(self, *patterns: str) -> Iterator[None]:
        """Hide what matches `patterns` from validators; within `locked` only.

        The text to come back to is written beforehand: taking the curtain down needs no space on a disk that filled up.
        """
        ignore = self.root / ".bidsignore"
        there, before = ignore.exists(), read_text(ignore)
        back = self._prepared(".bidsignore.before", before)
        self.write(ignore, before + _CURTAIN + "".join(f"{pattern}\n" for pattern in patterns))
        try:
            yield
        finally:
            if there:
                os.replace(back, ignore)
            else:
                ignore.unlink()

    def lift_curtain(self) -> None:
        """Take down what a killed process left up; within `locked` only, after its half-made files were dealt with."""
        before, left, _ = read_text(self.root / ".bidsignore").partition(_CURTAIN)
        if left:
            self.write(self.root / ".bidsignore", before)

    def discard_leftovers(self) -> None:
        """Remove what killed processes were preparing; within `locked` only."""
        for place in (self._work / "tmp").iterdir():
            if place != self._scratch and (owner := locks.take(place / "owner")) is not None:
                shutil.rmtree(place, ignore_errors=True)
                os.close(owner)

    def list_participants(self) -> None:
        """Give every subject's folder its row; a data set of several subjects that does without the table is left so."""
        path = self.root / "participants.tsv"
        subjects = sorted(place.name for place in self.root.glob("sub-*") if place.is_dir())
        text = before = read_text(path)
        if not before and len(subjects) > 1:
            return
        for subject in subjects:
            text = self._listed(path, text, "participant_id", subject)
        if text != before:
            self.write(path, text)

    def list_scan(self, entities: Entities, file: Path) -> None:
        """Give `file` its row in the scans table of its subject or session."""
        path, key = self._scan(entities, file)
        before = read_text(path)
        text = self._listed(path, before, "filename", key)
        if text != before:
            self.write(path, text)

    @staticmethod
    def _listed(path: Path, text: str, column: str, key: str) -> str:
        try:
            return listing.with_row(text, column, key, path.name)
        except BadData as error:  # somebody else's table: not a reason to lose a run
            logger.warning("%s; it is left as it is", error)
            return text

    def unlist_scan(self, entities: Entities, file: Path) -> None:
        path, key = self._scan(entities, file)
        if before := read_text(path):
            self.write(path, listing.without_row(before, "filename", key, path.name))

    def _scan(self, entities: Entities, file: Path) -> tuple[Path, str]:
        place = self.folder(entities).parent
        owner = {entity: entities[entity] for entity in ("subject", "session") if entities.get(entity)}
        return place / f"{bids_entities.stem(owner)}_scans.tsv", file.relative_to(place).as_posix()

    def folder(self, entities: Entities) -> Path:
        return self.root / bids_entities.folder(entities)

    def path(self, entities: Entities, suffix: str, extension: str) -> Path:
        """Return where a raw file of a run stands."""
        return self.root / bids_entities.path(entities, suffix, extension)

    def events_path(self, entities: Entities) -> Path:
        """Return where the events of a run stand, which have neither echo nor part in BIDS."""
        shared = {entity: label for entity, label in entities.items() if entity not in ("echo", "part")}
        return self.path(shared, "events", ".tsv")

    def derivative(self, entities: Entities, description: str, suffix: str, extension: str) -> Path:
        """Return where a derivative of a run stands; the derivative data set and the folder are made."""
        try:
            self._make_derivative()
            named: Mapping[str, str] = {**entities, "description": description}
            path = self.root / DERIVATIVE / bids_entities.path(named, suffix, extension)
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.root / DERIVATIVE, error) from error
        return path

    def _make_derivative(self) -> None:
        """Make the derivative data set, or bring that of an older rtbids up to date; once for this process."""
        place = self.root / DERIVATIVE
        if self._has_derivative and dataset.is_dataset(place):
            return
        with self.locked():
            place.mkdir(parents=True, exist_ok=True)
            self._ignore(place / ".bidsignore")
            self._describe_derivative(place / dataset.DESCRIPTION)
        self._has_derivative = True

    def _ignore(self, path: Path) -> None:
        """Have `path` hold every pattern that is needed: one that an older rtbids made lacks the newer ones."""
        before = read_text(path)
        lacking = [pattern for pattern in _NOT_IN_SCHEMA.splitlines() if pattern not in before.splitlines()]
        if lacking:
            end = "" if before.endswith("\n") or not before else "\n"
            self.write(path, before + end + "".join(f"{pattern}\n" for pattern in lacking))

    def _describe_derivative(self, path: Path) -> None:
        """Write the description, or have the one that is there say where the raw data set is that sources lie in."""
        fields = dataset.derivative_description("rtbids: real-time analysis and feedback", self.version)
        try:
            known = sidecar.read(path) if path.exists() else fields
        except BadData as error:
            logger.warning("%s; it is left as it is", error)
            return
        links = known.get("DatasetLinks", {})
        if not path.exists() or (isinstance(links, dict) and "raw" not in links):
            self.write(path, sidecar.dumps({**known, "DatasetLinks": {**fields["DatasetLinks"], **links}}))


def read_text(path: Path) -> str:
    """Return the text of a file as it is, line ends and odd bytes included; an absent file is empty."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""


def refuse_strangers(root: Path) -> None:
    """Raise CannotWrite where `root` is neither a raw data set nor an empty folder."""
    if dataset.is_dataset(root):
        if sidecar.read(root / dataset.DESCRIPTION).get("DatasetType", "raw") == "derivative":
            raise CannotWrite(f"{root}: expected a raw BIDS data set, found a derivative", "name the raw data set's folder")
    elif root.is_dir() and any(not place.name.startswith(".") for place in root.iterdir()):
        raise CannotWrite(
            f"{root}: expected a BIDS data set or an empty folder, found files but no {dataset.DESCRIPTION}",
            "name a new or empty folder, or a BIDS data set",
        )
