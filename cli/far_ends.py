"""The near ends of streams over SSH: dialled by the command, where a password can be typed, then told what to do there."""

from __future__ import annotations

import atexit
import getpass
import hashlib
import json
import os
import platform
import select
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtbids.cli.asking import asker
from rtbids.errors import ConnectionLost, StreamBroken, UsageFault
from rtbids.stream.branch import WhenFull
from rtbids.stream.link import Link, Spool
from rtbids.stream.link.spool import MEMORY, lasting
from rtbids.stream.ssh.address import Address
from rtbids.stream.ssh.settings import SshOptions

READY = 40.0  # seconds for the far side to be ready: it may have to end an earlier stream, or to read what it has


@dataclass(frozen=True)
class Held:
    """What is held of what the far side has not made safe yet; see the options of the same names."""

    memory: int = MEMORY
    disk: int = 0
    folder: Path | None = None

    def spool(self, when_full: WhenFull) -> Spool:
        return lasting(self.memory, self.disk, self.folder, when_full)


@dataclass(frozen=True)
class Far:
    """How far sides are reached, and what is held for them; `typed` are passwords, each of which is asked for once."""

    ssh: SshOptions = field(default_factory=SshOptions)
    held: Held = field(default_factory=Held)
    typed: dict[str, str] = field(default_factory=dict, repr=False, compare=False)


def address(text: str) -> Address:
    """Read ``ssh://host/PATH``; raise UsageFault where it names no place."""
    found = Address.parse(text)
    if found.path in ("", "/"):
        raise UsageFault(f"{text}: expected a place on {found.host} as well", "ssh://user@host/PATH")
    return found


def dial(verb: str, place: Address, far: Far, arguments: Mapping[str, Any], when_full: WhenFull = "block") -> Link:
    """Return a link to what does `verb` on the far side; raise what stands in the way."""
    from rtbids.stream.ssh import dial as ssh

    told = {"path": place.path, "began": time.time(), **arguments}
    link = ssh.dial(place, far.ssh, verb, told, asker(), far.typed, spool=far.held.spool(when_full))
    atexit.register(link.close)  # however this command ends: what is there would wait for it to come back
    return link


def sender(source: str) -> str:
    """Return what tells a sender from others when it is started again: this user of this machine, and his source."""
    there = os.path.realpath(source) if Path(source).exists() else source
    return hashlib.sha256(f"{platform.node()} {getpass.getuser()} {there}".encode()).hexdigest()[:16]


def ready(link: Link, name: str, timeout: float = READY) -> Mapping[str, Any]:
    """Wait for the far side's first word, which says that it has begun; raise what it refused with, the link closed."""
    try:
        return _first_word(link, name, timeout)
    except BaseException:
        link.close()
        raise


def _first_word(link: Link, name: str, timeout: float) -> Mapping[str, Any]:
    until = time.monotonic() + timeout
    while (arrived := link.take()) is None:
        left = until - time.monotonic()
        if left <= 0:
            why = link.state.problem or "what was started there has not answered: try it by hand, ssh HOST rtbids far --verbs"
            raise ConnectionLost(f"{link.where}: not ready after {timeout:g} s", why)
        select.select([link], [], [], min(left, 1.0))
    link.settle(arrived.number)
    if arrived.member.name != name:
        raise StreamBroken(f"{link.where}: expected {name}, found {arrived.member.name[:80]!r}")
    found = json.loads(bytes(arrived.member.content))
    return found if isinstance(found, dict) else {}


def says(link: Link) -> list[str]:
    """Tell how a link stands, in words."""
    state = link.state
    is_missed = not state.is_up and not link.is_over
    found = [f"no connection for {time.time() - state.since:.0f} s ({state.problem})"] if is_missed else []
    if waiting := state.waiting_members - state.marked:
        found.append(f"{waiting} not safe yet ({state.waiting_bytes / 1e6:.1f} MB)")
    found += [f"{state.dropped} dropped"] if state.dropped else []
    found += [f"{state.cuts} cut{'s' if state.cuts > 1 else ''}"] if state.cuts else []
    found += [f"round trip {1000 * state.round_trip:.0f} ms"] if state.round_trip is not None and state.is_up else []
    return found
