"""What is said in other words on another machine: where voxels are, and what time it is."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import asdict
from pathlib import Path

from rtbids.convert.stored import Stored
from rtbids.run.far.contents import mapped
from rtbids.run.past.where import Where
from rtbids.run.process.channel import Message
from rtbids.run.recipe import memory

_MOMENTS = ("came", "analysed", "answered")
_MOST_OPEN = 8  # files that volumes are read back from


class Translating:
    """From here to there."""

    def __init__(self) -> None:
        self._stored: dict[str, Stored] = {}

    def there(self, message: Message, descriptor: int | None) -> tuple[Message, memoryview | None, Hashable | None]:
        """Return a line as it is said there, the content that goes along, and what tells that from others.

        Raises
        ------
        BadData, InputMissing
            A volume is no longer where it was archived.
        """
        content, key = (None, None) if descriptor is None else mapped(descriptor)
        if message["do"] == "volume":
            if message["stored"]:
                message, content, key = self._read(message)
            message = {**message, "where": self._where(message)}
        return message, content, key

    def _read(self, message: Message) -> tuple[Message, memoryview, Hashable]:
        """Read a volume back from the archive, which is here."""
        where = Where(**message["where"])
        assert where.file is not None, "a stored volume has a file"
        voxels = self._opened(where.file).read(where.place)
        content = voxels.ravel(order="F").data.cast("B")
        return {**message, "stored": False, "dtype": voxels.dtype.str}, content, (where.file, where.place)

    def _where(self, message: Message) -> Message:
        """Say of the files that are here what can be said of them there: how long a run is that is replayed."""
        source = message["where"]["source"]
        return asdict(Where(length=None if source is None else self._opened(source).count))

    def _opened(self, file: str) -> Stored:
        if file not in self._stored:
            self._stored[file] = Stored(Path(file))
        while len(self._stored) > _MOST_OPEN:
            del self._stored[next(iter(self._stored))]
        return self._stored[file]


def as_said_there(message: Message) -> Message:
    """Return a script's first line, which leaves to the other machine how much memory it may take where nobody has said."""
    return {**message, "memory": None if message["memory"] == memory.most() else message["memory"]}


def on_our_clock(message: Message, offset: float | None, now: float) -> Message:
    """Return a script's line with its times by our clock, which theirs is ahead of by `offset` seconds; none is to come yet.

    Where the offset is not known, nor are they.
    """
    moments = {key: message[key] for key in _MOMENTS if isinstance(message.get(key), int | float)}
    ours = {key: None if offset is None else min(moment - offset, now) for key, moment in moments.items()}
    return {**message, **({"process": 0} if message.get("say") == "ready" else {}), **ours}
