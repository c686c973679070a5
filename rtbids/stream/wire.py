"""The tar stream that joins two commands, written and read member by member.

``tarfile``'s stream mode holds back the tail of each member until the next one comes (a whole TR), cannot tell a clean end from
a cut, and keeps every header in memory; this codec does none of that. What it writes is plain POSIX tar: ``tar tv`` shows it,
``tar x`` unpacks it. The two zero blocks at the end are written only on an orderly end and are therefore the mark of one.
"""

from __future__ import annotations

import errno
import math
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias, cast

from rtbids.errors import StreamBroken, cannot_write
from rtbids.receipt import Receipt

Buffer: TypeAlias = bytes | bytearray | memoryview
BLOCK = 512
END = bytes(2 * BLOCK)
LARGEST_MEMBER = 4 << 30  # an enhanced multi-frame file of a whole run is the largest thing that flows
LARGEST_HEADER = 1 << 20
LONGEST_NAME = 4096
_LONGEST_NUMBER = 20  # digits; a size has 13 at the most
_NO_FILES = (b"1", b"2", b"3", b"4", b"6")  # links of both kinds, devices, named pipes
_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip -c FILE |"),
    b"BZh": ("bzip2", "bunzip2 -c FILE |"),
    b"\xfd7zXZ\0": ("xz", "xz -dc FILE |"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -dc FILE |"),
    b"PK\3\4": ("zip", "unzip it into a folder"),
}


@dataclass(frozen=True)
class Member:
    """One file on the wire. `modified` is POSIX seconds; `content` is a view of a buffer of its own.

    `receipts` are those of whoever keeps it until it is safe; what is read from a file has none.
    """

    name: str
    content: memoryview
    modified: float
    receipts: tuple[Receipt, ...] = ()


@dataclass(frozen=True, eq=False)
class Piece:
    """A member on its way out: `parts`, one after another, are its content."""

    name: str
    parts: tuple[Buffer, ...]
    modified: float = 0.0

    @property
    def size(self) -> int:
        return sum(memoryview(part).nbytes for part in self.parts)

    def content(self) -> memoryview:
        """Return the content in one buffer; no copy where it is."""
        if len(self.parts) == 1:
            return memoryview(self.parts[0]).cast("B")
        return memoryview(bytearray().join(memoryview(part).cast("B") for part in self.parts))


class Writer:
    """Write members to `file` as they come, holding nothing back.

    Errors of the far side (a reader that left) are raised as StreamBroken, a full disk as CannotWrite, both naming `where`.
    """

    def __init__(self, file: BinaryIO, where: str = "the stream") -> None:
        self._file = file
        self._where = where
        self._descriptor = _descriptor(file)

    def write(self, name: str, *parts: Buffer, modified: float = 0.0) -> None:
        """Write one member whose content is `parts` one after another."""
        self._send(framed(name, [memoryview(part).cast("B") for part in parts], modified))

    def close(self) -> None:
        """Mark the orderly end. The file itself stays open: it is the caller's."""
        self._send([memoryview(END)])

    def _send(self, buffers: Sequence[memoryview]) -> None:
        try:
            if self._descriptor is None:
                for buffer in buffers:
                    self._file.write(buffer)
                self._file.flush()
            else:
                _write_all(self._descriptor, buffers)
        except BrokenPipeError:
            raise StreamBroken(f"the reader of {self._where} has gone") from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise cannot_write(self._where, error) from None
            raise StreamBroken(f"cannot write {self._where}: {error.strerror or error}") from None


def framed(name: str, parts: Sequence[memoryview], modified: float = 0.0) -> list[memoryview]:
    """Return a member as it is on the wire: header, `parts` (bytes) as they are, padding."""
    size = sum(len(part) for part in parts)
    return [memoryview(_header(name, size, modified)), *parts, memoryview(bytes(-size % BLOCK))]


def compression(head: bytes) -> str | None:
    """Say by its first bytes how something is compressed, None where it is not."""
    if head[128:132] == b"DICM":  # whose preamble may say anything
        return None
    return next((name for mark, (name, _) in _COMPRESSED.items() if head.startswith(mark)), None)


