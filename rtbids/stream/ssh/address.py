"""Where a connection goes: ``ssh://[user@]host[:port][/PATH]``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from rtbids.errors import UsageFault

SCHEME = "ssh://"
EXAMPLE = "expected ssh://user@host[:port][/PATH]"
_ADDRESS = re.compile(
    r"(?:(?P<user>[^@/\s]+)@)?"
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[^@:/\s\[\]]+))"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>/.*)?\Z",
    re.ASCII | re.DOTALL,
)


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
            raise UsageFault(f"{_without_password(text)}: no address of a machine", EXAMPLE)
        user, host = found["user"], found["v6"] or found["host"]
        if user and ":" in user:
            raise UsageFault(
                f"{_without_password(text)}: a password has no place in a command line, which others can read",
                "leave it out: it is asked for in the terminal; better still, use a key",
            )
        if host.startswith("-") or (user or "").startswith("-"):
            raise UsageFault(f"{text}: a name that begins with a dash", EXAMPLE)
        return cls(unquote(host), unquote(user) if user else None, _port(found["port"], text), unquote(found["path"] or ""))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEME}{f'{self.user}@' if self.user else ''}{host}{f':{self.port}' if self.port else ''}{self.path}"


def _port(digits: str | None, text: str) -> int | None:
    if digits is None:
        return None
    if not 1 <= int(digits) <= 65535:
        raise UsageFault(f"{text}: expected a port of 1 to 65535", EXAMPLE)
    return int(digits)


def _without_password(text: str) -> str:
    return re.sub(r":[^@/]*@", "@", text)
