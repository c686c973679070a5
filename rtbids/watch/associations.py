"""Associations as pynetdicom serves them, told to a `Receiver` in its own words.

Who may associate, which images are taken in which transfer syntax, and what was under way when an association broke off.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import socketserver
import ssl
import struct
import threading
from dataclasses import dataclass
from typing import Any, Protocol

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.presentation import build_context
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import Verification, uid_to_service_class  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from rtbids import dicomnet
from rtbids.dicomnet import Address
from rtbids.errors import CannotWrite, UsageFault
from rtbids.watch import bounds, part10

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
logger = logging.getLogger("rtbids")

TAKEN = (*dicomnet.MR, "1.2.840.10008.5.1.4.1.1.4.3", "1.2.840.10008.5.1.4.1.1.4.4")  # colour and legacy converted too
STORE = 0x0001  # command field of a request to store (PS3.7, E.1)
NOT_SUPPORTED = 0x0122  # status of a store: SOP class not supported (PS3.7, C.5.5)
MOST = 25  # associations at a time, and half of the connections: a scanner needs one to four, and each costs a little


class Receiver(Protocol):
    """Who is told what comes."""

    def store(self, content: bytes, received: float) -> int:
        """Take one file, and return the status (PS3.4, B.2.3) that its sender is answered."""
        ...

    def unreadable(self, why: str) -> int:
        """Hear of an image that is no file to be stored; return the status that its sender is answered."""
        ...

    def refuse(self, sop_class: str) -> None:
        """Hear of an image of a class that is not taken."""
        ...

    def broken_off(self, *, in_image: bool) -> None:
        """Hear of an association that ended without being released, in the middle of an image or between two."""
        ...

    def turned_away(self, why: str) -> None:
        """Hear of an association that was not accepted."""
        ...

    def moment(self) -> float:
        """Return the time (POSIX seconds)."""
        ...


@dataclass(frozen=True)
class Guests:
    """Who may associate: the AE titles and networks of senders, None for any."""

    aets: frozenset[str] | None = None
    hosts: frozenset[Network] | None = None

    def admit(self, host: str) -> bool:
        return self.hosts is None or any(ipaddress.ip_address(host) in network for network in self.hosts)


class _Server(ThreadedAssociationServer):
    """pynetdicom's server, but that one slow handshake holds up nobody, and strangers are turned away at the door."""

    daemon_threads = True
    guests: Guests
    receiver: Receiver

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; its TLS handshake comes with the first read, in the association's own thread."""
        connection, address = self.socket.accept()  # type: ignore[union-attr]
        if self.ssl_context is not None:
            connection.settimeout(dicomnet.SILENCE)
            connection = self.ssl_context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        why = "its address is not among those allowed"
        if self.guests.admit(client_address[0]):
            if len(self.active_associations) < 2 * MOST:
                return True
            why = f"{2 * MOST} connections are open already"
        self.receiver.turned_away(why)
        logger.debug("turned away: %s", client_address[0])
        return False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a peer that vanished while it was being set up is no news, and a traceback no message."""

    def service_actions(self) -> None:
        """Leave the collection of garbage to Python, which knows when: a full one in a run costs milliseconds."""

    def shutdown(self) -> None:
        socketserver.BaseServer.shutdown(self)  # pynetdicom's own works for servers that its AE has started
        self.server_close()


class Listener:
    """A storage SCP that listens from the moment it is made until `close`."""

    def __init__(
        self,
        address: Address,
        receiver: Receiver,
        guests: Guests,
        tls: ssl.SSLContext | None,
        longest: int = bounds.LONGEST_IMAGE,
    ) -> None:
        self._application = dicomnet.entity(address.aet)
        self._application.require_called_aet = True
        self._application.require_calling_aet = sorted(guests.aets or ())
        self._application.maximum_associations = MOST
        handlers = _Handlers(receiver, longest)
        self._server: _Server = _bound(self._application, address, handlers.bound(), tls)
        self._server.guests, self._server.receiver = guests, receiver
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="storage-scp", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more associations, and abort those that are open."""
        if not self._thread.is_alive():
            return
        self._server.shutdown()
        for association in self._server.active_associations:
            association.abort() if association.is_established else bounds.hang_up(association)
        self._thread.join()


