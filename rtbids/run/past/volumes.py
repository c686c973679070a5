"""The volumes of a run as a script may ask for them: by their indices in the run, from the end, by slices, one by one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import overload

from rtbids.errors import BadData
from rtbids.volume import Volume


class NoSuchVolume(BadData, IndexError):
    """A volume that is asked for is not there."""


class Volumes:
    """Volumes of one run, in order; each is read when it is asked for, and nothing can be changed.

    ``volumes[12]`` is the volume with index 12, as in ``volume.index``: where it never came that is an error. Counted from the
    end are those that are there: ``volumes[-1]`` is the latest. ``volumes[10:20]``, ``volumes[-5:]`` are volumes as well,
    of which none is read yet. ``12 in volumes`` says whether volume 12 is there. Their `times` are empty.
    """

    def __init__(self, name: str, indices: Sequence[int], read: Callable[[int], Volume]) -> None:
        self._name, self._indices, self._read = name, indices, read

    @property
    def indices(self) -> tuple[int, ...]:
        """The indices of the volumes that are there, in order."""
        return tuple(self._indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[Volume]:
        return map(self._read, self.indices)

    def __reversed__(self) -> Iterator[Volume]:
        return map(self._read, reversed(self.indices))

    def __contains__(self, index: object) -> bool:
        return index in self._indices

    @overload
    def __getitem__(self, wanted: int) -> Volume: ...
    @overload
    def __getitem__(self, wanted: slice) -> Volumes: ...
    def __getitem__(self, wanted: int | slice) -> Volume | Volumes:
        if isinstance(wanted, slice):
            return Volumes(self._name, self._part(wanted), self._read)
        return self._read(self._index(wanted))

    def __repr__(self) -> str:
        return f"<{self._name}: {self._said()}>"

    def _index(self, wanted: int) -> int:
        if wanted < 0 and -wanted <= len(self):
            return self._indices[wanted]
        place = bisect_left(self._indices, wanted)
        if wanted < 0 or place == len(self) or self._indices[place] != wanted:
            raise NoSuchVolume(f"{self._name}: there is no volume {wanted}; {self._said()}")
        return int(wanted)

    def _part(self, wanted: slice) -> Sequence[int]:
        if wanted.step is not None and wanted.step < 1:
            raise NoSuchVolume(f"{self._name}: the step of a slice is above 0, found {wanted.step}; try reversed(volumes)")
        return self.indices[self._bound(wanted.start) : self._bound(wanted.stop) : wanted.step]

    def _bound(self, bound: int | None) -> int | None:
        """Return where among those that are there a bound lies, which is an index or counts from the end."""
        return bound if bound is None or bound < 0 else bisect_left(self._indices, bound)

    def _said(self) -> str:
        if not self._indices:
            return "there is none yet"
        first, last, gaps = self._indices[0], self._indices[-1], self._indices[-1] - self._indices[0] + 1 - len(self)
        return f"there are those from {first} to {last}" + (f", but for {gaps} that never came" if gaps else "")
