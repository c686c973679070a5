"""How a file gets from the scanner into a folder, in one of the ways that vendors have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Literal, TypeAlias

from rtbids.clock import CLOCK, Clock
from rtbids.dicomnet.image import cut_short
from rtbids.errors import cannot_write
from rtbids.replay.plan import Delivery
from rtbids.wakeup import Wakeup

Arrival: TypeAlias = Literal["rename", "in place", "hard link"]
CHUNK = 65536  # bytes a write, where a file grows under its final name
_PIECES = 16  # in which a file is written slowly


@dataclass
class Pace:
    """The time of one scan: moments are seconds after `start` (POSIX seconds), so that no delay adds up."""

    clock: Clock = CLOCK
    stop: Wakeup | None = None
    start: float = field(init=False)

    def __post_init__(self) -> None:
        self.start = self.clock.now()

    def until(self, moment: float) -> bool:
        """Wait until `moment`; say whether to go on."""
        if self.stop is None:
            self.clock.wait_until(self.start + moment)
            return True
        return not self.stop.wait(max(0.0, self.start + moment - self.clock.now()))


Receiver: TypeAlias = Callable[[str, bytes, Delivery, Pace], None]  # a file's name, what it holds, how it comes


def into(folder: Path, how: Arrival) -> Receiver:
    """Return what writes files into `folder`; one that takes its time, or is filled later, grows under its final name."""

    def receive(name: str, content: bytes, delivery: Delivery, pace: Pace) -> None:
        path = folder / name
        if delivery.copy:
            path = path.with_name(f"{path.stem}_copy{path.suffix}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, content, delivery, pace, how)
        except OSError as error:
            raise cannot_write(path, error) from error

    return receive


def write(content: bytes, path: Path, how: Arrival) -> None:
    """Write a whole file: it appears by a rename, grows under its final name, or is a second name of a hidden one."""
    match how:
        case "rename":
            _hidden(content, path).replace(path)
        case "hard link":
            hidden = _hidden(content, path)
            path.hardlink_to(hidden)
            hidden.unlink()
        case "in place":
            with _growing(path) as file:
                for start in range(0, len(content), CHUNK):
                    _put(file, content[start : start + CHUNK])


def _hidden(content: bytes, path: Path) -> Path:
    hidden = path.with_name(f".{path.name}.part")
    with _growing(hidden) as file:
        _put(file, content)
    return hidden


@contextmanager
def _growing(path: Path) -> Iterator[FileIO]:
    """Open a file that grows; where it does not become whole (the disk is full, a second Ctrl-C) it is taken away."""
    try:
        with path.open("wb", buffering=0) as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _put(file: FileIO, content: bytes) -> None:
    """Write all of it: where the disk fills up a part is written first, and only the next write fails."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _write(path: Path, content: bytes, delivery: Delivery, pace: Pace, how: Arrival) -> None:
    if delivery.state == "truncated":
        content = content[: len(content) // 2]
    if delivery.state == "short":
        content = cut_short(content)
    if delivery.state == "preallocated":
        _fill_later(path, content, delivery, pace)
    elif delivery.span:
        _write_slowly(path, content, delivery, pace)
    else:
        write(content, path, how)


def _write_slowly(path: Path, content: bytes, delivery: Delivery, pace: Pace) -> None:
    """Write piece by piece; what is left when the scan is stopped is written at once."""
    size = -(-len(content) // _PIECES)
    with _growing(path) as file:
        for piece in range(_PIECES):
            pace.until(delivery.moment + delivery.span * piece / (_PIECES - 1))
            _put(file, content[piece * size : (piece + 1) * size])


def _fill_later(path: Path, content: bytes, delivery: Delivery, pace: Pace) -> None:
    """Write a file of full length of which three quarters are zero, and those after a while, all in one opening."""
    quarter = len(content) // 4
    with _growing(path) as file:
        _put(file, content[:quarter] + bytes(len(content) - quarter))
        pace.until(delivery.moment + delivery.span)
        file.seek(quarter)
        _put(file, content[quarter:])
