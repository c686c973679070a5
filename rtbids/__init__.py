"""Real-time fMRI over BIDS: volumes from the scanner, feedback within the TR, a valid data set left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rtbids.cli.sources import volumes as volumes

__all__ = ["__version__", "volumes"]


def __getattr__(name: str) -> Any:
    if name == "volumes":  # on demand: `import rtbids` itself stays free of numpy
        from rtbids.cli.sources import volumes

        return volumes
    raise AttributeError(f"module 'rtbids' has no attribute {name!r}")
