"""Real-time fMRI over BIDS: volumes from the scanner, feedback within the TR, a valid data set left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rtbids.analysis.decoder_file import read as read_decoder
    from rtbids.analysis.decoder_file import write as write_decoder
    from rtbids.analysis.training import train as train_decoder
    from rtbids.cli.sources import volumes as volumes

__all__ = ["__version__", "read_decoder", "train_decoder", "volumes", "write_decoder"]
_PLACES = {
    "read_decoder": ("rtbids.analysis.decoder_file", "read"),
    "train_decoder": ("rtbids.analysis.training", "train"),
    "volumes": ("rtbids.cli.sources", "volumes"),
    "write_decoder": ("rtbids.analysis.decoder_file", "write"),
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:  # on demand: `import rtbids` itself stays free of numpy
        import importlib

        module, function = _PLACES[name]
        return getattr(importlib.import_module(module), function)
    raise AttributeError(f"module 'rtbids' has no attribute {name!r}")
