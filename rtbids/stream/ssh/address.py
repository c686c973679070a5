"""Where a connection goes: ``ssh://[user@]host[:port][/PATH]``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from rtbids.errors import UsageFault
from rtbids.stream.link.protocol import one_line

SCHEME = "ssh://"
EXAMPLE = "expected ssh://user@host[:port][/PATH]"
_ADDRESS = re.compile(
    r"(?:(?P<user>[^@/\s]+)@)?"
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[^@:/\s\[\]]+))"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>/.*)?\Z",
    re.ASCII | re.DOTALL,
)
# As ssh(1) has it, for both reach shells and commands of the settings; a blank, a control character or a quote is in none.
_USER = re.compile(r"(?!-)[^\s\x00-\x1f\x7f-\x9f'\"`;&<>|(){}$]*(?<!\\)\Z")
_HOST = re.compile(r"(?!-)[^\s\x00-\x1f\x7f-\x9f'\"`;&<>|(){}$\\,/@]+\Z")


@dataclass(frozen=True)
class Address:
    """A host as the user names it, which may be a name of his ``~/.ssh/config``. `path` begins with ``/``, or is empty."""

    host: str
    user: str | None = None
    port: int | None = None
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``ssh://…``; raise UsageFault where it is none, or holds a password."""
        found = _ADDRESS.match(text.removeprefix(SCHEME)) if text.startswith(SCHEME) else None
        if found is None:
            raise UsageFault(f"{_shown(text)}: no address of a machine", EXAMPLE)
        user, host = unquote(found["user"] or ""), unquote(found["v6"] or found["host"])
        if ":" in (found["user"] or ""):
            raise UsageFault(
                f"{_shown(text)}: a password has no place in a command line, which others can read",
                "leave it out: it is asked for in the terminal; better still, use a key",
            )
        if not _USER.match(user) or not _HOST.match(host):
            raise UsageFault(f"{_shown(text)}: a name that no user and no host has", EXAMPLE)
        return cls(host, user or None, _port(found["port"], text), unquote(found["path"] or ""))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEME}{f'{self.user}@' if self.user else ''}{host}{f':{self.port}' if self.port else ''}{self.path}"


def _port(digits: str | None, text: str) -> int | None:
    if digits is None:
        return None
    if not 1 <= int(digits) <= 65535:
        raise UsageFault(f"{_shown(text)}: expected a port of 1 to 65535", EXAMPLE)
    return int(digits)


def _shown(text: str) -> str:
    """Return an address without what may be a password in it, or would do something to a terminal."""
    after = text.rpartition("@")[2] if "@" in text else text.removeprefix(SCHEME)
    return one_line(f"{SCHEME if text.startswith(SCHEME) else ''}{'…@' if '@' in text else ''}{after}", 200)
