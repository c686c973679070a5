"""Bytes that travel beside a line of a channel, in an unnamed memory file."""

from __future__ import annotations

import os

from rtbids.run.console.call import MOST, Content
from rtbids.run.console.room import room
from rtbids.run.process.channel import Message, NotUnderstood
from rtbids.run.process.shared import kept

_AT_ONCE = 1 << 20  # bytes


class MemoryFile:
    """A memory file that is closed with this object."""

    def __init__(self, content: Content) -> None:
        self.descriptor = kept(memoryview(content))

    def __del__(self) -> None:
        if "descriptor" in self.__dict__:
            os.close(self.descriptor)


def comes_along(message: Message) -> bool:
    """Say whether a descriptor comes along with a message, of either end."""
    match message:
        case {"do": "volume"}:
            return not message["stored"]
        case {"do": "console"} | {"say": "console"}:
            return message["size"] is not None
    return message.get("say") == "map"


def taken(descriptor: int, size: int) -> Content:
    """Return `size` bytes of a memory file, and close it; raise NotUnderstood where it does not hold them.

    It is read and not mapped: whoever sent it could still cut it short.
    """
    try:
        content, filled = room(min(size, MOST + 1)), 0
        while filled < len(content):
            got = os.preadv(descriptor, [content[filled : filled + _AT_ONCE]], filled)
            if not got:
                raise NotUnderstood(f"a file of {filled} bytes that should have {size}")
            filled += got
        return content
    except OSError as error:
        raise NotUnderstood(f"a file that cannot be read ({error.strerror})") from None
    finally:
        os.close(descriptor)
