"""What files that are de-identified are called: by new values of a plain form, and no two of them alike."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from rtbids.errors import BadData

_UID = r"[0-9][0-9.]{0,63}"
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._ -]{{0,63}}/(series|{_UID})/{_UID}\.dcm")


def check(name: str) -> None:
    """Refuse a file whose name would hold anything but plain identifiers: it could lead out of where files belong."""
    if not _NAME.fullmatch(name):
        raise BadData("a file cannot be named by its UIDs, which are not made of digits and points", "let it have new ones")


@dataclass
class Names:
    """The names that were written, so that no file takes another's place: copies are known, other contents refused."""

    _seen: dict[str, bytes] = field(default_factory=dict)

    def is_copy(self, name: str, content: bytes) -> bool:
        digest = hashlib.sha256(content).digest()
        if name not in self._seen:
            self._seen[name] = digest
            return False
        if self._seen[name] != digest:
            raise BadData("it has the SOP Instance UID of another file, and other contents")
        return True
