"""What a script asks for at the console, what it gets, and what it does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from rtbids.errors import ConnectionLost, UsageFault

MOST = 64 * 2**20  # bytes of a file
LONGEST = 4096  # characters of a name
Kind: TypeAlias = Literal["read", "newest", "list", "write"]
Content: TypeAlias = bytes | bytearray | memoryview


class Refused(UsageFault):
    """What no script may have, whoever asks."""


class OtherEnding(Refused):
    """A name whose ending is none of those that are allowed in this folder; another may allow it."""


class TooLate(ConnectionLost):
    """Whoever asked does not wait any more."""


@dataclass(frozen=True)
class Call:
    """One thing that a script asks for.

    Attributes
    ----------
    kind
        ``read`` the file `name`, ``write`` `content` to it, ``list`` the files of the folder `name` that match `pattern`, or
        name the ``newest`` that does.
    timeout, since
        How many seconds it is waited for, and from when on, in seconds of ``time.monotonic``.
    """

    kind: Kind
    name: str = ""
    pattern: str = "*"
    content: Content | None = None
    timeout: float = float("inf")
    since: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """How many seconds it is still waited for."""
        return max(0.0, self.since + self.timeout - time.monotonic())

    def check_time(self) -> None:
        """Raise TooLate where nobody waits any more."""
        if not self.left:
            raise self.too_late

    @property
    def too_late(self) -> TooLate:
        what = repr(self.name or self.pattern)
        return TooLate(f"run.console.{self.kind}({what}) was given up: the disk had not answered after {self.timeout:.3g} s")


@dataclass(frozen=True)
class Found:
    """What there is to say: a file's `content` (of a list, a line of JSON an entry), or the `name` of the newest."""

    content: Content | None = None
    name: str | None = None


@dataclass(frozen=True)
class Entry:
    """A file at the console.

    Attributes
    ----------
    name
        As ``run.console.read`` takes it.
    size
        Bytes.
    modified
        When it was last written to, POSIX seconds of the machine that it lies on.
    """

    name: str
    size: int
    modified: float


Answer: TypeAlias = Callable[[Call], Found]  # may take long; raises what is wrong
NOT_ALLOWED = "no folder at the console is allowed: start rtbids run with --allow DIR[:.EXT,...]"


def nothing(call: Call) -> Found:
    """Refuse whatever is asked for."""
    raise Refused(NOT_ALLOWED)
