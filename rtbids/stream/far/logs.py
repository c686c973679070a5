"""Where a keeper logs: into its own file, and its warnings at the near side too."""

from __future__ import annotations

import logging
import sys

from rtbids.stream.link import FarLink

logger = logging.getLogger("rtbids")


class ToNearSide(logging.Handler):
    """Has warnings said at the near side too; errors come there as what ends the link, and of the link it has its own."""

    def __init__(self, link: FarLink) -> None:
        super().__init__(logging.WARNING)
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING and not (record.threadName or "").startswith("link "):
            self._link.warn(record.getMessage())


def to_stderr() -> None:
    """Log into the keeper's own file, which is its standard error."""
    said = logging.StreamHandler(sys.stderr)
    said.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.handlers[:] = [said]
    logger.propagate = False
    logger.setLevel(logging.INFO)