class _Handlers:
    """What pynetdicom calls, from the threads of its associations."""

    def __init__(self, receiver: Receiver, longest: int) -> None:
        self._receiver = receiver
        self._longest = longest
        self._complete: dict[int, float] = {}  # association → when its message was complete

    def bound(self) -> list[Any]:
        return [
            (evt.EVT_CONN_OPEN, self.opened),
            (evt.EVT_PDU_RECV, self.arrived),
            (evt.EVT_REQUESTED, self.requested),
            (evt.EVT_REJECTED, self.rejected),
            (evt.EVT_DIMSE_RECV, self.complete),
            (evt.EVT_C_STORE, self.store),
            (evt.EVT_ACSE_RECV, self.ended),
            (evt.EVT_CONN_CLOSE, self.closed),
        ]

    def opened(self, event: Any) -> None:
        dicomnet.be_prompt(event)
        bounds.bound_pdus(event)
        bounds.end_at_nonsense(event)
        event.assoc.dul.daemon = True  # a sender that stays must not keep the process from ending

    def arrived(self, event: Any) -> None:
        bounds.bound_message(event, self._longest)

    def requested(self, event: Any) -> None:
        """Agree to every storage class that is proposed: a store that is refused is heard of, one never asked for is not."""
        acceptor = event.assoc.acceptor
        supported = {str(context.abstract_syntax): context for context in acceptor.supported_contexts}
        for context in event.assoc.requestor.primitive.presentation_context_definition_list:
            proposed = str(context.abstract_syntax)
            if proposed not in supported and uid_to_service_class(proposed) is StorageServiceClass:
                supported[proposed] = build_context(proposed, list(_readable()))
        acceptor.supported_contexts = list(supported.values())

    def rejected(self, event: Any) -> None:
        request = event.assoc.requestor.primitive
        if request.called_ae_title != event.assoc.acceptor.ae_title.strip():
            why = "it called an AE title that is not ours"
        elif event.assoc.ae.require_calling_aet and request.calling_ae_title not in event.assoc.ae.require_calling_aet:
            why = "its AE title is not among those allowed"
        else:
            why = f"{MOST} are open already"
        self._receiver.turned_away(why)
        logger.debug("turned away: %s, who called %s", request.calling_ae_title, request.called_ae_title)

    def complete(self, event: Any) -> None:
        self._complete[id(event.assoc)] = self._receiver.moment()
        asked = event.message.command_set
        if asked.get("CommandField") == STORE and not asked.get("AffectedSOPInstanceUID"):
            bounds.hang_up(event.assoc)  # pynetdicom would not answer, and the sender would wait

    def store(self, event: Any) -> int:
        request = event.request
        sop_class = str(request.AffectedSOPClassUID)
        if sop_class not in TAKEN:
            self._receiver.refuse(UID(sop_class).name)
            return NOT_SUPPORTED
        if isinstance(request.DataSet, bounds.Overlong):
            return self._receiver.unreadable(f"longer than {self._longest} bytes")
        try:
            head = part10.header(sop_class, str(request.AffectedSOPInstanceUID), str(event.context.transfer_syntax))
        except (UnicodeEncodeError, struct.error):
            return self._receiver.unreadable("its SOP Instance UID is none")
        return self._receiver.store(head + request.DataSet.getbuffer(), self._complete[id(event.assoc)])

    def ended(self, event: Any) -> None:
        """Hear of an abort, or of a connection that is lost, which pynetdicom tells alike."""
        from pynetdicom.pdu_primitives import A_ABORT, A_P_ABORT

        if isinstance(event.primitive, A_ABORT | A_P_ABORT) and event.assoc.is_established:
            self._receiver.broken_off(in_image=event.assoc.dimse.message is not None)

    def closed(self, event: Any) -> None:
        self._complete.pop(id(event.assoc), None)
        bounds.end_unheard(event)


def networks(texts: tuple[str, ...]) -> frozenset[Network]:
    """Read addresses, networks (``10.1.0.0/16``) and names of hosts, as they are now.

    Raises
    ------
    UsageFault
        It is none of these, or a name without an address.
    """
    return frozenset(network for text in texts for network in _networks(text))


def _networks(text: str) -> list[Network]:
    try:
        return [ipaddress.ip_network(text, strict=False)]
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(text, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UsageFault(f"expected an address, a network such as 10.1.0.0/16 or a host's name, found {text!r}") from None
    return [ipaddress.ip_network(str(entry[4][0]).partition("%")[0]) for entry in found]


def _readable() -> tuple[str, ...]:
    """Return the transfer syntaxes that can be read here, the most wanted first: a sender asked for others will convert."""
    return dicomnet.UNCOMPRESSED + tuple(uid for uid in dicomnet.COMPRESSED if _is_readable(UID(uid)))


def _is_readable(syntax: UID) -> bool:
    return bool(syntax.is_deflated) or bool(get_decoder(syntax).is_available)


def _bound(application: Any, address: Address, handlers: list[Any], tls: ssl.SSLContext | None) -> Any:
    syntaxes = list(_readable())
    contexts = [build_context(sop_class, syntaxes) for sop_class in TAKEN] + [build_context(Verification)]
    where = address.place
    try:
        return application.make_server(
            (address.host, address.port), contexts=contexts, ssl_context=tls, evt_handlers=handlers, server_class=_Server
        )
    except PermissionError:
        raise CannotWrite(f"cannot listen on {where}: ports below 1024 are the administrator's", "DICOM's is 11112") from None
    except OSError as error:
        raise CannotWrite(f"cannot listen on {where}: {(error.strerror or str(error)).lower()}") from None
