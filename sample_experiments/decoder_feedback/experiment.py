"""Feedback is how likely a decoder, trained on a localizer run before, takes the pattern for one class."""

from dataclasses import dataclass
from pathlib import Path

import rtbids


@dataclass(frozen=True)
class Settings:
    """decoder: what train.py wrote, beside this script; target: the class whose probability is fed back."""

    decoder: Path = Path("decoder.npz")
    target: str = "face"


def start(run):
    decoder = rtbids.read_decoder(Path(__file__).parent / run.settings.decoder)
    run.decoding = run.roi("voxels").decoding(decoder)
    run.decoding.decision(run.settings.target)  # a class that it does not know ends the command here, not every volume


def feedback(volume, run):
    return run.decoding.probability(run.settings.target)
