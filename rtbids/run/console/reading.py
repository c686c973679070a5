"""Reading a file at the console."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from rtbids.run.console import folders
from rtbids.run.console.allowed import Place
from rtbids.run.console.call import MOST, Call, Content, Refused
from rtbids.run.console.room import room

_AT_ONCE = 1 << 20  # bytes between two looks at the time
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def read(place: Place, call: Call) -> Content:
    """Return what a file holds."""
    *above, name = place.parts or ("",)
    if not name:
        raise Refused(f"{call.name!r}: expected the name of a file")
    place.allowed.check(name, call.name)
    with folders.top(place.allowed, call.name) as top, folders.below(top, tuple(above), call.name) as folder:
        try:
            with _opened(folder, name, call.name) as file:
                return _content(file, call)
        except OSError as error:
            raise folders.missing(call.name, error) from None


@contextmanager
def _opened(folder: int, name: str, asked: str) -> Iterator[int]:
    folders.check_regular(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode, asked)  # a pipe is not even opened
    try:
        file = os.open(name, _FLAGS, dir_fd=folder)
    except OSError:
        if folders.is_link(folder, name):
            raise Refused(f"{asked}: is a link, and links are not followed") from None
        raise
    try:
        folders.check_regular(os.fstat(file).st_mode, asked)
        yield file
    finally:
        os.close(file)


def _content(file: int, call: Call) -> Content:
    """Return what an open file holds, also where it grows meanwhile."""
    size = os.fstat(file).st_size
    if size > MOST:
        raise _too_long(call)
    content, filled = room(size + 1), 0
    while got := os.readv(file, [content[filled : filled + _AT_ONCE]]):
        call.check_time()
        filled += got
        if filled > MOST:
            raise _too_long(call)
        if filled == len(content):
            before, content = content, room(filled + min(filled, MOST + 1 - filled))
            content[:filled] = before
    return content[:filled]


def _too_long(call: Call) -> Refused:
    return Refused(f"{call.name}: a file of more than {MOST // 2**20} MB is not read")
