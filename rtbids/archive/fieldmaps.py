"""Which images each field map of a session is for, written as ``IntendedFor`` into the field maps' sidecars.

Programs such as fmriprep use no field map that does not say so. A run goes with the map of each kind that was measured last
before it, or with the first where none was; which images a map may be for is for the caller to say. Where the maps work by
``B0FieldIdentifier``, it is the images that say it, by ``B0FieldSource``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtbids.archive.study import Study
from rtbids.bids import entities as bids_entities
from rtbids.bids import sidecar
from rtbids.errors import RtbidsError, cannot_write
from rtbids.volume import Entities

_SUFFIXES = ("phasediff", "phase1", "phase2", "fieldmap", "epi")
_FIELD = "IntendedFor"
_IDENTIFIER, _SOURCE = "B0FieldIdentifier", "B0FieldSource"

Choose = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Scan:
    """An image of the session: its name from the subject's or session's folder, its sidecar, and the sidecar's fields."""

    name: str
    path: Path
    fields: Mapping[str, Any]

    @property
    def number(self) -> int:
        """Of its series, 0 where it is not known."""
        number = self.fields.get("SeriesNumber")
        return number if isinstance(number, int) else 0

    @property
    def kind(self) -> tuple[tuple[str, str], ...]:
        """What tells field maps that complement each other apart: all but the run label."""
        entities, suffix, _ = bids_entities.parse(self.name)
        return (*sorted((key, value) for key, value in entities.items() if key != "run"), ("suffix", suffix))


def intend(study: Study, owner: Entities, choose: Choose) -> list[Path]:
    """Add the images that no field map names yet to the field maps that they go with; return the changed sidecars.

    `choose` gives a regular expression over names (``func/sub-01_task-nf_bold.nii.gz``) for the sidecar of a field map; empty
    for one that shall name nothing. A map that works by ``B0FieldIdentifier`` is left as it is, and its images that have no
    ``B0FieldSource`` yet get one.
    """
    place = study.root / bids_entities.folder(owner, "")
    try:
        with study.locked():
            return list(_intend(study, place, choose))
    except OSError as error:
        raise cannot_write(place, error) from error


def _intend(study: Study, place: Path, choose: Choose) -> Iterator[Path]:
    images = [*_scans(place, "func", ("bold",)), *_scans(place, "func", ("sbref",)), *_scans(place, "dwi", ("dwi", "sbref"))]
    found = list(_scans(place, "fmap", _SUFFIXES))
    yield from _point(study, images, [scan for scan in found if _IDENTIFIER in scan.fields], choose)
    maps = [scan for scan in found if _IDENTIFIER not in scan.fields]
    prefix = f"bids::{place.relative_to(study.root).as_posix()}/"
    chosen = {scan.name: _uris(scan) for scan in maps}
    for image in images:
        for group in _groups([scan for scan in maps if (wanted := choose(scan.fields)) and _fits(wanted, image)]):
            if not any(uri.endswith(image.name) for scan in group for uri in chosen[scan.name]):
                chosen[_nearest(group, image.number).name].append(f"{prefix}{image.name}")
    for scan in maps:
        if chosen[scan.name] != _uris(scan):
            study.write(scan.path, sidecar.dumps({**scan.fields, _FIELD: sorted(chosen[scan.name])}))
            yield scan.path


def _point(study: Study, images: list[Scan], maps: list[Scan], choose: Choose) -> Iterator[Path]:
    """Name in the images' sidecars the fields that the maps which they go with estimate."""
    for image in images:
        fitting = [scan for scan in maps if (wanted := choose(scan.fields)) and _fits(wanted, image) and _leaves(scan, image)]
        chosen = [_nearest(group, image.number) for group in _groups(fitting)]
        names = list(dict.fromkeys(name for scan in chosen for name in _texts(scan.fields[_IDENTIFIER])))
        if names and _SOURCE not in image.fields:
            study.write(image.path, sidecar.dumps({**image.fields, _SOURCE: names if len(names) > 1 else names[0]}))
            yield image.path


def _scans(place: Path, datatype: str, suffixes: tuple[str, ...]) -> Iterator[Scan]:
    """Give the finished images of a datatype whose sidecar stands beside them."""
    for image in sorted(place.glob(f"{datatype}/sub-*.nii.gz")):
        path = image.with_name(image.name.removesuffix(".nii.gz") + ".json")
        if bids_entities.parse(image.name)[1] not in suffixes or not path.exists():
            continue
        try:
            fields = sidecar.read(path)
        except RtbidsError:  # somebody else's, and broken: not a reason to give up the others
            continue
        yield Scan(f"{datatype}/{image.name}", path, fields)


def _groups(maps: list[Scan]) -> Iterator[list[Scan]]:
    for kind in dict.fromkeys(scan.kind for scan in maps):
        yield [scan for scan in maps if scan.kind == kind]


def _nearest(group: list[Scan], number: int) -> Scan:
    """Return the map that was measured last before the series `number`, or the first of all."""
    before = [scan for scan in group if scan.number < number]
    return max(before, key=lambda scan: scan.number) if before else min(group, key=lambda scan: scan.number)


def _fits(wanted: str, image: Scan) -> bool:
    return re.search(wanted, image.name, re.IGNORECASE) is not None


def _leaves(scan: Scan, image: Scan) -> bool:
    """Say whether a map leaves open what it is for, or is for this image by its own word."""
    said = _uris(scan)
    return not said or any(uri.endswith(image.name) for uri in said)


def _uris(scan: Scan) -> list[str]:
    """Return what a map is for as it says so: URIs, or in older data sets paths from the subject's folder."""
    return _texts(scan.fields.get(_FIELD))


def _texts(found: Any) -> list[str]:
    return [text for text in (found if isinstance(found, list) else [found]) if isinstance(text, str)]
