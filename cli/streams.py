"""The writing end of a command: items or files to a destination, and an end when the reader leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from rtbids.errors import StreamBroken
from rtbids.pipeline import Inbox, be_quick, settled
from rtbids.stream import bidsi, endpoints, fifo, wire
from rtbids.volume import Item
from rtbids.wakeup import Wakeup

if TYPE_CHECKING:
    from rtbids.convert.dicom import Instance

T = TypeVar("T")


def send_items(items: Iterable[Item], destination: str, stop: Wakeup, timeout: float) -> None:
    """Write items as BIDS-I; see `_send`."""
    _send(items, bidsi.write, destination, stop, timeout)


def send_files(files: Iterable[Instance], destination: str, stop: Wakeup, timeout: float) -> None:
    """Write DICOM files as a tar; see `_send`."""
    _send(files, _write_files, destination, stop, timeout)


def _send(
    source: Iterable[T],
    write: Callable[[Iterator[T], BinaryIO, str], None],
    destination: str,
    stop: Wakeup,
    timeout: float,
) -> None:
    """Run `source` in a thread and write here what it gives.

    So the source never waits on the pipe itself, and we learn that the reader has gone even while nothing comes.
    """
    name = "standard output" if destination == endpoints.STANDARD else destination
    with endpoints.open_destination(destination, timeout) as file:
        be_quick()
        inbox = Inbox(source)
        fifo.watch_reader(file, lambda: inbox.fail(StreamBroken(f"the reader of {name} has gone")))
        write(settled(inbox.until(stop)), file, name)


def _write_files(files: Iterator[Instance], file: BinaryIO, name: str) -> None:
    writer = wire.Writer(file, name)
    number = 0
    for number, instance in enumerate(files, 1):
        writer.write(f"{number:06d}.dcm", instance.content, modified=instance.received)
    writer.close()
