"""The files of one process, as the run sees them: announced to the other machine, and sent as that asks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rtbids.errors import UsageFault
from rtbids.run.far import members
from rtbids.run.far.aside import Aside
from rtbids.run.far.manifest import Entry
from rtbids.run.far.members import Fields
from rtbids.run.far.parcel import Packing, Parcel
from rtbids.run.process.channel import Message

_CHANGES = 5  # of files while they are copied, in one start


class Send(Protocol):
    def __call__(self, what: str, content: memoryview | None = None, **fields: object) -> None:
        """Send a member to the other machine."""
        ...


class Announcing:
    """Goes on until its script, whose first line is `load`, is loaded; folders are read and files hashed `aside`.

    Parameters
    ----------
    on_error
        Called with what keeps the files from being sent.

    Attributes
    ----------
    crossing
        The file that is being sent, or was last.
    """

    def __init__(
        self, load: Message, packing: Packing, aside: Aside, send: Send, on_error: Callable[[Exception], None]
    ) -> None:
        self._load, self._packing, self._aside = load, packing, aside
        self._send, self._on_error = send, on_error
        self._number = 0  # of the latest parcel
        self._parcel: Parcel | None = None
        self._changes = 0
        self._is_stopped = False
        self.crossing: Entry | None = None

    def announce(self) -> None:
        """Say which files there are, and the first line, that the script is told once all of them are there."""
        self._number += 1
        self._parcel, number = None, self._number

        def packed(parcel: Parcel) -> None:
            if self._is_stopped or number != self._number:
                return
            self._parcel = parcel
            try:
                self._send(members.FILES, parcel=number, files=parcel.manifest, message=parcel.load)
            except Exception as error:
                self._on_error(error)

        self._aside.do(lambda: self._packing.pack(self._load), packed, lambda error: self._fail(number, error))

    def send(self, wanted: Fields) -> None:
        """Send a piece of a file: the other end asks for few at a time, so that others' volumes need not wait."""
        if self._parcel is None or wanted["parcel"] != self._number:
            return
        piece = self._parcel.piece(wanted["sha256"], wanted["at"], wanted["end"])
        if piece is None:
            self._announce_anew()
        else:
            if not wanted["at"]:
                self.crossing = self._parcel.named(wanted["sha256"])
            self._send(members.FILE, memoryview(piece), **{key: wanted[key] for key in ("parcel", "sha256", "at", "end")})

    def changed(self, parcel: int) -> None:
        """Announce anew what is not what it was any more."""
        if parcel == self._number:
            self._announce_anew()

    def stop(self) -> None:
        self._is_stopped, self._parcel = True, None

    def _announce_anew(self) -> None:
        self._changes += 1
        if self._changes > _CHANGES:
            raise UsageFault("files of the experiment changed again and again while they were copied", "start it again")
        self.announce()

    def _fail(self, number: int, error: Exception) -> None:
        if not self._is_stopped and number == self._number:
            self._on_error(error)
