"""Run labels: one for each scan, which what was measured together shares though it comes as several series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from rtbids.bids.entities import beside_magnitude
from rtbids.volume import run_key

Number: TypeAlias = Callable[[Mapping[str, str]], str]
_Own: TypeAlias = tuple[tuple[str, str], ...]
_PLAIN: _Own = ()


def counter() -> Number:
    """Return the plain numbering of runs: ``01``, ``02``, ... for each combination of the other entities."""
    taken: Counter[tuple[tuple[str, str], ...]] = Counter()

    def number(entities: Mapping[str, str]) -> str:
        taken[run_key(entities)] += 1
        return f"{taken[run_key(entities)]:02d}"

    return number


@dataclass
class _Scan:
    """The series of one scan: the number of the first, and what each is besides (phase, corrected); plain ones are nothing."""

    protocol: str
    number: int
    label: str
    own: set[_Own] = field(default_factory=set)


class Labels:
    """Gives run labels; `number` returns a new one for the other entities."""

    def __init__(self, number: Number) -> None:
        self._number = number
        self._scans: list[_Scan] = []

    def of(self, series: int, protocol: str, entities: Mapping[str, str], own: Mapping[str, str]) -> str:
        """Return the label of a series: that of the scan which it belongs to, else a new one."""
        kind = run_key(beside_magnitude(own))
        scan = self._scan_of(series, protocol, kind)
        if scan is None:
            scan = _Scan(protocol, series, self.new(entities))
            self._scans.append(scan)
        scan.own.add(kind)
        return scan.label

    def also(self, label: str, protocol: str, own: Mapping[str, str]) -> None:
        """Hear that a series with this label has images of one more kind."""
        for scan in self._scans:
            if (scan.label, scan.protocol) == (label, protocol):
                scan.own.add(run_key(beside_magnitude(own)))

    def new(self, entities: Mapping[str, str]) -> str:
        """Return a new label; magnitudes are numbered alike whether their name says so or not."""
        return self._number(beside_magnitude(entities))

    def _scan_of(self, series: int, protocol: str, kind: _Own) -> _Scan | None:
        """Return the scan that lacks this kind of image: of plain ones the next, of others the last that has plain ones."""
        scans = [scan for scan in self._scans if scan.protocol == protocol and kind not in scan.own]
        if kind == _PLAIN:
            return min((scan for scan in scans if scan.number > series), key=lambda scan: scan.number, default=None)
        before = [scan for scan in scans if _PLAIN in scan.own and scan.number < series]
        return max(before, key=lambda scan: scan.number, default=None)
