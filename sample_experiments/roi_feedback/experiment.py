"""Feedback is the percent signal change of one region against a baseline."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """baseline: a trial_type of the events; "rest" is every volume during which there is no event."""

    baseline: str = "rest"


def feedback(volume, run):
    return run.roi("target").percent_signal_change(baseline=run.settings.baseline)
