"""Addresses that the near side may have feedback sent to: of this machine alone, or what ``rtbids far --address`` lists."""

from __future__ import annotations

import os

from rtbids.cli import far_places
from rtbids.errors import UsageFault
from rtbids.run.feedback import sockets

LISTED = "RTBIDS_FAR_ADDRESSES"  # set by `rtbids far`, for the keeper that it starts


def allow(texts: tuple[str, ...]) -> None:
    """Confine the addresses of keepers that are started from here on."""
    os.environ[LISTED] = " ".join(str(sockets.parse(text)) for text in texts)


def address(text: str) -> sockets.Address:
    """Return the address that is asked for; raise UsageFault where it is not allowed.

    Where none are listed, each port of this machine's own loopback is, unless folders are: then nothing else is allowed.
    """
    found = sockets.parse(text)
    listed = os.environ.get(LISTED, "").split()
    is_confined = bool(listed) or far_places.are_confined()
    is_open = not is_confined and not sockets.is_open_to_others(found)
    if not is_open and str(found) not in listed:
        why = "is not allowed here" if is_confined else "is not an address of that machine alone"
        raise UsageFault(f"{found} {why}", f"what is allowed is said there: rtbids far --address {found}")
    return found
