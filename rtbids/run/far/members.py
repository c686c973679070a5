"""Members of a link that carry what a run and its scripts say to each other: ``seat/N/WHAT.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from rtbids.errors import StreamBroken
from rtbids.stream.wire import Member

Fields: TypeAlias = Mapping[str, Any]
SAY = "say"  # a line of the channel, either way: number, message, content
START, LET_GO, END, CLOSE = "start", "let-go", "end", "close"  # what a launcher is told: number, seconds
FILES = "files"  # what a script needs: number, files (their names and hashes)
LACKING = "lacking"  # which of them are not there: number, lacking (hashes); they come as members ``file/HASH``
HANGUP = "hangup"  # one end of the channel is closed, either way: number
FAREWELL = "farewell"  # how a process that was let go has ended: number, code
RESOURCES = "far/resources.json"  # those of the scripts' machine
_NAME = re.compile(r"seat/(\d{1,6})/([a-z-]+)\.json")


@dataclass(frozen=True)
class Said:
    """One member: which seat it is for, and the number of the process there, counted by the run."""

    seat: int
    what: str
    number: int
    fields: Fields


def name(seat: int, what: str) -> str:
    return f"seat/{seat}/{what}.json"


def encoded(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def said(member: Member) -> Said | None:
    """Return what a member says; None for one of another kind."""
    found = _NAME.fullmatch(member.name)
    if found is None:
        return None
    fields = decoded(member)
    number = fields.get("number", 0)
    if not isinstance(number, int):
        raise StreamBroken(f"{member.name}: expected the number of a process, found {number!r}")
    return Said(int(found[1]), found[2], number, fields)


def decoded(member: Member) -> dict[str, Any]:
    """Return the object that a member holds."""
    try:
        fields = json.loads(bytes(member.content))
    except (ValueError, RecursionError):
        raise StreamBroken(f"{member.name}: expected JSON") from None
    if not isinstance(fields, dict):
        raise StreamBroken(f"{member.name}: expected an object")
    return fields
