"""The pace of a replayed run: volume k leaves k TRs after the first, as it once did from the scanner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from rtbids.clock import CLOCK, Clock
from rtbids.errors import UsageFault
from rtbids.volume import NOTHING, Item, Metadata, RunEnd, Volume, run_key
from rtbids.wakeup import Wakeup


@dataclass
class _Grid:
    """When the volumes of one run leave: `start` is that of volume 0, `step` seconds lie between two.

    `said` is what their metadata say of it.
    """

    start: float
    step: float
    said: Metadata
    source: Metadata = field(default_factory=lambda: NOTHING)
    marked: Metadata = field(default_factory=lambda: NOTHING)

    def moment(self, index: int) -> float:
        return self.start + index * self.step

    def metadata(self, source: Metadata) -> Metadata:
        """Return `source` with what is said of the pace; volumes that share their mapping share the result too."""
        if source is not self.source:
            self.source, self.marked = source, MappingProxyType({**source, **self.said})
        return self.marked


def paced(items: Iterable[Item], speed: float | None, clock: Clock = CLOCK, stop: Wakeup | None = None) -> Iterator[Item]:
    """Let the volumes of each run leave on an absolute grid, `speed` times as fast as they were acquired.

    Volume k leaves k TR / `speed` after volume 0 would have: a late one does not push back those behind it, and a missing one
    leaves its gap. A run that follows another begins one step after the other's last volume. Each volume's ``received`` is
    the moment at which it leaves, and times of the old run are dropped; its metadata say whether it is ``Paced``,
    and at another speed than the scanner's its ``ReplaySpeed``.

    Parameters
    ----------
    speed
        1 for the scanner's pace; None for as fast as the volumes are taken.
    stop
        Ends the replay at once, in the middle of a wait too.
    """
    if speed is not None and not speed > 0:
        raise UsageFault(f"speed: expected a number above 0, found {speed:g}")
    grids: dict[object, _Grid] = {}
    free = float("-inf")
    for item in items:
        if isinstance(item, RunEnd):
            grid = grids.pop(run_key(item.entities), None)
            free = grid.moment(item.count + len(item.missing)) if grid else free
            yield item
            continue
        grid = grids.get(run_key(item.entities)) or _grid(item, speed, max(clock.now(), free))
        grids[run_key(item.entities)] = grid
        if not _wait(grid.moment(item.index), clock, stop):
            return
        metadata = grid.metadata(item.metadata)
        yield replace(item, metadata=metadata, times={"received": clock.now()})


def _grid(first: Volume, speed: float | None, now: float) -> _Grid:
    """Return the grid on which `first` leaves now."""
    step = 0.0 if speed is None else first.repetition_time / speed
    return _Grid(now - first.index * step, step, _said(speed))


def _said(speed: float | None) -> Metadata:
    if speed is None:
        return {"Paced": False}
    return {"Paced": True} if speed == 1 else {"Paced": True, "ReplaySpeed": speed}


def _wait(moment: float, clock: Clock, stop: Wakeup | None) -> bool:
    """Wait until `moment`; say whether to go on."""
    if stop is None:
        clock.wait_until(moment)
        return True
    return not stop.wait(max(0.0, moment - clock.now()))
