"""Images in one request: ``multipart/related`` (RFC 2387; PS3.18, 8.6.1.2), and back."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from email.message import Message
from pathlib import Path

_PIECE = 1 << 20  # bytes that are in memory at once
_HEAD = "--{}\r\nContent-Type: application/dicom\r\n\r\n"


class Multipart:
    """Files as the body of a request; none of them is in memory as a whole."""

    def __init__(self, files: Sequence[tuple[Path, int]]) -> None:
        self._files = files
        self._boundary = secrets.token_hex(16)
        self.kind = f'multipart/related; type="application/dicom"; boundary={self._boundary}'

    def __len__(self) -> int:
        around = len(_HEAD.format(self._boundary)) + len("\r\n")
        return sum(size + around for _, size in self._files) + len(self._end)

    @property
    def _end(self) -> bytes:
        return f"--{self._boundary}--\r\n".encode()

    def pieces(self) -> Iterator[bytes]:
        """Give the body; raise OSError where a file cannot be read, or is another size than was said."""
        for path, size in self._files:
            yield _HEAD.format(self._boundary).encode()
            yield from _content(path, size)
            yield b"\r\n"
        yield self._end


def first(kind: str, content: bytes) -> bytes:
    """Return the first part of an answer; the answer itself where it has no parts."""
    message = Message()
    message["Content-Type"] = kind
    boundary = message.get_boundary()
    if boundary is None:
        return content
    mark = b"--" + boundary.encode()
    _, _, part = content.partition(mark)
    _, _, body = part.partition(b"\r\n\r\n")
    return body.partition(b"\r\n" + mark)[0]


def _content(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        left = size
        while piece := file.read(min(_PIECE, left)):
            left -= len(piece)
            yield piece
        if left or file.read(1):
            raise OSError(f"{path.name}: changed while it was sent")
