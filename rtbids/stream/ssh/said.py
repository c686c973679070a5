"""What a server or paramiko says, as a part of our own line."""

from __future__ import annotations

from rtbids.stream.link.protocol import one_line

_LONGEST = 300


def reason(said: object) -> str:
    """Return it as one line that does nothing to a terminal; of an exception that says nothing its class."""
    return one_line(str(said), _LONGEST).strip() or type(said).__name__
