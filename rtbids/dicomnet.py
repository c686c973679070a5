"""DICOM's network, both ends: addresses, sockets that answer at once, and a sender of files (C-STORE).

A store is a question and an answer. With Nagle's algorithm, which every DICOM library leaves on, the answer's last packet waits
for an acknowledgement that the other side delays by 40 ms: ``TCP_NODELAY`` on both ends takes a file from 45 to 2 ms.
"""

from __future__ import annotations

import itertools
import logging
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from rtbids.errors import BadData, ConnectionLost, InputMissing, UsageFault

AE_TITLE = "RTBIDS"
PORT = 11112  # registered for DICOM; 104 is root's
MR = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1")  # MR and Enhanced MR Image Storage
UNCOMPRESSED = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2")  # explicit, implicit, big endian
COMPRESSED = (
    "1.2.840.10008.1.2.1.99",  # deflated
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.4.57",  # JPEG lossless
    "1.2.840.10008.1.2.4.70",  # JPEG lossless, first order: the usual one
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
)
MAXIMUM_PDU = 1 << 17  # bytes; what dcmtk sends at the most
SILENCE = 60.0  # seconds in the middle of a message after which the other side is taken for dead
_ADDRESS = re.compile(r"(dicom(?:-scp)?)://(?:([^@/]*)@)?(\[[0-9A-Fa-f:.]+\]|[^:/@\[\]]*)(?::(\d+))?/?")


@dataclass(frozen=True)
class Address:
    """Where an application entity listens."""

    aet: str
    host: str
    port: int


def parse(text: str) -> Address:
    """Read ``dicom-scp://[AET@]host[:port]``, where we listen, or ``dicom://AET@host[:port]``, where another does.

    Without a host it is this machine alone (127.0.0.1), without a port 11112.

    Raises
    ------
    UsageFault
        It is neither, or its AE title or port cannot be.

    Examples
    --------
    >>> parse("dicom-scp://RTBIDS@0.0.0.0:11112")
    Address(aet='RTBIDS', host='0.0.0.0', port=11112)
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise UsageFault(f"{text}: expected dicom-scp://[AET@]host:port or dicom://AET@host:port")
    scheme, title, host, port = found.groups()
    if scheme == "dicom" and not title:
        raise UsageFault(f"{text}: expected the receiver's AE title, as in dicom://AET@host:port")
    number = PORT if port is None else int(port)
    if number > 65535:
        raise UsageFault(f"{text}: expected a port up to 65535, found {port}")
    return Address(ae_title(AE_TITLE if title is None else title), (host or "127.0.0.1").strip("[]"), number)


def ae_title(text: str) -> str:
    """Return an AE title without the spaces around it; raise UsageFault where it is none (PS3.5, table 6.2-1)."""
    title = text.strip(" ")
    if not 0 < len(title) <= 16 or "\\" in title or not title.isascii() or not title.isprintable():
        raise UsageFault(f"expected an AE title of 1 to 16 characters, found {text!r}")
    return title


def server_tls(certificate: Path | None, key: Path | None, ca: Path | None) -> ssl.SSLContext | None:
    """Return how we encrypt as the one who is called, None where there is no certificate; with `ca` callers need one too.

    Raises
    ------
    InputMissing
        One of the files is not there.
    UsageFault
        They do not belong together, or are not in PEM.
    """
    if certificate is None:
        if key or ca:
            raise UsageFault("--tls-key and --tls-ca need --tls-cert")
        return None
    for path in filter(None, (certificate, key, ca)):
        if not path.is_file():
            raise InputMissing(f"{path}: no such file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # or OpenSSL would ask at the terminal
        if ca is not None:
            context.load_verify_locations(ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise UsageFault(f"{certificate}: expected a certificate and its key in PEM ({reason})") from None
    return context


def be_prompt(event: Any) -> None:
    """Set up the socket of a new association (bind it to ``EVT_CONN_OPEN``).

    What is written leaves at once, a peer that has vanished is noticed, and one that falls silent in a message does not hold
    the association for ever.
    """
    connection = event.assoc.dul.socket.socket
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.settimeout(SILENCE)


def entity(title: str) -> Any:
    """Return a pynetdicom ``AE`` that keeps what passes through it to itself: its log would name patients."""
    import pynetdicom

    pynetdicom._config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
    application = pynetdicom.AE(title)
    application.maximum_pdu_size = MAXIMUM_PDU
    application.dimse_timeout = SILENCE
    application.network_timeout = None  # an association may lie idle between runs; keep-alive notices who is gone
    return application


@dataclass(frozen=True)
class _File:
    """A DICOM file taken apart: what it is, and its dataset as it is encoded."""

    sop_class: str
    instance: str
    syntax: str
    dataset: memoryview


class Sender:
    """One association to a receiver, over which files go one after the other (C-STORE SCU).

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
        self._offers = _offers(files)
        self._association: Any = None
        self._numbers = itertools.cycle(range(1, 65536))

    def __enter__(self) -> Sender:
        from pynetdicom import evt

        application = entity(self._calling)
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
                evt_handlers=[(evt.EVT_CONN_OPEN, be_prompt)],
            )
        except OSError as error:  # a host that has no address
            raise ConnectionLost(f"{_name(where)}: {error.strerror or error}") from None
        if not self._association.is_established:
            raise _refusal(self._association, where)
        return self

    def __exit__(self, *failure: object) -> None:
        if self._association.is_established:
            self._association.release()

    def send(self, content: bytes) -> None:
        """Send one DICOM file, its dataset byte for byte; return when the receiver has said that it has it.

        Raises
        ------
        BadData
            It is not a DICOM file, or the receiver does not take it.
        ConnectionLost
            The association has ended, or the answer did not come.
        """
        file = _taken_apart(content)
        status = self._store(file, self._context(file))
        if status >> 12 == 0xB or status == 0:  # a warning (0xBxxx) is a success: it was stored
            return
        raise BadData(f"{_name(self._address)} refused the image with status 0x{status:04X}")

    def _context(self, file: _File) -> int:
        """Return the presentation context that was agreed for such a file."""
        if not self._association.is_established:
            raise self._lost()
        for context in self._association.accepted_contexts:
            if context.abstract_syntax == file.sop_class and context.transfer_syntax[0] == file.syntax:
                return int(context.context_id)
        from pydicom.uid import UID

        kind = f"{UID(file.sop_class).name} in {UID(file.syntax).name}"
        raise BadData(f"{_name(self._address)} does not take {kind}")

    def _store(self, file: _File, context: int) -> int:
        """Ask for the file to be stored; return the answer's status."""
        from pynetdicom.dimse_primitives import C_STORE

        request = C_STORE()
        request.MessageID = next(self._numbers)
        request.AffectedSOPClassUID = file.sop_class
        request.AffectedSOPInstanceUID = file.instance
        request.Priority = 0  # medium
        request.DataSet = BytesIO(file.dataset)
        association = self._association
        association._reactor_checkpoint.clear()  # as in its send_c_store, or its own thread may take the answer
        try:
            association.dimse.send_msg(request, context)
            _, answer = association.dimse.get_msg(block=True)
        finally:
            association._reactor_checkpoint.set()
        if answer is None or answer.Status is None:
            association.abort()
            raise self._lost()
        return int(answer.Status)

    def _lost(self) -> ConnectionLost:
        return ConnectionLost(f"{_name(self._address)} ended the association before it had answered")


