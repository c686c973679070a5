"""A scanner's end of the DICOM network: images are stored one after the other, over as many associations as that takes."""

from __future__ import annotations

import itertools
import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rtbids.clock import CLOCK, Clock
from rtbids.dicomnet import Address, NotWanted, Sender
from rtbids.dicomnet.image import cut_short
from rtbids.dicomnet.sender import Rest
from rtbids.errors import BadData, ConnectionLost
from rtbids.plural import counted
from rtbids.replay.arrival import Pace
from rtbids.replay.plan import Delivery
from rtbids.wakeup import Wakeup

logger = logging.getLogger("rtbids")

PATIENCE = 10.0  # seconds
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 1.0  # seconds between two attempts
_STALL = 0.25  # share of an image that has left before it stalls


class Modality:
    """Stores images at a receiver; one that is not there, has no room or vanishes is tried again for a while.

    Parameters
    ----------
    patience
        Seconds for which an image is tried again.
    stop
        Ends the waiting at once.

    Attributes
    ----------
    stored
        How many images the receiver has said that it has.
    refused
        Names of those that it would not take.
    """

    def __init__(
        self,
        address: Address,
        *,
        patience: float = PATIENCE,
        tls: ssl.SSLContext | None = None,
        stop: Wakeup | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        self.stored = 0
        self.refused: list[str] = []
        self._address, self._tls = address, tls
        self._patience, self._stop, self._clock = patience, stop, clock
        self._sender: Sender | None = None

    def __enter__(self) -> Modality:
        self._persist(lambda: None)
        return self

    def __exit__(self, *failure: object) -> None:
        if self._sender is not None:
            self._sender.__exit__(*failure)  # type: ignore[arg-type]

    def receive(self, name: str, content: bytes, delivery: Delivery, pace: Pace) -> None:
        """Let an image leave in its state; one that is refused is named, and the next one may be sent.

        Raises
        ------
        ConnectionLost
            For longer than can be waited; the message says what was stored and what was not.
        """
        try:
            with self._naming(name):
                self._leave(name, content, delivery, pace)
        except BadData as error:
            self.refused.append(name)
            logger.warning("%s: not stored: %s", name, error)

    def _leave(self, name: str, content: bytes, delivery: Delivery, pace: Pace) -> None:
        if delivery.state == "truncated":
            self._persist(lambda: self._connected.cut(content))
            self._sender = None
            logger.info("%s: the connection was cut in the middle of it, as asked for", name)
            return
        if delivery.state == "short":
            content = cut_short(content)
        if self._persist(lambda: self._connected.send(content, _rest(delivery, pace))):
            self.stored += 1

    @property
    def _connected(self) -> Sender:
        if self._sender is None:
            self._sender = Sender(self._address, tls=self._tls).__enter__()
        return self._sender

    def _persist(self, attempt: Callable[[], None]) -> bool:
        """Attempt it until it succeeds or patience ends; say whether it has succeeded before a stop."""
        begun = self._clock.now()
        for wait in _waits():
            try:
                self._connected  # noqa: B018 (connects)
                attempt()
            except NotWanted:
                raise
            except ConnectionLost as error:
                self._drop()
                if self._clock.now() + wait - begun > self._patience:
                    raise
                if wait:
                    self._say_once(wait, error)
                if self._stopped_while_waiting(wait):
                    return False
            else:
                return True
        raise AssertionError("there is always one more wait")

    def _say_once(self, wait: float, error: ConnectionLost) -> None:
        if wait == _FIRST_WAIT:
            logger.warning("%s; trying again for %g s", error, self._patience)

    def _stopped_while_waiting(self, seconds: float) -> bool:
        if self._stop is not None:
            return self._stop.wait(seconds)
        self._clock.wait_until(self._clock.now() + seconds)
        return False

    def _drop(self) -> None:
        """Forget an association that is of no use any more."""
        if self._sender is not None:
            self._sender.__exit__(ConnectionLost)
            self._sender = None

    @contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        """Say of a connection that is lost for good what had come through."""
        try:
            yield
        except ConnectionLost as error:
            story = f"{counted(self.stored, 'file')} stored, {name} and all after it not"
            raise ConnectionLost(f"{error}: {story}", error.hint) from error


def _waits() -> Iterator[float]:
    """Give the seconds before each new attempt; none before the first, for an association may be ended while it lies idle."""
    yield 0.0
    for doubled in itertools.count():
        yield min(_FIRST_WAIT * 2**doubled, _LONGEST_WAIT)


def _rest(delivery: Delivery, pace: Pace) -> Rest | None:
    """Return how an image takes its time: piece by piece, or a stall after the first quarter."""
    if delivery.state == "preallocated":
        return lambda share: share >= _STALL and pace.until(delivery.moment + delivery.span)
    if delivery.span:
        return lambda share: pace.until(delivery.moment + delivery.span * share)
    return None
