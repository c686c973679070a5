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
    return FarLink(shared, Serving(shared, on_state, hello.session))


class Serving(Rounds):
    def __init__(self, shared: Shared, on_state: OnState | None, session: str) -> None:
        super().__init__(shared, on_state)
        self._session = session
        self._keeper = secrets.token_hex(8)
        self._offer: tuple[Transport, Hello] | None = None

    def attach(self, transport: Transport, hello: Hello) -> None:
        """Hand a connection to the thread that reads."""
        shared = self.shared
        with shared.changed:
            if not shared.is_over:
                replaced, self._offer = self._offer, (transport, hello)
                if shared.connection is not None:
                    shared.connection.cut(ConnectionLost(f"{shared.where}: a new connection has come"))
                shared.changed.notify_all()
        if shared.is_over:
            refuse(transport, _why_over(shared))
        elif replaced is not None:
            replaced[0].close()

    def pause(self) -> None:
        """Wait for nothing: the next connection comes by itself."""

    def meet(self) -> Met | None:
        """Wait for a connection and answer its hello."""
        shared = self.shared
        with shared.changed:
            shared.changed.wait_for(lambda: self._offer is not None or shared.is_over)
            offer, self._offer = self._offer, None
        if offer is None:
            return None
        transport, hello = offer
        connection = Connection(transport, shared.where, shared.terms)
        shared.open(connection)
        try:
            return self._answer(connection, hello)
        except OutOfStep as error:
            refuse(transport, error)
            raise ConnectionLost(str(error)) from error

    def _answer(self, connection: Connection, hello: Hello) -> Met:
        shared = self.shared
        with shared.changed:
            self._demand_fit(hello)
            is_new, codecs = hello.keeper != self._keeper, tuple(shared.packer.known)
            reply = Reply(self._session, self._keeper, shared.arrivals.taken, shared.spool.oldest, is_new, codecs)
            shared.far_version = hello.version
            shared.packer.agree(hello.codecs)
        connection.say(protocol.HELLO, reply.content())
        connection.is_met()
        return Met(connection, connection.members(), hello.taken)

    def _demand_fit(self, hello: Hello) -> None:
        taken, where = self.shared.arrivals.taken, self.shared.where
        if hello.session != self._session:
            raise OutOfStep(f"{where} asks for another session")
        if hello.origin > taken:
            raise OutOfStep(f"{where} goes on from member {hello.origin}, but the last that came is {taken - 1}: some are lost")
        self.shared.demand_held(hello.taken)


def _why_over(shared: Shared) -> RtbidsError:
    error = shared.error
    return error if isinstance(error, RtbidsError) else UsageFault(f"this session is over ({error or 'in order'})")
