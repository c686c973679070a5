"""A link over SSH: connected by the thread that asks, where a password can be typed, and after a cut by the link itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rtbids.errors import ConnectionLost, NeedsPerson
from rtbids.stream import link
from rtbids.stream.ssh.address import Address
from rtbids.stream.ssh.channel import Channel
from rtbids.stream.ssh.connect import connect
from rtbids.stream.ssh.keys import Ask, Secrets
from rtbids.stream.ssh.settings import SshOptions

HOLD, LONGEST_HOLD = 15.0, 240.0  # seconds: who asks a server that refuses him five times in ten minutes is often locked out


class Dialler:
    """Connects and starts the far side, again and again; what was typed once is not asked for again."""

    def __init__(
        self, address: Address, options: SshOptions, ask: Ask | None = None, typed: dict[str, str] | None = None
    ) -> None:
        self._address = address
        self._options = options
        self._secrets = Secrets(ask, typed)
        self._ready: Channel | None = None
        self._last: Channel | None = None
        self._was_there = False
        self._refused: ConnectionLost | None = None  # which holds until a moment, each time a longer one
        self._hold, self._held_until = HOLD, 0.0

    def prepare(self) -> None:
        """Connect now, for the first call; raise what stands in the way."""
        self._ready = self._connect()

    def __call__(self) -> Channel:
        ready, self._ready = self._ready, None
        return ready or self._connect()

    def _connect(self) -> Channel:
        was_there = self._was_there = self._was_there or (self._last is not None and self._last.has_begun)
        if self._refused is not None and time.monotonic() < self._held_until:
            raise self._refused
        try:
            connection = connect(self._address, self._options, self._secrets)
        except NeedsPerson as error:
            if was_there:  # it let this user in: it may be starting, without homes or whom it asks for users
                raise self._held_off(error) from error
            raise
        self._refused, self._hold = None, HOLD
        self._last = connection.run(self._options.remote_command, was_there)
        self._secrets.close()
        return self._last

    def _held_off(self, error: NeedsPerson) -> ConnectionLost:
        """Keep from asking once more too soon; return what is said meanwhile."""
        self._held_until = time.monotonic() + self._hold
        self._hold = min(LONGEST_HOLD, 4 * self._hold)
        self._refused = ConnectionLost(str(error), error.hint)
        return self._refused


def dial(
    address: Address,
    options: SshOptions,
    verb: str,
    arguments: Mapping[str, Any] | None = None,
    ask: Ask | None = None,
    typed: dict[str, str] | None = None,
    **terms: Any,
) -> link.Link:
    """Return a link to what does `verb` on the far side, once connected; `terms` are those of `rtbids.stream.link.dial`.

    Links that share what was `typed` ask for a password of the same login once.
    """
    dialler = Dialler(address, options, ask, typed)
    dialler.prepare()
    return link.dial(dialler, verb, arguments, where=address.host, **terms)
