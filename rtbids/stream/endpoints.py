"""The ends of a stream as people write them: ``-``, a named pipe, a ``.tar`` file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias, cast

from rtbids.errors import InputMissing, UsageFault, cannot_write
from rtbids.stream import fifo

STANDARD = "-"
Sort: TypeAlias = Literal["pipe", "tar", "folder"]


def scheme(endpoint: str) -> str | None:
    """Return ``ssh`` of ``ssh://…``, None where there is none."""
    head, colon, _ = endpoint.partition("://")
    return head if colon and head.replace("+", "").replace("-", "").isalnum() else None


def is_far(endpoint: str) -> bool:
    """Say whether a place is on another machine."""
    return scheme(endpoint) == "ssh"


def sort_of(path: Path) -> Sort:
    """Say what a stream finds at a place that it goes to; raise UsageFault where that is nothing of the sort."""
    if fifo.is_fifo(path):
        return "pipe"
    if path.suffix == ".tar":
        return "tar"
    if path.exists() and not path.is_dir():
        raise UsageFault(f"{path}: expected a named pipe, a .tar file or a folder, found another sort of file")
    return "folder"


def open_source(endpoint: str, timeout: float = fifo.OPEN_TIMEOUT) -> BinaryIO:
    """Open a stream to read: standard input, a named pipe (waiting for its writer), or a file."""
    if endpoint == STANDARD:
        if sys.stdin.isatty():
            raise UsageFault("standard input is a terminal, not a stream", "pipe a stream in, or name a SOURCE")
        return cast(BinaryIO, os.fdopen(os.dup(0), "rb", buffering=0))
    path = Path(endpoint)
    if fifo.is_fifo(path):
        return fifo.open_reader(path, timeout)
    if not path.is_file():
        raise InputMissing(f"{endpoint}: no such pipe or file")
    try:
        return cast(BinaryIO, path.open("rb", buffering=0))
    except OSError as error:
        raise InputMissing(f"{endpoint}: cannot be read ({error.strerror})") from None


def open_destination(endpoint: str, timeout: float = fifo.OPEN_TIMEOUT) -> BinaryIO:
    """Open a stream to write: standard output, a named pipe (waiting for its reader), or a ``.tar`` file, begun anew."""
    if endpoint == STANDARD:
        if sys.stdout.isatty():
            raise UsageFault(
                "standard output is a terminal, and a stream is not for the eye", "pipe it on, or name where it is to go"
            )
        return cast(BinaryIO, os.fdopen(os.dup(1), "wb", buffering=0))
    path = Path(endpoint)
    if fifo.is_fifo(path):
        return fifo.open_writer(path, timeout)
    if path.suffix != ".tar" or path.is_dir():
        raise UsageFault(
            f"{endpoint}: expected -, a named pipe or a .tar file",
            None if path.exists() else f"make a named pipe first: mkfifo {endpoint}",
        )
    try:  # for the owner only: what a scanner sends names its patient
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        return cast(BinaryIO, os.fdopen(descriptor, "wb", buffering=0))
    except OSError as error:
        raise cannot_write(path, error) from None
