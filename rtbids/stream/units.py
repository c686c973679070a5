"""What goes on from one place to several as a whole: a volume with the JSON before it, or one other member."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from rtbids.bids import entities as bids_entities
from rtbids.receipt import Receipt
from rtbids.stream import bidsi, wire
from rtbids.volume import Item, RunEnd, Volume

Key: TypeAlias = tuple[str, int]  # the run's stem and the index of a volume


@dataclass(frozen=True, eq=False)
class Unit:
    """Members that are written together or not at all.

    Attributes
    ----------
    pieces
        A volume's JSON and NIfTI; or one member, of whatever sort.
    run
        Stem of the run it belongs to; empty where it belongs to none.
    index
        Of the volume; None where it is none.
    is_file
        Whether it is a file of a stream of DICOM files.
    may_be_lost
        Whether what follows can be read without it.
    receipts
        Of whoever keeps it until it is safe.
    """

    pieces: tuple[wire.Piece, ...]
    run: str = ""
    index: int | None = None
    is_file: bool = False
    may_be_lost: bool = False
    receipts: tuple[Receipt, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        return self.pieces[-1].name

    @property
    def size(self) -> int:
        return sum(piece.size for piece in self.pieces)

    @property
    def is_image(self) -> bool:
        """Whether it is a volume or an image file, what people count."""
        return self.is_file or self.index is not None

    @property
    def is_end(self) -> bool:
        """Whether its run is over with it."""
        return not self.is_file and self.index is None and self.name.endswith("_end.json")

    def members(self) -> Iterator[wire.Member]:
        """Give its members as a reader gets them, the receipts with the last one."""
        for piece in self.pieces:
            receipts = self.receipts if piece is self.pieces[-1] else ()
            yield wire.Member(piece.name, piece.content(), piece.modified, receipts)


def of_items(items: Iterable[Item]) -> Iterator[Unit]:
    """Turn volumes and ends of runs into units as they come."""
    encoder = bidsi.Encoder()
    for item in items:
        pieces = list(encoder.pieces(item))
        own = 2 if isinstance(item, Volume) else 1
        yield from (_one(piece) for piece in pieces[:-own])
        yield _of_item(item, tuple(pieces[-own:]))
    yield from (_one(piece) for piece in encoder.head())


def _of_item(item: Item, pieces: tuple[wire.Piece, ...]) -> Unit:
    run = bids_entities.stem(item.entities)
    if isinstance(item, RunEnd):
        return Unit(pieces, run)
    return Unit(pieces, run, item.index, may_be_lost=_says_nothing_of_its_run(pieces[0]), receipts=item.receipts)


def of_members(members: Iterable[wire.Member]) -> Iterator[Unit]:
    """Group the members of a stream of either sort: BIDS-I, which begins with the data set's description, or DICOM files."""
    is_bidsi: bool | None = None
    before: wire.Piece | None = None
    for member in members:
        is_bidsi = member.name.endswith(".json") if is_bidsi is None else is_bidsi
        piece = wire.Piece(member.name, (member.content,), member.modified)
        if not is_bidsi:
            yield Unit((piece,), is_file=True, receipts=member.receipts)  # one of many slices, maybe: none may be lost
            continue
        _, index, suffix = bidsi.split(_file_name(member.name))
        if before is not None and not _belong(before, piece):
            yield _one(before)
            before = None
        if index is not None and suffix == "bold.json":
            before = piece
        elif before is not None:
            yield replace(_of_volume(before, piece), receipts=member.receipts)
            before = None
        else:
            yield replace(_one(piece), receipts=member.receipts)
    if before is not None:
        yield _one(before)


def of_pieces(pieces: tuple[wire.Piece, ...], receipts: tuple[Receipt, ...] = ()) -> Unit:
    """Return the unit that one or two members of BIDS-I are."""
    found = _one(pieces[0]) if len(pieces) == 1 else _of_volume(*pieces)
    return replace(found, receipts=receipts)


def _belong(first: wire.Piece, second: wire.Piece) -> bool:
    return first.name.removesuffix(".json") == second.name.removesuffix(".nii")


def _of_volume(first: wire.Piece, second: wire.Piece) -> Unit:
    run, index, _ = bidsi.split(_file_name(second.name))
    return Unit((first, second), run, index, may_be_lost=_says_nothing_of_its_run(first))


def _one(piece: wire.Piece) -> Unit:
    run, index, _ = bidsi.split(_file_name(piece.name))
    return Unit((piece,), run if index is None and run.startswith("sub-") else "")


def _says_nothing_of_its_run(piece: wire.Piece) -> bool:
    said = fields(piece)
    return not ("metadata" in said or "gone" in said)


def fields(piece: wire.Piece) -> dict[str, object]:
    """Return a JSON object; what is none is for the reader to refuse, and empty here."""
    try:
        found = json.loads(bytes(piece.content()))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _file_name(name: str) -> str:
    return name.rpartition("/")[2]
