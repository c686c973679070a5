"""From where on a volume is good, a spike, or enough."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Limits:
    """What counts as good.

    Attributes
    ----------
    spike_displacement
        mm of framewise displacement (Power) from which a volume is a spike (OpenNFT's highest of 0.1, 0.2 and 0.5).
    spike_dvars
        Percent of the brain's median from which it is one (OpenNFT).
    good_displacement
        mm of framewise displacement below which a volume counts as good data; FIRMM has 0.2, 0.3 and 0.4.
    criterion
        Minutes of good data to reach (FIRMM).
    """

    spike_displacement: float = 0.5
    spike_dvars: float = 5.0
    good_displacement: float = 0.2
    criterion: float = 12.5

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: expected a number above 0, found {value:g}")
