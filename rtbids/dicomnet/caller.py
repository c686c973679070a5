"""The end of an association that asks (SCU): how it begins and ends, and how a question gets its answer."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Iterable, Sequence
from typing import Any, Self

from rtbids.dicomnet import answers, endings
from rtbids.dicomnet.address import AE_TITLE, Address
from rtbids.dicomnet.association import MAXIMUM_PDU, SILENCE, be_prompt, entity
from rtbids.dicomnet.tls import fault
from rtbids.errors import ConnectionLost

CONNECTING = 5.0  # seconds in which a host must have taken the connection
_FOR_GOOD = 1  # result of a rejection (PS3.8, 9.3.4): permanent, and not for now
_HINT = "its list of known AE titles may lack ours, or its own is another"


class NotWanted(ConnectionLost):
    """The receiver does not want us, and trying again will not help."""


class MayNotQuery(NotWanted):
    """The receiver does not let us ask what it has, whatever else it lets us do."""


class Caller:
    """One association to a receiver.

    Parameters
    ----------
    address
        The receiver and its AE title.
    offers
        Pairs of class and transfer syntax, each a presentation context of its own; 128 at the most.
    calling
        Our own AE title.
    tls
        Encrypts the connection.
    silence
        Seconds without an answer after which the receiver is taken for dead.

    Raises
    ------
    ConnectionLost
        On entering: nobody answers, or the receiver does not want us.
    """

    def __init__(
        self,
        address: Address,
        offers: Sequence[tuple[str, str]],
        *,
        calling: str = AE_TITLE,
        tls: ssl.SSLContext | None = None,
        silence: float = SILENCE,
    ) -> None:
        self.address = address
        self.contexts: dict[tuple[str, str], int] = {}  # class and transfer syntax → presentation context
        self._offers, self._calling, self._tls, self._silence = offers, calling, tls, silence
        self._association: Any = None
        self._numbers = itertools.cycle(range(1, 65536))

    def __enter__(self) -> Self:
        from pynetdicom import evt

        application = entity(self._calling)
        application.connection_timeout = CONNECTING
        application.acse_timeout = application.dimse_timeout = self._silence
        for sop_class, syntax in self._offers:
            application.add_requested_context(sop_class, syntax)
        where = self.address
        try:
            self._association = application.associate(
                where.host,
                where.port,
                ae_title=where.aet,
                max_pdu=MAXIMUM_PDU,
                tls_args=self._tls and (self._tls, where.host),
                evt_handlers=[
                    (evt.EVT_CONN_OPEN, be_prompt),
                    (evt.EVT_CONN_OPEN, answers.keep),
                    (evt.EVT_CONN_OPEN, endings.end_at_nonsense),
                    (evt.EVT_CONN_CLOSE, answers.close),
                ],
            )
        except OSError as error:  # a host that has no address
            raise ConnectionLost(f"{where}: {error.strerror or error}") from None
        if not self._association.is_established:
            raise _refusal(self._association, where, self._tls)
        for context in self._association.accepted_contexts:
            self.contexts[str(context.abstract_syntax), str(context.transfer_syntax[0])] = int(context.context_id)
        return self

    def __exit__(self, failure: type[BaseException] | None, *rest: object) -> None:
        if not self._association.is_established:
            endings.hang_up(self._association)
        elif failure is None:
            endings.release(self._association)
        else:  # perhaps in the middle of an image, whose answer nobody awaits
            endings.abort(self._association)

    @property
    def is_open(self) -> bool:
        """Whether neither side has ended it."""
        return bool(self._association is not None and self._association.is_established)

    @property
    def longest(self) -> int:
        """Bytes of a PDU that the receiver takes at the most."""
        return int(self._association.dimse.maximum_pdu_size) or MAXIMUM_PDU

    def number(self) -> int:
        """Return the number of the next question."""
        return next(self._numbers)

    def say(self, parts: Iterable[Any]) -> None:
        """Send the parts of a message; raise ConnectionLost where the association has ended."""
        if not self.is_open:
            raise self.lost()
        for part in parts:
            self._association.dul.send_pdu(part)

    def answer(self, number: int, question: str) -> Any:
        """Wait for the next answer to a question and return it; it has a status.

        Raises
        ------
        ConnectionLost
            The association has ended, or the answer did not come.
        """
        try:
            said = answers.answer_to(self._association, number)
        except TimeoutError:
            endings.abort(self._association)
            seconds = self._association.dimse_timeout
            raise ConnectionLost(f"{self.address} has not answered for {seconds:g} s {question}") from None
        except ConnectionError:
            raise self.lost() from None
        if said.Status is None:
            endings.abort(self._association)
            raise ConnectionLost(f"{self.address} answered without a status")
        return said

    def lost(self) -> ConnectionLost:
        return ConnectionLost(f"{self.address} ended the association before it had answered")


def _refusal(association: Any, address: Address, tls: ssl.SSLContext | None) -> ConnectionLost:
    if association.is_rejected:
        answer = association.acceptor.primitive
        kind = NotWanted if answer.result == _FOR_GOOD else ConnectionLost
        return kind(f"{address} refused the association: {answer.reason_str}", _HINT)
    if association.rejected_contexts:
        return NotWanted(f"{address} takes none of the images that we offer", "is it a receiver of MR images?")
    if tls is not None and (why := fault(address.host, address.port, tls)):
        return NotWanted(f"{address}: no encrypted connection: {why}", "are certificate and authority the right ones?")
    return ConnectionLost(f"{address}: no DICOM receiver answers there")
