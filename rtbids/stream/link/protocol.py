"""What the two ends of a link say to each other: the hello, and small JSON members under ``link/``.

Members of the application are numbered from 0 on, and the numbers are not written: each connection begins with the number of
its next member (``link/next.json``), and every heartbeat says it again. Whatever the other side claims is checked here.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any

from rtbids import __version__
from rtbids.bids import sidecar
from rtbids.errors import (
    BadData,
    CannotWrite,
    ConnectionLost,
    ExperimentFault,
    InputMissing,
    NotBids,
    NothingMatched,
    RtbidsError,
    StreamBroken,
    UsageFault,
)
from rtbids.stream import wire
from rtbids.stream.link.window import Inbox
from rtbids.stream.wire import Member

VERSION = 1
OWN = "link/"
HELLO = "link/hello.json"
REFUSED = "link/refused.json"
NEXT = "link/next.json"
SAFE = "link/safe.json"
ALIVE = "link/alive.json"
DROPPED = "link/dropped.json"
PROBE = "link/probe.bin"
PROBED = "link/probed.json"
END = "link/end.json"
WARNED = "link/warned.json"
LARGEST_CONTROL = 256 << 10  # bytes; a hello carries the arguments of its verb
MOST = 1 << 53  # what JSON carries as a whole number everywhere
_LONGEST_TEXT = 2000
_SESSION = 32  # hex digits
_KINDS = (UsageFault, BadData, InputMissing, NotBids, NothingMatched, ExperimentFault, CannotWrite, StreamBroken)
_BY_CODE: dict[int, type[RtbidsError]] = {kind.exit_code: kind for kind in (*_KINDS, ConnectionLost)}


class OutOfStep(StreamBroken):
    """The two ends of a link do not agree on what was sent: trying again does not help."""


@dataclass(frozen=True)
class Hello:
    """What a connection begins with.

    `taken`: how many members of the other side this side has. `origin`: number of its own oldest that it still holds.
    """

    session: str
    verb: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    taken: int = 0
    origin: int = 0
    keeper: str = ""  # the far end that is known from before
    inbox: Inbox = field(default_factory=Inbox)
    protocol: int = VERSION
    version: str = __version__

    def content(self) -> bytes:
        own = {"protocol": self.protocol, "version": self.version, "session": self.session, "keeper": self.keeper}
        counts = {"taken": self.taken, "from": self.origin, "inbox": asdict(self.inbox)}
        return dumps({**own, "verb": self.verb, "arguments": dict(self.arguments), **counts})

    @classmethod
    def read(cls, content: bytes | memoryview, where: str = "the near side") -> Hello:
        """Parse a hello; raise UsageFault where it is of another version, StreamBroken where it is none."""
        said = loads(HELLO, content, where)
        agree(said, where, "the far side", install(one_line(said.get("version"), 40)))
        arguments, verb = said.get("arguments"), said.get("verb")
        if not isinstance(arguments, dict) or not isinstance(verb, str):
            raise StreamBroken(f"{where}: expected a verb and its arguments in {HELLO}")
        session, keeper, version = _hex(said, "session", where), _text(said, "keeper", where), one_line(said.get("version"), 40)
        taken, origin = whole(said, "taken", HELLO, where), whole(said, "from", HELLO, where)
        return cls(session, verb, arguments, taken, origin, keeper, _inbox(said, where), VERSION, version)


@dataclass(frozen=True)
class Reply:
    """The far end's answer to a hello. `is_new`: it knows nothing of what the dialling side had from a far end before."""

    session: str
    keeper: str
    taken: int
    is_new: bool
    inbox: Inbox = field(default_factory=Inbox)
    version: str = __version__

    def content(self) -> bytes:
        own = {"protocol": VERSION, "version": self.version, "session": self.session, "keeper": self.keeper}
        return dumps({**own, "taken": self.taken, "new": self.is_new, "inbox": asdict(self.inbox)})

    @classmethod
    def read(cls, member: Member, where: str) -> Reply:
        """Parse the answer to a hello; raise what the far side refused with, or StreamBroken."""
        if member.name == REFUSED:
            raise refusal(member, where)
        if member.name != HELLO:
            raise StreamBroken(f"{where}: expected {HELLO}, found {member.name[:80]!r}")
        said = loads(HELLO, member.content, where)
        agree(said, where, "this side", install(__version__))
        session, keeper, version = _hex(said, "session", where), _text(said, "keeper", where), one_line(said.get("version"), 40)
        taken = whole(said, "taken", HELLO, where)
        return cls(session, keeper, taken, said.get("new") is True, _inbox(said, where), version)


@cache
def _header(name: str) -> memoryview:
    return wire.framed(name, [memoryview(bytes(wire.BLOCK))])[0]


