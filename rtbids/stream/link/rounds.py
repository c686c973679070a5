"""The thread that reads: one connection after another, until the link is over."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from rtbids.errors import ConnectionLost, StreamBroken
from rtbids.stream.link.connection import Connection
from rtbids.stream.link.hearing import Ended, Hearing
from rtbids.stream.link.protocol import OutOfStep
from rtbids.stream.link.shared import OnState, Shared
from rtbids.stream.link.window import Inbox
from rtbids.stream.wire import Member

LEAVING = 2.0  # seconds for an orderly end of a connection
_MOST_GARBLED = 3  # connections in a row that break off with garbage before they bring a member
logger = logging.getLogger("rtbids")


@dataclass(frozen=True)
class Met:
    """A connection on which both have said hello. `number`: the first member of ours that the other side has not got."""

    connection: Connection
    members: Iterator[Member]
    number: int
    inbox: Inbox  # of the other side


class Rounds(ABC):
    """How one end comes by its connections, and what it does about their ends."""

    _says_return = False  # one end does

    def __init__(self, shared: Shared, on_state: OnState | None) -> None:
        self.shared = shared
        self._on_state = on_state
        self._garbled = 0
        self.was_up = False
        self._lost_at: float | None = None  # when it was said that there is no connection, monotonic seconds

    @abstractmethod
    def meet(self) -> Met | None:
        """Return the next connection, None where the link is over; ConnectionLost where there may be one another time."""

    @abstractmethod
    def pause(self) -> None:
        """Wait before the next `meet`."""

    def run(self) -> None:
        """Use connections until the link is over."""
        while not self.shared.is_over:
            try:
                if (met := self.meet()) is None:
                    return
                self._use(met)
                self._stop(None)
            except ConnectionLost as error:
                self._go_down(error)
                self.pause()
            except BaseException as error:  # the application is told in its own thread
                self._stop(error.error if isinstance(error, Ended) else error)

    def _use(self, met: Met) -> None:
        connection, shared = met.connection, self.shared
        taken = shared.arrivals.taken
        if self._says_return and self._lost_at is not None:
            logger.warning("%s: connected again after %.1f s", shared.where, time.monotonic() - self._lost_at)
            self._lost_at = None
        with shared.changed:
            self.was_up = True
            shared.went_up(connection, met.number, met.inbox)
        self._tell()
        try:
            Hearing(shared, connection).take(met.members)
            self._be_left()
        except OutOfStep as error:
            self._say_why(connection, error)
            raise
        except StreamBroken as error:
            self._garbled = 1 if shared.arrivals.taken > taken else self._garbled + 1
            if self._garbled >= _MOST_GARBLED:
                raise
            why = ConnectionLost(str(error))
            connection.cut(why)
            raise why from error
        except ConnectionLost as error:
            connection.cut(error)
            raise
        finally:
            connection.cut(ConnectionLost(f"{shared.where}: the connection is over"))

    def _be_left(self) -> None:
        """The other side has gone for good: in order, or before its end."""
        shared = self.shared
        with shared.changed:
            shared.was_left = True
            if shared.outgoing.is_closing and not shared.is_complete:
                shared.end(shared.closed())
            if not shared.outgoing.heard_end:
                raise Ended(ConnectionLost(f"{shared.where} has stopped before its end"))
            shared.end(None if shared.knows_end else ConnectionLost(f"{shared.where} has closed the link"))

    def _say_why(self, connection: Connection, error: OutOfStep) -> None:
        shared = self.shared
        with shared.changed:
            shared.outgoing.is_closing, shared.outgoing.fault = True, error
            shared.due.notify_all()
            shared.changed.wait_for(lambda: connection.has_left or connection.problem is not None, LEAVING)

    def _stop(self, error: BaseException | None) -> None:
        with self.shared.changed:
            self.shared.end(error)
            self.shared.went_down(str(error or ""))
        self._tell()

    def _go_down(self, error: ConnectionLost) -> None:
        shared = self.shared
        with shared.changed:
            was_up = shared.connection is not None
            has_left = shared.outgoing.is_closing or (shared.connection is not None and shared.connection.has_left)
            why = str(shared.connection.problem or error) if shared.connection is not None else str(error)
            if shared.is_done or has_left:
                shared.end(None if shared.is_complete else shared.closed())
            shared.went_down(why)
            is_over = shared.is_over
        if was_up and not is_over:
            self._lost_at = time.monotonic()
            logger.warning("%s", why)
        self._tell()

    def _tell(self) -> None:
        if self._on_state is not None:
            with self.shared.changed:
                state = self.shared.state()
            self._on_state(state)
