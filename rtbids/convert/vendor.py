"""Who made the scanner."""

from __future__ import annotations

from pydicom.dataset import Dataset

VENDORS = ("siemens", "ge", "philips", "uih", "canon", "toshiba")


def vendor(dataset: Dataset) -> str:
    """Return the maker in one lower-case word, empty where rtbids knows nothing of its own about it."""
    first = str(dataset.get("Manufacturer") or "").lower().split("_")[0].split(" ")[0]
    return first if first in VENDORS else ""
