"""Where a volume that a script is given is to be found again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Where:
    """What the script's process is told with each volume, so that it can read what it no longer holds.

    Attributes
    ----------
    source
        The 4-D file of the data set that the run is replayed from, None where it is not.
    file
        The 4-D file that the run is archived in (``--bids-dir``), None where it is kept nowhere.
    place
        Which volume of `file` it is, from 0.
    written
        Index of the latest volume that is in `file`; what came after it is on its way.
    length
        How many volumes the file that is replayed holds, where that file is on another machine.
    is_in_data_set
        Whether `file` is part of a data set, and not only kept for as long as the run goes on.
    """

    source: str | None = None
    file: str | None = None
    place: int = 0
    written: int = -1
    length: int | None = None
    is_in_data_set: bool = True


NOWHERE = Where()
