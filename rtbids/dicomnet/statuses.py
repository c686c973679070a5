"""What a receiver's status says about an image (PS3.4, B.2.3; PS3.7, annex C; PS3.18, table 10.5.3-2)."""

from __future__ import annotations

_WORDS = {
    0x0110: "it failed while it processed the image",
    0x0111: "it has an image of this UID already",
    0x0117: "it takes the UID for invalid",
    0x0122: "it does not take this class of image",
    0x0124: "we are not authorised to store there",
    0xC122: "it does not take this transfer syntax",
    0xA7: "it is out of resources",
    0xA9: "the image does not match its class",
    0xC: "it cannot understand the image",
}


def is_full(status: int) -> bool:
    """Whether the receiver is out of resources, so that later it may take the image."""
    return status >> 8 == 0xA7


def is_stored(status: int) -> bool:
    """Whether it has the image: a warning (0xBxxx) is a success."""
    return status == 0 or status >> 12 == 0xB


def said(status: int) -> str:
    """Return a status with what it means."""
    words = next((_WORDS[part] for part in (status, status >> 8, status >> 12) if part in _WORDS), None)
    return f"status 0x{status:04X}" + (f": {words}" if words else "")
