"""The far side of the link's measurements: in a file of its own, for it is loaded before the hello is answered."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rtbids.stream import link


def stamp(far: link.Link, arguments: Mapping[str, Any]) -> None:
    """Answer each member with when it came; the far side's verb."""
    for arrived in far.members():
        came = time.time()
        far.settle(arrived.number)
        if arguments["stamps"]:
            far.send("stamp", repr(came).encode())
    far.finish(30)
