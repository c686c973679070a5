"""Units over a link: one numbered member each, so that a volume arrives whole, once, and in order, or is dropped whole."""

from __future__ import annotations

import select
import threading
from collections import deque
from collections.abc import Callable

from rtbids.errors import BadData, ConnectionLost, RtbidsError, StreamBroken, internal_fault
from rtbids.receipt import Receipt, settle
from rtbids.stream import units, wire
from rtbids.stream.branch import LOOK, Units
from rtbids.stream.link import Arrived, Link
from rtbids.stream.units import Unit

FILE = "file/"  # of a stream of DICOM files
BIDSI = "bids/"
_NOBODY = "nobody takes them there; what its source still has goes when the stream is started again"


def send(link: Link, unit: Unit, *, may_drop: bool = False) -> int:
    """Hand a unit over to a link; return its number. Raise BadData where its name, or its time, cannot go over one."""
    name = (FILE if unit.is_file else BIDSI) + unit.name
    may_be_lost = may_drop and unit.may_be_lost
    try:
        return link.send(name, *_framed(unit), modified=unit.pieces[-1].modified, droppable=may_be_lost)
    except ValueError as error:
        raise BadData(f"a member cannot go over a link: {str(error)[:200]}") from None


def _framed(unit: Unit) -> list[memoryview]:
    buffers: list[memoryview] = []
    for piece in unit.pieces:
        buffers += wire.framed(piece.name, [memoryview(part).cast("B") for part in piece.parts], piece.modified)
    return buffers


def unit_of(arrived: Arrived, where: str, receipts: tuple[Receipt, ...] = ()) -> Unit:
    """Read a unit; raise StreamBroken where it is none."""
    name = arrived.member.name
    if not name.startswith((FILE, BIDSI)):
        raise StreamBroken(f"{where}: expected a unit of a stream, found {name[:80]!r}")
    members = list(wire.members_in(arrived.member.content, f"{where}: {name[:200]}"))
    pieces = tuple(wire.Piece(member.name, (member.content,), member.modified) for member in members)
    if not 1 <= len(pieces) <= 2:
        raise StreamBroken(f"{where}: {name[:80]!r} has {len(pieces)} members")
    if name.startswith(FILE):
        return Unit(pieces, is_file=True, receipts=receipts)
    return units.of_pieces(pieces, receipts)


class Settling:
    """Settles the numbers of a link, which are settled in order, as the units come to safety, in any order."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._settling = threading.Lock()
        self._open: dict[int, bool] = {}

    def receipt(self, number: int) -> Receipt:
        """Return what is settled when member `number` is safe on the disk; one left out for good is no more waited for."""
        with self._settling:
            self._open[number] = False
        return Receipt(lambda: self.safe(number), abandoned=lambda: self.safe(number), durable=True)

    def safe(self, number: int) -> None:
        with self._settling:
            self._open[number] = True
            done = None
            while self._open and self._open[first := next(iter(self._open))]:
                done = first
                del self._open[first]
            if done is not None:
                self._link.settle(done)


def arriving(link: Link, where: str, passed_over: str = "") -> Units:
    """Give the units that come over a link, each with its receipt, until the other side's end; None where none comes.

    Members named `passed_over` are none: a far side that was killed says once more that it is ready.
    """
    settling = Settling(link)
    while True:
        try:
            arrived = link.take() or _waited(link)
        except StopIteration:
            return
        if arrived is None:
            yield None
            continue
        receipt = settling.receipt(arrived.number)
        if arrived.dropped or arrived.member.name == passed_over:
            receipt.settle()
            continue
        yield unit_of(arrived, where, (receipt,))


def _waited(link: Link) -> Arrived | None:
    select.select([link], [], [], LOOK)
    return link.take()


def write_link(
    units: Units,
    link: Link,
    *,
    may_drop: bool = False,
    on_heard: Callable[[Arrived], None] = lambda arrived: None,
    patience: float | None = None,
    tells_why: bool = True,
) -> None:
    """Send a stream over a link; a unit is safe when the other side has said so.

    A source that breaks is told to the other side, which then has no orderly end; what is wrong with it, which may name
    files, only where it `tells_why`. `on_heard` takes what the other side says.
    At the end the other side may take as long as it likes, or `patience` seconds without a unit more that is safe.
    """
    unsafe: deque[tuple[int, tuple[Receipt, ...]]] = deque()
    try:
        for unit in units:
            if unit is not None:
                number = send(link, unit, may_drop=may_drop)
                if unit.receipts:
                    unsafe.append((number, unit.receipts))
            else:
                _hear(link, on_heard)
            _settle(unsafe, link.state.safe)
        _finish(link, patience)
        _settle(unsafe, link.state.sent)
        for arrived in link.members():  # until the other side has done with it
            link.settle(arrived.number)
    except BaseException as error:
        told = error if isinstance(error, RtbidsError) else RtbidsError(internal_fault(error))
        link.close(told if tells_why else StreamBroken("the stream has ended too early; its sender says why"))
        raise
    link.close()


def _finish(link: Link, patience: float | None) -> None:
    safe = -1
    while True:
        try:
            link.finish(patience)
        except ConnectionLost as error:
            if link.is_over:
                raise
            if link.state.safe <= safe:
                raise ConnectionLost(str(error), error.hint or _NOBODY) from None
            safe = link.state.safe
        else:
            return


def _hear(link: Link, on_heard: Callable[[Arrived], None]) -> None:
    """Raise what has ended the link; what the other side says meanwhile is taken note of."""
    try:
        arrived = link.take()
    except StopIteration:
        raise StreamBroken(f"{link.where}: ended before the stream") from None
    if arrived is not None:
        on_heard(arrived)
        link.settle(arrived.number)


def _settle(unsafe: deque[tuple[int, tuple[Receipt, ...]]], safe: int) -> None:
    while unsafe and unsafe[0][0] < safe:
        settle(unsafe.popleft()[1])