def is_old(head: bytes) -> bool:
    """Tell whether something begins like a tar of any form: by the sum of its header."""
    try:
        return bool(tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape"))
    except tarfile.TarError:
        return False


def members(
    file: BinaryIO,
    where: str = "the stream",
    passed_over: Callable[[str], None] | None = None,
    largest: Callable[[str], int] = lambda name: LARGEST_MEMBER,
) -> Iterator[Member]:
    """Read members until the end mark and then on to end of file; raise StreamBroken for any other end.

    Folders are passed over; names that leave their folder and sizes beyond what `largest` says of a name are refused. So are
    links and devices, unless `passed_over` takes their names.
    """
    yield from _members(_Reader(file, where), passed_over, largest)


def members_in(content: memoryview, where: str) -> Iterator[Member]:
    """Read the members that `content` is, without an end mark and without a copy."""
    yield from _members(_InMemory(content, where), None, lambda name: len(content))


def _members(reader: _Reader, passed_over: Callable[[str], None] | None, largest: Callable[[str], int]) -> Iterator[Member]:
    overrides: dict[str, str] = {}
    while (block := reader.block()) is not None:
        kind, name, size, modified = _parse(block, reader)
        size = int(overrides.get("size", size))
        if kind in (b"x", b"g", b"L", b"K"):
            reader.demand(0 <= size <= LARGEST_HEADER, f"a header of {size} bytes")
            extra = bytes(reader.body(size))
            if kind == b"x":
                overrides.update(_pax(extra, reader))
            elif kind == b"L":
                overrides["path"] = extra.rstrip(b"\0").decode("utf-8", "replace")
            continue
        name = overrides.get("path", name)
        modified = float(overrides.get("mtime", modified))
        overrides = {}
        if kind == b"5":
            continue
        if kind in _NO_FILES and passed_over:
            passed_over(name)
            continue
        reader.demand(kind in (b"0", b"\0"), f"member {name!r} of type {kind!r}, which is no file")
        reader.demand(is_confined(name), f"member name {name[:80]!r}")
        reader.demand(0 <= size <= largest(name), f"member {name!r} of {size} bytes")
        yield Member(name, reader.body(size), modified)


def is_confined(name: str) -> bool:
    """Say whether a member's name stays within the folder that it is unpacked in."""
    parts = name.split("/")
    return 0 < len(name) <= LONGEST_NAME and not name.startswith("/") and ".." not in parts and "\0" not in name


class _Reader:
    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file = file
        self.where = where
        self.position = 0

    def block(self) -> memoryview | None:
        """Return the next header block, or None at the end mark, having read on to end of file."""
        block = self._exactly(BLOCK, "before its end mark")
        if block != bytes(BLOCK):
            return block
        if self._exactly(BLOCK, "within its end mark") != bytes(BLOCK):
            raise StreamBroken(f"{self.where}: expected the second block of the end mark at byte {self.position - BLOCK}")
        while self._file.read(1 << 16):
            pass
        return None

    def body(self, size: int) -> memoryview:
        content = self._exactly(size, "inside a member")
        self._exactly(-size % BLOCK, "inside a member's padding")
        return content

    def demand(self, holds: bool, found: str) -> None:
        if not holds:
            raise StreamBroken(f"{self.where}: {found} is refused (byte {self.position})")

    def _exactly(self, size: int, place: str) -> memoryview:
        view = memoryview(bytearray(size))
        done = 0
        while done < size:
            try:
                count = self._file.readinto(view[done:])  # type: ignore[attr-defined]
            except OSError as error:
                raise StreamBroken(f"{self.where}: {error.strerror or error}") from None
            if not count:
                raise StreamBroken(f"{self.where} ended {place} (byte {self.position + done})")
            done += count
        self.position += size
        return view


class _InMemory(_Reader):
    def __init__(self, content: memoryview, where: str) -> None:
        super().__init__(cast(BinaryIO, None), where)
        self._content = content

    def block(self) -> memoryview | None:
        return self._exactly(BLOCK, "in the middle") if self.position < len(self._content) else None

    def _exactly(self, size: int, place: str) -> memoryview:
        if self.position + size > len(self._content):
            raise StreamBroken(f"{self.where} ended {place} (byte {len(self._content)})")
        view = self._content[self.position : self.position + size]
        self.position += size
        return view


def _header(name: str, size: int, modified: float) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    info.mtime = int(modified)
    if modified != int(modified):
        info.pax_headers = {"mtime": f"{modified:.9f}"}
    return info.tobuf(tarfile.PAX_FORMAT)


def _parse(block: memoryview, reader: _Reader) -> tuple[bytes, str, int, float]:
    if reader.position == BLOCK and (how := compression(block.tobytes())):
        raise StreamBroken(f"{reader.where} is compressed ({how}), expected a plain tar stream", _hint(how))
    is_posix = bytes(block[257:262]) == b"ustar"
    if not is_posix and reader.position == BLOCK and is_old(block.tobytes()):
        raise StreamBroken(f"{reader.where} is a tar of the form before POSIX (v7)", "make it with tar --format=pax")
    reader.demand(is_posix, "a block that is no tar header")
    try:
        info = tarfile.TarInfo.frombuf(block.tobytes(), "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise StreamBroken(f"{reader.where}: a damaged tar header at byte {reader.position - BLOCK} ({error})") from None
    return info.type, info.name, info.size, float(info.mtime)


def _hint(how: str) -> str:
    return "unpack it first: " + next(hint for name, hint in _COMPRESSED.values() if name == how)


def _pax(records: bytes, reader: _Reader) -> dict[str, str]:
    """Parse ``LENGTH KEY=VALUE\\n`` records (POSIX.1-2001, pax interchange format)."""
    found = {}
    position = 0
    while position < len(records):
        digits, space, _ = records[position : position + _LONGEST_NUMBER].partition(b" ")
        end = position + int(digits) if digits.isdigit() else 0
        reader.demand(bool(space) and position + len(digits) + 1 < end <= len(records), "a damaged pax record")
        key, equals, value = records[position + len(digits) + 1 : end].removesuffix(b"\n").partition(b"=")
        reader.demand(bool(equals), "a damaged pax record")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        position = end
    for field, is_such in (("size", _is_whole), ("mtime", _is_moment)):
        reader.demand(field not in found or is_such(found[field]), f"a pax {field} of {found.get(field, '')[:80]!r}")
    return found


def _is_whole(text: str) -> bool:
    return text.isdecimal() and len(text) < _LONGEST_NUMBER


def _is_moment(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _descriptor(file: BinaryIO) -> int | None:
    """Return the file descriptor to write through, None for what has none (a buffer, an SSH channel)."""
    try:
        return file.fileno()
    except (AttributeError, OSError):
        return None


def _write_all(descriptor: int, buffers: Sequence[memoryview]) -> None:
    pending = [buffer for buffer in buffers if len(buffer)]
    while pending:
        written = os.writev(descriptor, pending)
        while pending and written >= len(pending[0]):
            written -= len(pending.pop(0))
        if pending and written:
            pending[0] = pending[0][written:]
