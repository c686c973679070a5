"""How good the data are, volume by volume: for the person at the console, not for the one in the scanner."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """wanted: minutes of good data that the measurement is to have (Dosenbach et al. 2017)."""

    wanted: float = 12.5


def feedback(volume, run):
    now, so_far = run.quality.volume, run.quality.summary
    return {
        "displacement": now.displacement,
        "dvars": now.dvars,
        "tsnr": now.tsnr,
        "spike": bool(now.spikes),
        "spikes": so_far.spikes,
        "good_minutes": so_far.good_minutes,
        "minutes_left": minutes_left(so_far, run.settings.wanted),
    }


def minutes_left(so_far, wanted):
    """Return how long it will take if things go on as so far; None as long as no volume was good."""
    if not so_far.good:
        return None
    return max(0.0, wanted - so_far.good_minutes) * so_far.volumes / so_far.good
