"""What a script asks for, done in the folders that are allowed and nowhere else. It may take as long as a disk takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rtbids.errors import InputMissing
from rtbids.run.console import reading, searching, writing
from rtbids.run.console.allowed import Allowed, Place, places
from rtbids.run.console.call import Call, Found, OtherEnding

T = TypeVar("T")


@dataclass(frozen=True)
class Files:
    """The files of some folders."""

    allowed: Sequence[Allowed]

    def answer(self, call: Call) -> Found:
        """Do what is asked for.

        Raises
        ------
        Refused
            Nobody may.
        InputMissing, CannotWrite
            There is no such file, or it cannot be read or written.
        TooLate
            Nobody waits any more; nothing was written.
        """
        match call.kind:
            case "read":
                return Found(self._first(call.name, lambda place: reading.read(place, call)))
            case "write":
                self._first(call.name, lambda place: writing.write(place, call))
                return Found()
            case "list":
                return Found(self._first(call.name, lambda place: searching.listed(place, call)))
            case "newest":
                return Found(name=self._newest(call))

    def _first(self, name: str, do: Callable[[Place], T]) -> T:
        """Do it in the first folder that has what is named."""
        unlike: list[OtherEnding] = []
        absent: list[InputMissing] = []
        for place in places(self.allowed, name):
            try:
                return do(place)
            except OtherEnding as error:
                unlike.append(error)
            except InputMissing as error:
                absent.append(error)
        raise (absent or unlike)[0]

    def _newest(self, call: Call) -> str | None:
        found = (searching.newest(place, call) for place in places(self.allowed, call.pattern))
        return next((name for name in found if name is not None), None)
