"""Folders that never finish, as the process that watches them tells those who ask for the status."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from rtbids.watch.finished import Held


class Noted:
    """A file in the outbox, of this process and its owner only: a folder's name may identify."""

    def __init__(self, outbox: Path) -> None:
        self.held: Sequence[Held] = ()  # as they were told last
        self._path = outbox / f"unfinished-{os.uname().nodename}-{os.getpid()}.json"

    def tell(self, held: Sequence[Held]) -> None:
        self.held = held
        part = self._path.with_suffix(".part")
        with suppress(OSError):  # a full disk is said elsewhere
            with open(part, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                json.dump([asdict(one) for one in held], file, ensure_ascii=True)
            part.replace(self._path)

    def close(self) -> None:
        self._path.unlink(missing_ok=True)


def noted(outbox: Path) -> Iterator[Held]:
    """Yield what processes that live have told; what others have left is removed."""
    for path in sorted(outbox.glob("unfinished-*.json")):
        host, _, process = path.stem.removeprefix("unfinished-").rpartition("-")
        if host == os.uname().nodename and not os.path.exists(f"/proc/{process}"):
            with suppress(OSError):  # of an outbox that may only be read
                path.unlink(missing_ok=True)
            continue
        with suppress(OSError, ValueError, TypeError):
            yield from (Held(**one) for one in json.loads(path.read_text(encoding="utf-8")))