def _offers(files: Sequence[bytes]) -> list[tuple[str, str]]:
    """Return pairs of class and transfer syntax, each a presentation context of its own, or the receiver would pick one."""
    examples: Iterator[tuple[str, str]] = ((file.sop_class, file.syntax) for file in map(_taken_apart, files))
    usual = itertools.product(MR, UNCOMPRESSED + COMPRESSED)
    return list(dict.fromkeys([*examples, *usual]))[:128]  # PS3.8, 7.1.1.13: context IDs are the odd numbers up to 255


def _taken_apart(content: bytes) -> _File:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    end = 144 + int.from_bytes(content[140:144], "little")  # of the meta information, whose length comes first (PS3.10, 7.1)
    try:
        meta = dcmread(BytesIO(content[:end])).file_meta
        sop_class, instance, syntax = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID
    except (InvalidDicomError, AttributeError, EOFError):
        raise BadData("expected a DICOM file with its meta information, found something else") from None
    return _File(str(sop_class), str(instance), str(syntax), memoryview(content)[end:])


def _refusal(association: Any, address: Address) -> ConnectionLost:
    if association.is_rejected:
        answer = association.acceptor.primitive
        return ConnectionLost(f"{_name(address)} refused the association: {answer.reason_str}", _HINT)
    return ConnectionLost(f"{_name(address)}: no DICOM receiver answers there")


def _name(address: Address) -> str:
    return f"dicom://{address.aet}@{address.host}:{address.port}"


_HINT = "its list of known AE titles may lack ours, or its own is another"
