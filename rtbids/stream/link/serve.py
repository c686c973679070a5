"""The far end: takes what connections are attached, the newest counts."""

from __future__ import annotations

import secrets

from rtbids.clock import CLOCK, Clock
from rtbids.errors import ConnectionLost, RtbidsError, UsageFault
from rtbids.stream.link import protocol
from rtbids.stream.link.connection import Connection, refuse
from rtbids.stream.link.link import Link
from rtbids.stream.link.protocol import Hello, OutOfStep, Reply
from rtbids.stream.link.rounds import Met, Rounds
from rtbids.stream.link.shared import OnState, Shared
from rtbids.stream.link.spool import Spool
from rtbids.stream.link.terms import FAR, Terms
from rtbids.stream.link.transport import Transport


class FarLink(Link):
    """The far end of a link."""

    def __init__(self, shared: Shared, serving: Serving) -> None:
        self._serving = serving
        super().__init__(shared, serving)

    def attach(self, transport: Transport, hello: Hello) -> None:
        """Go on with a new connection, whose hello was heard; the one before is closed, and what does not fit is refused."""
        self._serving.attach(transport, hello)


def serve(
    hello: Hello,
    *,
    spool: Spool | None = None,
    where: str = "the near side",
    on_state: OnState | None = None,
    terms: Terms = FAR,
    clock: Clock = CLOCK,
) -> FarLink:
    """Return the far end of the session that begins with `hello`, to which its connection is still to be attached.

    Numbers go on from where that hello stands: a far side that was lost and is here anew begins in the middle.
    """
    spool = Spool() if spool is None else spool
    spool.begin(hello.taken)
    shared = Shared(spool, where, terms, clock, hello.origin)
    return FarLink(shared, Serving(shared, on_state, hello))


class Serving(Rounds):
    def __init__(self, shared: Shared, on_state: OnState | None, first: Hello) -> None:
        super().__init__(shared, on_state)
        self._first = first
        self._keeper = secrets.token_hex(8)
        self._offer: tuple[Transport, Hello] | None = None

    def attach(self, transport: Transport, hello: Hello) -> None:
        """Hand a connection to the thread that reads."""
        shared = self.shared
        with shared.changed:
            before, replaced, self._offer = shared.opened, self._offer, (transport, hello)
            shared.changed.notify_all()
        if replaced is not None:
            replaced[0].close()
        if before is not None:  # its hello may still be to be answered
            before.cut(ConnectionLost(f"{shared.where}: a new connection has come"))
        if shared.is_over:
            self._refuse_offer()

    def run(self) -> None:
        super().run()
        self._refuse_offer()

    def _refuse_offer(self) -> None:
        with self.shared.changed:
            offer, self._offer = self._offer, None
        if offer is not None:
            refuse(offer[0], _why_over(self.shared))

    def pause(self) -> None:
        """Wait for nothing: the next connection comes by itself."""

    def meet(self) -> Met | None:
        """Wait for a connection and answer its hello."""
        shared = self.shared
        with shared.changed:
            shared.changed.wait_for(lambda: self._offer is not None or shared.is_over)
            if self._offer is None or shared.is_over:
                return None
            (transport, hello), self._offer = self._offer, None
            connection = Connection(transport, shared.where, shared.terms)
            shared.open(connection)
            shared.is_answering = True
        try:
            return self._answer(connection, hello)
        except OutOfStep as error:
            refuse(transport, error)
            raise ConnectionLost(str(error)) from error

    def _answer(self, connection: Connection, hello: Hello) -> Met:
        shared = self.shared
        with shared.changed:
            self._demand_fit(hello)
            is_new = hello.keeper != self._keeper
            reply = Reply(hello.session, self._keeper, shared.arrivals.taken, is_new, shared.arrivals.inbox())
            shared.far_version = hello.version
        connection.say(protocol.HELLO, reply.content())
        connection.is_met()
        return Met(connection, connection.members(), hello.taken, hello.inbox)

    def _demand_fit(self, hello: Hello) -> None:
        taken, where, first = self.shared.arrivals.taken, self.shared.where, self._first
        if hello.session != first.session:
            raise OutOfStep(f"{where} asks for another session")
        has_heard_us = hello.keeper == self._keeper
        if not has_heard_us and (hello.keeper, hello.taken, hello.origin) != (first.keeper, first.taken, first.origin):
            raise OutOfStep(f"the session of {where} went on elsewhere: what is here is out of date")
        if hello.origin > taken:
            raise OutOfStep(f"{where} goes on from member {hello.origin}, but the last that came is {taken - 1}: some are lost")
        self.shared.demand_held(hello.taken)


def _why_over(shared: Shared) -> RtbidsError:
    error = shared.error
    return error if isinstance(error, RtbidsError) else UsageFault(f"this session is over ({error or 'in order'})")