def framed(name: str, content: bytes | memoryview) -> list[memoryview]:
    """Return a member of the link's own as it is on the wire; JSON of up to a block is filled up, so that headers are known."""
    if len(content) > wire.BLOCK or not name.endswith(".json"):
        return wire.framed(name, [memoryview(content)])
    return [_header(name), memoryview(bytes(content).ljust(wire.BLOCK))]


def new_session() -> str:
    return secrets.token_hex(_SESSION // 2)


def dumps(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said, allow_nan=False).encode()


def loads(name: str, content: bytes | memoryview, where: str) -> dict[str, Any]:
    """Parse a JSON object from the other side."""
    try:
        said = sidecar.loads(bytes(content))
    except (ValueError, RecursionError) as error:
        raise StreamBroken(f"{where}: {name} is not JSON ({str(error)[:80]})") from None
    if not isinstance(said, dict):
        raise StreamBroken(f"{where}: {name} is not a JSON object")
    return said


def whole(said: Mapping[str, Any], key: str, name: str, where: str) -> int:
    value = said.get(key)
    if type(value) is not int or not 0 <= value < MOST:
        raise StreamBroken(f"{where}: {name}: expected a whole number {key!r}, found {_shown(value)}")
    return value


def moment(said: Mapping[str, Any], key: str, name: str, where: str) -> float:
    value = said.get(key)
    seconds = _float(value) if type(value) in (int, float) else math.nan
    if not math.isfinite(seconds):
        raise StreamBroken(f"{where}: {name}: expected POSIX seconds {key!r}, found {_shown(value)}")
    return seconds


def install(version: str) -> str:
    """Return what installs a version where the far side is looked for, as a line for a shell there."""
    made = f"python3 -m venv ~/rtbids && ~/rtbids/bin/pip install rtbids=={version}"
    return f"{made} && mkdir -p ~/.local/bin && ln -sf ~/rtbids/bin/rtbids ~/.local/bin/"


def agree(said: Mapping[str, Any], where: str, own: str, remedy: str) -> None:
    """Raise UsageFault where the other side is of another version."""
    protocol, version = said.get("protocol"), one_line(said.get("version"), 40)
    if type(protocol) is not int:
        raise StreamBroken(f"{where}: expected the version of the protocol in {HELLO}, found {_shown(protocol)}")
    if protocol != VERSION or version != __version__:
        theirs, ours = f"rtbids {version} (protocol {one_line(protocol, 20)})", f"rtbids {__version__} (protocol {VERSION})"
        raise UsageFault(f"{where} has {theirs}, {own} {ours}", f"install the same on both; on the far side: {remedy}")


def refused(error: BaseException) -> bytes:
    """Return what tells the other side of an error, for REFUSED."""
    code = error.exit_code if isinstance(error, RtbidsError) else RtbidsError.exit_code
    hint = error.hint if isinstance(error, RtbidsError) else None
    return dumps({"code": code, "error": one_line(str(error)), "hint": hint and one_line(hint)})


def refusal(member: Member, where: str) -> RtbidsError:
    """Return the error that the other side tells of, of the same class as there."""
    said = loads(REFUSED, member.content, where)
    code, hint = said.get("code"), said.get("hint")
    kind = _BY_CODE.get(code, RtbidsError) if type(code) is int else RtbidsError
    return kind(f"{where}: {one_line(said.get('error'))}", one_line(hint) if hint else None)


def one_line(text: object, longest: int = _LONGEST_TEXT) -> str:
    """Return a text of the other side as one line that does nothing to a terminal."""
    return "".join(one if one.isprintable() else " " for one in str(text)[:longest])


def lost(where: str, why: str) -> ConnectionLost:
    return ConnectionLost(f"{where}: {why}")


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _hex(said: Mapping[str, Any], key: str, where: str) -> str:
    value = said.get(key)
    if not isinstance(value, str) or len(value) != _SESSION or not set(value) <= set("0123456789abcdef"):
        raise StreamBroken(f"{where}: expected {_SESSION} hex digits {key!r}, found {_shown(value)}")
    return value


def _text(said: Mapping[str, Any], key: str, where: str) -> str:
    value = said.get(key, "")
    if not isinstance(value, str) or len(value) > _SESSION:
        raise StreamBroken(f"{where}: expected a short text {key!r}, found {_shown(value)}")
    return value


def _inbox(said: Mapping[str, Any], where: str) -> Inbox:
    told = said.get("inbox")
    if not isinstance(told, dict):
        raise StreamBroken(f"{where}: expected the room that is there in {HELLO}, found {_shown(told)}")
    return Inbox(*(whole(told, one.name, HELLO, where) for one in fields(Inbox)))


def _shown(value: object) -> str:
    return one_line(repr(value), 80)
