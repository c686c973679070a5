"""Zeros at the end of an image: the scanner's own, which are voxels, or those of a file that its writer has yet to fill.

Some exports give a file its full length at once and fill it in place. It is sound DICOM all the while, and a slice outside the
head, or with a masked background, ends in zeros too. What tells them apart:

- A file of one slice is doubted where it ends in more rows of zeros than the same slice did before, by more than an eighth:
  even where nothing is masked scanners leave a row or two empty, and not always as many. Nothing before counts as no row.
- Where its close was told it is done all the same, unless the slice had no more than an eighth before: nothing is masked there.
- A picture of several slices is doubted, however it came, where the last one is all zero, unless that was so before, and where
  more rows at the end of the whole picture are zero than in the volumes before, by more than an eighth of all.
- Zeros in which two images of the same slice agree are the scanner's, but for a picture of several slices that ends in more of
  them than one before did: a head may leave the last slice, not an eighth of the volume.

A doubted file is held until it changes. One of a single slice is handed out as it is when the same slice of a later volume has
come (the writer has moved on, and the volume would be given up), or when patience is over. Once a file was filled after it had
been taken, a close is no proof any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from rtbids.convert import classic, functional, mosaic, pixels
from rtbids.convert.dicom import Instance, instance_uid, last_slice, series_key, sort_key, zero_rows
from rtbids.convert.one_series import number_of
from rtbids.convert.stack import MALFORMED

Place: TypeAlias = tuple[str, ...]
_SOME = 8  # of so many rows one is in doubt


@dataclass(frozen=True)
class Ending:
    """How an image ends: the last `zero` of its `rows`, in the order in which they are written, are all zero.

    `place` is what the same slice of the other volumes shares, `order` that of acquisition, `alone` says that the file has no
    other slice, `blank` that the last one of several is all zero.
    """

    image: str
    place: Place
    order: tuple[int, str, int, int]
    rows: int
    zero: int
    alone: bool
    blank: bool

    @property
    def some(self) -> int:
        """In how many rows an image may differ from another volume's."""
        return self.rows // _SOME

    def agrees(self, other: Ending) -> bool:
        """Say whether another image of the same place ends alike: of two, neither is half written."""
        return self.image != other.image and self.place == other.place and abs(self.zero - other.zero) <= self.some


def ending(instance: Instance) -> Ending:
    """Look at the end of an image."""
    dataset = instance.dataset
    last, is_only = last_slice(dataset)
    alone = is_only and not mosaic.is_grid(dataset)
    rows = last if alone else _rows(dataset)
    blank = not alone and zero_rows(last) == len(last)
    return Ending(instance_uid(dataset), _place(dataset), sort_key(dataset), len(rows), zero_rows(rows), alone, blank)


def _rows(dataset: Any) -> pixels.Pixels:
    """Return the rows of several slices as they are stored, without those below the last tile of a mosaic."""
    images = pixels.stored(dataset)
    if mosaic.is_mosaic(dataset) and (count := mosaic.slice_count(dataset)):
        used: pixels.Pixels = images[0][: mosaic.used_rows(len(images[0]), count)]
        return used
    return images.reshape(-1, images.shape[-1])


def _place(dataset: Any) -> Place:
    try:
        series = f"{dataset.get('StudyInstanceUID')} {number_of(dataset)}"
        series = series if classic.is_volume_series(dataset) else series_key(dataset)
        kind = str(functional.echo(dataset)), str(functional.part(dataset)), *functional.image_type(dataset)
        return series, str(dataset.get("ImagePositionPatient")), *kind
    except MALFORMED:
        return (instance_uid(dataset),)


class Zeros:
    """What is known of the zeros in which the slices of a session end."""

    def __init__(self) -> None:
        self._most: dict[Place, int] = {}  # rows of zeros that were the scanner's
        self._blank: set[Place] = set()  # of which the last of several slices was all zero, and rightly
        self._closes_count = True

    def doubts(self, end: Ending, closed: bool) -> bool:
        """Say whether an image may not be filled yet; `closed` where its writer was heard to close it."""
        if not end.alone:
            return self._is_longer(end) or (end.blank and end.place not in self._blank)
        if closed and self._closes_count:
            return self.odd(end)
        return end.zero > self._most.get(end.place, 0) + end.some

    def odd(self, end: Ending) -> bool:
        """Say whether an image ends in zeros as in no volume before; a slice must not have been masked before."""
        return self._is_longer(end) and not (end.alone and self._most[end.place] > end.some)

    def vouch(self, end: Ending, other: Ending) -> bool:
        """Say whether two images show each other to be filled."""
        return end.agrees(other) and (end.alone or not self._is_longer(end))

    def believe(self, end: Ending) -> None:
        """Count the zeros of an image as the scanner's."""
        self._most[end.place] = max(self._most.get(end.place, 0), end.zero)
        if end.blank:
            self._blank.add(end.place)

    def deceived(self, end: Ending) -> None:
        """Learn how an image ends that was taken and has changed since."""
        if end.zero < self._most.get(end.place, 0):
            self._closes_count = False
        self._most[end.place] = end.zero
        if not end.blank:
            self._blank.discard(end.place)

    def _is_longer(self, end: Ending) -> bool:
        most = self._most.get(end.place)
        return most is not None and end.zero > most + end.some
