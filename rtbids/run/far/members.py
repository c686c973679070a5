"""Members of a link that carry what a run and its scripts say to each other: ``seat/N/WHAT.json``.

What travels beside a line is in the same member, ``seat/N/WHAT.bin``: 16 digits with the length of the JSON, the JSON,
the content.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from rtbids.errors import RtbidsError, StreamBroken
from rtbids.run.process.channel import Message
from rtbids.stream.wire import Member

Fields: TypeAlias = Mapping[str, Any]
SAY = "say"  # a line of the channel, either way: number, message, content
START, LET_GO, END, CLOSE = "start", "let-go", "end", "close"  # what a launcher is told: number, seconds
FILES = "files"  # what a script needs, and its first line: number, parcel (counted from 1), files (a manifest), message
WANT = "want"  # a piece of one of them: number, parcel, sha256, at, end (bytes)
FILE = "file"  # such a piece, as content: the fields that it was wanted by
CHANGED = "changed"  # they are not what was announced: number, parcel
HANGUP = "hangup"  # one end of the channel is closed, either way: number
FAREWELL = "farewell"  # how a process that was let go has ended: number, code
RESOURCES = "far/resources.json"  # those of the scripts' machine
PRINTED = "far/printed.txt"  # what scripts have written on standard error and output
_NAME = re.compile(r"seat/(\d{1,6})/([a-z-]+)\.(json|bin)")
_LENGTH = 16


@dataclass(frozen=True)
class Said:
    """One member: which seat it is for, and the number of the process there, counted by the run."""

    seat: int
    what: str
    number: int
    fields: Fields
    along: memoryview | None = None


def fault(error: RtbidsError) -> Message:
    """Return the line of a script that cannot be loaded."""
    return {"say": "fault", "during": "load", "code": error.exit_code, "error": str(error), "hint": error.hint}


def name(seat: int, what: str) -> str:
    return f"seat/{seat}/{what}.json"


def encoded(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def with_content(seat: int, what: str, fields: bytes, content: memoryview) -> tuple[str, bytes, memoryview]:
    """Return name and parts of a member that has a content too."""
    return f"seat/{seat}/{what}.bin", f"{len(fields):0{_LENGTH}d}".encode() + fields, content


def said(member: Member) -> Said | None:
    """Return what a member says; None for one of another kind."""
    found = _NAME.fullmatch(member.name)
    if found is None:
        return None
    head, along = (member.content, None) if found[3] == "json" else _parts(member)
    fields = _object(member.name, head)
    number = fields.get("number", 0)
    if not isinstance(number, int):
        raise StreamBroken(f"{member.name}: expected the number of a process, found {number!r}")
    return Said(int(found[1]), found[2], number, fields, along)


def _parts(member: Member) -> tuple[memoryview, memoryview]:
    digits = bytes(member.content[:_LENGTH])
    if len(digits) < _LENGTH or not digits.isdigit():
        raise StreamBroken(f"{member.name}: expected a length")
    end = _LENGTH + int(digits)
    return member.content[_LENGTH:end], member.content[end:]


def decoded(member: Member) -> dict[str, Any]:
    """Return the object that a member holds."""
    return _object(member.name, member.content)


def _object(name: str, content: memoryview) -> dict[str, Any]:
    try:
        fields = json.loads(bytes(content))
    except (ValueError, RecursionError):
        raise StreamBroken(f"{name}: expected JSON") from None
    if not isinstance(fields, dict):
        raise StreamBroken(f"{name}: expected an object")
    return fields
