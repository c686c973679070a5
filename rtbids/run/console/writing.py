"""Writing a file at the console: whole, or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress

from rtbids.errors import RtbidsError, cannot_write
from rtbids.run.console import folders
from rtbids.run.console.allowed import Place
from rtbids.run.console.call import MOST, Call, Refused

_AT_ONCE = 1 << 20  # bytes between two looks at the time
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write(place: Place, call: Call) -> None:
    """Have a file hold `content`, in place of what it held."""
    *above, name = place.parts or ("",)
    if not name:
        raise Refused(f"{call.name!r}: expected the name of a file")
    place.allowed.check(name, call.name)
    content = memoryview(call.content or b"")
    if content.nbytes > MOST:
        raise Refused(f"{call.name}: more than {MOST // 2**20} MB are not written")
    with folders.top(place.allowed, call.name) as top, folders.below(top, tuple(above), call.name) as folder:
        try:
            _replace(folder, name, content, call)
        except OSError as error:
            raise cannot_write(call.name, error) from None


def _replace(folder: int, name: str, content: memoryview, call: Call) -> None:
    _check_what_is_there(folder, name, call.name)
    beside = f".rtbids-{secrets.token_hex(8)}"
    try:
        _put(folder, beside, content, call)
        call.check_time()
        os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)  # a link that is put there now is replaced, not followed
    except (OSError, RtbidsError):
        with suppress(OSError):
            os.unlink(beside, dir_fd=folder)
        raise
    with suppress(OSError):  # some network shares cannot; the file has its name
        os.fsync(folder)


def _check_what_is_there(folder: int, name: str, asked: str) -> None:
    with suppress(FileNotFoundError):
        folders.check_regular(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode, asked)


def _put(folder: int, name: str, content: memoryview, call: Call) -> None:
    file = os.open(name, _NEW, 0o600, dir_fd=folder)
    try:
        written = 0
        while written < content.nbytes:
            call.check_time()
            written += os.write(file, content[written : written + _AT_ONCE])
        os.fsync(file)
    finally:
        os.close(file)
