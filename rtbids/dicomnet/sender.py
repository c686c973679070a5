"""The end of an association that sends files (C-STORE SCU)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import Any, TypeAlias

from rtbids.dicomnet import image, statuses
from rtbids.dicomnet.address import AE_TITLE, Address
from rtbids.dicomnet.association import SILENCE
from rtbids.dicomnet.caller import CONNECTING, Caller
from rtbids.dicomnet.image import Image
from rtbids.errors import BadData, ConnectionLost

_PIECES = 16  # that an image leaves in where it takes its time

Rest: TypeAlias = Callable[[float], object]  # called before each piece of an image with the share of it that has left


class NoRoom(ConnectionLost):
    """The receiver is out of resources (status 0xA7xx): later it may take the image."""


class Sender(Caller):
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
    offers
        Pairs of class and transfer syntax to offer, instead of those of `files` and MR.
    silence
        Seconds without an answer after which the receiver is taken for dead.

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
        offers: Sequence[tuple[str, str]] | None = None,
        silence: float = SILENCE,
    ) -> None:
        offered = image.offers(files) if offers is None else offers
        super().__init__(address, offered, calling=calling, tls=tls, silence=silence)

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
        if statuses.is_stored(status):
            return
        if statuses.is_full(status):
            raise NoRoom(f"{self.address} is out of resources (status 0x{status:04X})")
        raise BadData(f"{self.address} refused the image with {statuses.said(status)}")

    def cut(self, content: bytes, share: float = 0.5) -> None:
        """Send the first part of a DICOM file and end the connection in the middle of it, as a cable does that is pulled."""
        message = b"".join(map(_encoded, self._message(self.number(), self._agreed(content), self.longest)))
        connection = self._association.dul.socket.socket
        try:
            connection.sendall(message[: int(share * len(message))])
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            raise self.lost() from None
        self._association.join(CONNECTING)

    def _agreed(self, content: bytes) -> Image:
        """Return the image in a transfer syntax that was agreed on."""
        if not self.is_open:
            raise self.lost()
        if (file := image.agreed(content, list(self.contexts))) is not None:
            return file
        from pydicom.uid import UID

        found = image.taken_apart(content)
        raise BadData(f"{self.address} does not take {UID(found.sop_class).name} in {UID(found.syntax).name}")

    def _store(self, file: Image, rest: Rest | None) -> int:
        """Ask for the file to be stored; return the answer's status."""
        number = self.number()
        self._say(number, file, rest)
        return int(self.answer(number, "whether it stored the image").Status)

    def _say(self, number: int, file: Image, rest: Rest | None) -> None:
        if rest is None:
            self.say(self._message(number, file, self.longest))
            return
        piece = len(file.dataset) // (2 * _PIECES) * 2 + 1024  # even, as fragments have to be (PS3.8, annex E)
        parts = list(self._message(number, file, min(self.longest, piece)))
        for sent, part in enumerate(parts):
            rest(sent / len(parts))
            self.say([part])

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
        parts: Iterator[Any] = message.encode_msg(self.contexts[file.sop_class, file.syntax], longest)
        return parts


def _encoded(part: Any) -> bytes:
    from pynetdicom.pdu import P_DATA_TF

    pdu = P_DATA_TF()
    pdu.from_primitive(part)
    return pdu.encode()
