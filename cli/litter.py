"""What lies about in folders of images without being one: told in one line, where it is much, not file by file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from rtbids.cli import console
from rtbids.deidentify.files import Source

_NAMES = frozenset(("dicomdir", "lockfile", "version", "thumbs.db", "desktop.ini", ".ds_store"))
_BEGINNINGS = (b"\x02\0", b"\x08\0", b"\0\x08")  # groups that a DICOM file without a preamble begins with
_FEW, _NAMED = 2, 3


@dataclass(frozen=True)
class _Piece:
    name: str
    number: int
    reason: str
    hint: str | None


@dataclass
class Litter:
    """Such files of a command, kept until all of them are known."""

    _pieces: list[_Piece] = field(default_factory=list)

    def takes(self, source: Source, number: int, reason: str, hint: str | None) -> bool:
        """Keep a file that is left out until `tell`, if it is called and looks like none to be missed."""
        is_litter = _is_litter(source)
        if is_litter:
            self._pieces.append(_Piece(source.name, number, reason, hint))
        return is_litter

    def tell(self) -> None:
        """Say what was left out: each by itself where they are few."""
        if len(self._pieces) <= _FEW:
            for piece in self._pieces:
                console.left_out(piece.name, piece.number, piece.reason, piece.hint)
        else:
            count = len(self._pieces)
            names = ", ".join(piece.name for piece in self._pieces[:_NAMED])
            rest = f" and {count - _NAMED} more" if count > _NAMED else ""
            console.warn(
                f"{count} files are no DICOM images and are left out: {names}{rest}", f"{count} files are no DICOM images"
            )
        self._pieces.clear()


def _is_litter(source: Source) -> bool:
    """Tell what never was an image from one that is damaged, or empty because a copy was broken off."""
    if PurePosixPath(source.name).name.lower() in _NAMES:
        return True
    head = bytes(source.content[:132]) if source.content is not None else b""
    return bool(head.strip(b"\0")) and not (head.endswith(b"DICM") or head.startswith(_BEGINNINGS))
