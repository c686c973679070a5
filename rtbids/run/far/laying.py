"""The files of one process: from what the run announces to the folder that its script lies in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from rtbids.clock import CLOCK
from rtbids.errors import StreamBroken
from rtbids.run.far import members, paths
from rtbids.run.far.aside import Aside
from rtbids.run.far.fetching import Fetching, Piece
from rtbids.run.far.manifest import Entry, checked
from rtbids.run.far.members import Said
from rtbids.run.far.store import NotAsNamed, Store
from rtbids.run.process.channel import Message
from rtbids.run.recipe import memory
from rtbids.stream.wire import is_confined

T = TypeVar("T")


class Laying:
    """Fetches what is lacking of the files that `said` announces, and lays all out; what takes its time is done `aside`.

    Parameters
    ----------
    send
        Sends a member to the run, by what it is and its fields.
    on_end
        Called with the script's first line, as it is here.
    on_error
        Called with what keeps it from that.
    """

    def __init__(
        self,
        said: Said,
        store: Store,
        aside: Aside,
        folder: Path,
        *,
        send: Callable[..., None],
        on_end: Callable[[Message], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._files, self._load = checked(said.fields["files"]), said.fields["message"]
        self._seat, self._store, self._aside, self._folder = said.seat, store, aside, folder
        self._ours = {"number": said.number, "parcel": said.fields["parcel"]}
        self._send, self._on_end, self._on_error = send, on_end, on_error
        self._fetching: Fetching | None = None
        self._is_stopped = False
        self._set_aside(lambda: store.lacking(self._files), self._fetch)

    def take(self, said: Said) -> None:
        """Take a piece of a file."""
        if self._fetching is None or self._is_stopped or said.fields["parcel"] != self._ours["parcel"]:
            return
        if said.along is None:
            raise StreamBroken("a piece of a file came without its content")
        try:
            self._fetching.take(said.fields, said.along)
        except NotAsNamed:
            self.stop()
            self._send(members.CHANGED, **self._ours)

    def stop(self) -> None:
        """Go on with nothing of it."""
        self._is_stopped = True
        if self._fetching is not None:
            self._fetching.stop()

    def _fetch(self, lacking: list[Entry]) -> None:
        self._fetching = Fetching(self._store, self._seat, lacking, self._ask, self._lay_out)

    def _ask(self, piece: Piece) -> None:
        self._send(members.WANT, **self._ours, **piece.fields)

    def _lay_out(self) -> None:
        self._set_aside(lambda: self._store.lay_out(self._files, self._folder), self._end)

    def _end(self, _: None) -> None:
        self._on_end(as_it_is_here(self._load, self._folder))

    def _set_aside(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Have work done, and go on with what comes of it unless this was stopped meanwhile."""

        def go_on(found: T) -> None:
            try:
                if not self._is_stopped:
                    then(found)
            except Exception as error:
                self._on_error(error)

        self._aside.do(work, go_on, lambda error: None if self._is_stopped else self._on_error(error))


def as_it_is_here(load: Message, folder: Path) -> dict[str, Any]:
    """Return a script's first line with this machine's clock, memory and files."""
    most = memory.most() if load["memory"] is None else load["memory"]
    return {**paths.changed(load, lambda name: str(folder / confined(name))), "offset": CLOCK.offset, "memory": most}


def confined(name: str) -> str:
    if not is_confined(name):
        raise StreamBroken(f"expected the name of a file of the experiment, found {name[:80]!r}")
    return name
