"""The end of an association that sends files (C-STORE SCU)."""

from __future__ import annotations

import itertools
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import Any, TypeAlias

from rtbids.dicomnet import answers, endings, image
from rtbids.dicomnet.address import AE_TITLE, Address
from rtbids.dicomnet.association import MAXIMUM_PDU, be_prompt, entity
from rtbids.dicomnet.image import Image
from rtbids.errors import BadData, ConnectionLost

CONNECTING = 5.0  # seconds in which a host must have taken the connection
_PIECES = 16  # that an image leaves in where it takes its time
_FOR_GOOD = 1  # result of a rejection (PS3.8, 9.3.4): permanent, and not for now
_HINT = "its list of known AE titles may lack ours, or its own is another"

Rest: TypeAlias = Callable[[float], object]  # called before each piece of an image with the share of it that has left


class NotWanted(ConnectionLost):
    """The receiver does not want us, and trying again will not help."""


class NoRoom(ConnectionLost):
    """The receiver is out of resources (status 0xA7xx): later it may take the image."""


class Sender:
    """One association to a receiver, over which files go one after the other.

    Parameters
    ----------
    address
        The receiver and its AE title.
    calling
        Our own AE title.
    files
        Examples of what will be sent: their classes and transfer syntaxes are offered, besides those of MR.
    tls
        Encrypts the connection.

    Raises
    ------
    ConnectionLost
        On entering: nobody answers, or the receiver does not want us.

    Examples
    --------
    >>> with Sender(parse("dicom://RTBIDS@localhost:11112")) as sender:  # doctest: +SKIP
    ...     sender.send(Path("image.dcm").read_bytes())
    """

    def __init__(
        self,
        address: Address,
        *,
        calling: str = AE_TITLE,
        files: Sequence[bytes] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._address, self._calling, self._tls = address, calling, tls
        self._offers = image.offers(files)
        self._association: Any = None
        self._contexts: dict[tuple[str, str], int] = {}  # class and transfer syntax → presentation context
        self._numbers = itertools.cycle(range(1, 65536))

    def __enter__(self) -> Sender:
        from pynetdicom import evt

        application = entity(self._calling)
        application.connection_timeout = CONNECTING
        for sop_class, syntax in self._offers:
            application.add_requested_context(sop_class, syntax)
        where = self._address
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
            raise _refusal(self._association, where)
        for context in self._association.accepted_contexts:
            self._contexts[str(context.abstract_syntax), str(context.transfer_syntax[0])] = int(context.context_id)
        return self

    def __exit__(self, failure: type[BaseException] | None, *rest: object) -> None:
        if not self._association.is_established:
            endings.hang_up(self._association)
        elif failure is None:
            endings.release(self._association)
        else:  # perhaps in the middle of an image, whose answer nobody awaits
            endings.abort(self._association)

    def send(self, content: bytes, rest: Rest | None = None) -> None:
        """Send one DICOM file; return when the receiver has said that it has it.

        The dataset leaves byte for byte, but where the receiver has not agreed to its transfer syntax, in one that it has.

        Raises
        ------
        BadData
            It is not a DICOM file, or the receiver does not take it.
        NoRoom
            The receiver cannot take it now.
        ConnectionLost
            The association has ended, or the answer did not come.
        """
        file = self._agreed(content)
        status = self._store(file, rest)
        if status >> 12 == 0xB or status == 0:  # a warning (0xBxxx) is a success: it was stored
            return
        if status >> 8 == 0xA7:
            raise NoRoom(f"{self._address} is out of resources (status 0x{status:04X})")
        raise BadData(f"{self._address} refused the image with status 0x{status:04X}")

    def cut(self, content: bytes, share: float = 0.5) -> None:
        """Send the first part of a DICOM file and end the connection in the middle of it, as a cable does that is pulled."""
        message = b"".join(map(_encoded, self._message(next(self._numbers), self._agreed(content), self._longest)))
        connection = self._association.dul.socket.socket
        try:
            connection.sendall(message[: int(share * len(message))])
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            raise self._lost() from None
        self._association.join(CONNECTING)

    def _agreed(self, content: bytes) -> Image:
        """Return the image in a transfer syntax that was agreed on."""
        if not self._association.is_established:
            raise self._lost()
        if (file := image.agreed(content, list(self._contexts))) is not None:
            return file
        from pydicom.uid import UID

        found = image.taken_apart(content)
        raise BadData(f"{self._address} does not take {UID(found.sop_class).name} in {UID(found.syntax).name}")

    def _store(self, file: Image, rest: Rest | None) -> int:
        """Ask for the file to be stored; return the answer's status."""
        number = next(self._numbers)
        self._say(number, file, rest)
        try:
            status = answers.status_of(self._association, number)
        except TimeoutError:
            endings.abort(self._association)
            seconds = self._association.dimse_timeout
            raise ConnectionLost(f"{self._address} has not answered for {seconds:g} s whether it stored the image") from None
        except ConnectionError:
            raise self._lost() from None
        if status is None:
            endings.abort(self._association)
            raise ConnectionLost(f"{self._address} answered without a status")
        return status

    def _say(self, number: int, file: Image, rest: Rest | None) -> None:
        if rest is None:
            for part in self._message(number, file, self._longest):
                self._association.dul.send_pdu(part)
            return
        piece = len(file.dataset) // (2 * _PIECES) * 2 + 1024  # even, as fragments have to be (PS3.8, annex E)
        parts = list(self._message(number, file, min(self._longest, piece)))
        for sent, part in enumerate(parts):
            rest(sent / len(parts))
            self._association.dul.send_pdu(part)

    @property
    def _longest(self) -> int:
        """Bytes of a PDU that the receiver takes at the most."""
        return int(self._association.dimse.maximum_pdu_size) or MAXIMUM_PDU

    def _message(self, number: int, file: Image, longest: int) -> Iterator[Any]:
        """Give the request to store a file in parts, each a PDU of its own."""
        from pynetdicom.dimse_messages import C_STORE_RQ
        from pynetdicom.dimse_primitives import C_STORE

        request = C_STORE()
        request.MessageID = number
        request.AffectedSOPClassUID = file.sop_class
        request.AffectedSOPInstanceUID = file.instance
        request.Priority = 0  # medium
        request.DataSet = BytesIO(file.dataset)
        message = C_STORE_RQ()
        message.primitive_to_message(request)
        parts: Iterator[Any] = message.encode_msg(self._contexts[file.sop_class, file.syntax], longest)
        return parts

    def _lost(self) -> ConnectionLost:
        return ConnectionLost(f"{self._address} ended the association before it had answered")


def _encoded(part: Any) -> bytes:
    from pynetdicom.pdu import P_DATA_TF

    pdu = P_DATA_TF()
    pdu.from_primitive(part)
    return pdu.encode()


def _refusal(association: Any, address: Address) -> ConnectionLost:
    if association.is_rejected:
        answer = association.acceptor.primitive
        kind = NotWanted if answer.result == _FOR_GOOD else ConnectionLost
        return kind(f"{address} refused the association: {answer.reason_str}", _HINT)
    if association.rejected_contexts:
        return NotWanted(f"{address} takes none of the images that we offer", "is it a receiver of MR images?")
    return ConnectionLost(f"{address}: no DICOM receiver answers there")
