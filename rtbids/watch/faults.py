"""What had to be left out, said once each, and as a number where there are very many."""

from __future__ import annotations

import enum
import logging
from collections import Counter

logger = logging.getLogger("rtbids")


class Fault(enum.Enum):
    FOREIGN = "that are no DICOM images"
    INCOMPLETE = "that never became complete"
    GONE = "that were gone before they could be read"
    UNREADABLE = "that cannot be read"
    DUPLICATE = "that are copies of images already taken"
    CHANGED = "that changed after they were taken"
    ODD = "that end in zeros as no volume before"


USED = {Fault.CHANGED, Fault.ODD}  # of which the image was taken all the same
NAMED = {Fault.FOREIGN: 5}  # of which so many are named; of all others `NAMED_OTHERWISE`
NAMED_OTHERWISE = 50


class Faults:
    """Says each fault in one warning and keeps it in `entries`; a fault that heals is taken back."""

    def __init__(self, entries: list[str] | None = None) -> None:
        self.entries = [] if entries is None else entries
        self._texts: dict[str, tuple[Fault, str]] = {}
        self._counts: Counter[Fault] = Counter()

    @property
    def bad(self) -> int:
        """Files that could not be used, copies not counted."""
        return sum(count for fault, count in self._counts.items() if fault is not Fault.DUPLICATE and fault not in USED)

    def said(self, path: str) -> Fault | None:
        """Return what was said of a file last."""
        return self._texts[path][0] if path in self._texts else None

    def note(self, fault: Fault, path: str, text: str) -> None:
        if self.said(path) in USED:
            self.withdraw(path)  # what was said of it before is out of date
        self._counts[fault] += 1
        self._texts[path] = fault, text
        if self._counts[fault] <= NAMED.get(fault, NAMED_OTHERWISE):
            self.entries.append(text)
            logger.warning("%s" if fault in USED else "left out: %s", text)

    def withdraw(self, path: str) -> None:
        """Take back what was said of a file that has become whole."""
        fault, text = self._texts.pop(path)
        self._counts[fault] -= 1
        if text in self.entries:
            self.entries.remove(text)

    def summarise(self) -> None:
        """Say how many there were beyond those that were named."""
        for fault, count in self._counts.items():
            more = count - NAMED.get(fault, NAMED_OTHERWISE)
            if more > 0:
                text = f"{more} more files {fault.value}"
                self.entries.append(text)
                logger.warning("%s" if fault in USED else "left out: %s", text)
