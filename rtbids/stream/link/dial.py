"""The dialling end: connects, says hello, and dials again with back-off after every cut."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rtbids.clock import CLOCK, Clock
from rtbids.errors import ConnectionLost, RtbidsError, StreamBroken
from rtbids.stream.link import protocol
from rtbids.stream.link.connection import Connection
from rtbids.stream.link.link import Link
from rtbids.stream.link.protocol import Hello, OutOfStep, Reply
from rtbids.stream.link.rounds import Met, Rounds
from rtbids.stream.link.shared import OnState, Shared
from rtbids.stream.link.spool import Spool
from rtbids.stream.link.terms import NEAR, Terms
from rtbids.stream.link.transport import Connect, Transport

STEADY = 10.0  # seconds after which a far side that began anew is taken to stay
logger = logging.getLogger("rtbids")


def dial(
    connect: Connect,
    verb: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    spool: Spool | None = None,
    where: str = "the far side",
    on_state: OnState | None = None,
    terms: Terms = NEAR,
    clock: Clock = CLOCK,
) -> Link:
    """Return a link at once; it connects by itself, now and after every cut.

    What `connect` raises as ConnectionLost is tried again; any other error is raised by the link's methods and ends it.
    `on_state` is called by a thread of the link when it went up, down or is over, and must not wait.
    """
    shared = Shared(Spool() if spool is None else spool, where, terms, clock)
    hello = Hello(protocol.new_session(), verb, arguments or {})
    return Link(shared, Dialling(shared, on_state, connect, hello))


class Dialling(Rounds):
    _says_return = True

    def __init__(self, shared: Shared, on_state: OnState | None, connect: Connect, hello: Hello) -> None:
        super().__init__(shared, on_state)
        self._connect = connect
        self._hello = hello
        self._failures = 0
        self._is_steady_after = math.inf

    def meet(self) -> Met | None:
        """Connect and say hello."""
        shared = self.shared
        connection = Connection(self._dial(), shared.where, shared.terms)
        shared.open(connection)
        try:
            return self._greet(connection)
        except RtbidsError as error:
            connection.cut(error)
            if isinstance(error, StreamBroken) and not isinstance(error, OutOfStep) and self.was_up:
                raise ConnectionLost(str(error), error.hint) from error  # it was there: what answers now may pass
            raise

    def _dial(self) -> Transport:
        try:
            return self._connect()
        except OSError as error:
            raise ConnectionLost(f"{self.shared.where}: {error.strerror or error}") from error

    def _greet(self, connection: Connection) -> Met:
        shared = self.shared
        with shared.changed:
            arrivals = shared.arrivals
            hello = replace(self._hello, taken=arrivals.taken, origin=shared.spool.oldest, inbox=arrivals.inbox())
            hello = replace(hello, arguments={**hello.arguments, **shared.anew})
        connection.say(protocol.HELLO, hello.content())
        members = connection.members()
        if (first := next(members, None)) is None:
            raise StreamBroken(f"{shared.where}: ended without an answer")
        reply = Reply.read(first, shared.where)
        connection.is_met()
        self._agree(hello, reply)
        return Met(connection, members, reply.taken, reply.inbox)

    def _agree(self, hello: Hello, reply: Reply) -> None:
        shared = self.shared
        with shared.changed:
            if reply.session != hello.session:
                raise OutOfStep(f"{shared.where} answers for another session")
            shared.demand_held(reply.taken)
            if reply.is_new and hello.keeper:
                shared.renewed += 1
                shared.outgoing.heard_end = shared.knows_end = False
                logger.warning("%s knows nothing of this session any more and begins anew", shared.where)
            self._hello = replace(self._hello, keeper=reply.keeper)
            shared.far_version = reply.version
        self._is_steady_after = time.monotonic() + (STEADY if reply.is_new else 0.0)

    def pause(self) -> None:
        """Wait as the back-off says, or until the link is closed."""
        self._failures = 1 if time.monotonic() >= self._is_steady_after else self._failures + 1
        self._is_steady_after = math.inf
        with self.shared.changed:
            self.shared.changed.wait_for(lambda: self.shared.is_over, self.shared.terms.delay(self._failures))
