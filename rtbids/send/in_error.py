"""The images that are in ERROR, or that a destination refused: what is known of each when somebody sees to it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rtbids.send.anew import LOST
from rtbids.send.claims import Raw
from rtbids.send.database import Transaction
from rtbids.send.states import State, retried

_FAILED = (
    "SELECT i.id, i.batch, i.state, i.failed_in, i.file, i.quarantine, b.root, b.spooled, i.size, i.mtime_ns, i.same_as,"
    " i.reason, (SELECT image FROM instance WHERE instance_key = i.instance_key) FROM image i JOIN batch b ON b.id = i.batch"
    " WHERE i.dismissed = 0"
    " AND (i.state = 'ERROR' OR EXISTS (SELECT 1 FROM delivery d WHERE d.image = i.id AND d.state = 'ERROR'))"
)


@dataclass(frozen=True)
class Failed:
    """One of them, as it is in the database."""

    image: int
    batch: int
    state: State
    failed_in: str | None
    file: bytes
    quarantine: bytes | None  # relative to the outbox
    root: bytes
    spooled: int
    size: int
    mtime_ns: int
    same_as: int | None
    reason: str | None
    holder: int | None  # the image that goes by its SOP Instance UID

    @property
    def pair(self) -> tuple[int, int]:
        return self.image, self.batch

    @property
    def raw(self) -> Raw:
        """Its file as it was taken in."""
        root = Path(os.fsdecode(self.root))
        path = root / os.fsdecode(self.file)
        return Raw(self.image, self.batch, path, self.size, self.mtime_ns, bool(self.spooled), 0, None, None, root)

    @property
    def goes_on_in(self) -> State:
        """The state that it has after a retry."""
        return State.NEW if self._is_made_anew() else retried(State(self.failed_in or self.state))

    def _is_made_anew(self) -> bool:
        """Whether what was made of it is gone, or would not be made so again."""
        if self.reason == LOST or self.same_as is not None or self.holder != self.image:
            return True
        try:
            status = self.raw.path.stat()
        except OSError:
            return False  # what was made of it is there
        return (status.st_size, status.st_mtime_ns) != (self.size, self.mtime_ns)


def failed(transaction: Transaction, batch: int | None, image: int | None, lock: str = "") -> list[Failed]:
    """Return those of the outbox, of one batch, or one image; with `lock` they stay so until the transaction ends."""
    chosen = [(column, value) for column, value in (("i.batch", batch), ("i.id", image)) if value is not None]
    where = "".join(f" AND {column} = ?" for column, _ in chosen)
    rows = transaction.rows(f"{_FAILED}{where} ORDER BY i.id{lock}", [value for _, value in chosen])
    return [Failed(image, batch, State(state), *rest) for image, batch, state, *rest in rows]
