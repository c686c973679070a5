"""The ends of feedback and responses on the network, as people write them: ``udp://host:port``, ``tcp://host:port``."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, replace
from typing import Any

from rtbids.errors import CannotWrite, ConnectionLost, UsageFault

LOOPBACK = "127.0.0.1"
_ADDRESS = re.compile(r"(udp|tcp)://(\[[0-9A-Fa-f:.%\w]+\]|[^:/@\[\]\s]*):(\d+)/?")
_SEND_BUFFER = 1 << 16  # bytes: what waits for a client that does not read waits with us, where it is counted


@dataclass(frozen=True)
class Address:
    """A host and a port, and ``udp`` or ``tcp``. Without a host it is this machine alone."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse(text: str) -> Address:
    """Read an address.

    Examples
    --------
    >>> parse("tcp://:5555")
    Address(scheme='tcp', host='127.0.0.1', port=5555)
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise UsageFault(f"{text}: expected udp://host:port or tcp://host:port")
    scheme, host, port = found.groups()
    if int(port) > 65535:
        raise UsageFault(f"{text}: expected a port up to 65535, found {port}")
    return Address(scheme, host.strip("[]") or LOOPBACK, int(port))


def connected(address: Address) -> socket.socket:
    """Return a UDP socket whose datagrams go to `address`."""
    if not address.port:
        raise UsageFault(f"{address}: expected the port that the reader listens on, found 0")
    family, place = _resolved(address)
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    try:
        udp.connect(place)
    except OSError as error:
        udp.close()
        raise ConnectionLost(f"cannot send to {address}: {(error.strerror or str(error)).lower()}") from None
    return udp


def bound(address: Address) -> tuple[socket.socket, Address]:
    """Return a socket that listens on `address`, and the address with the port that it has been given where it was 0."""
    family, place = _resolved(address)
    kind = socket.SOCK_STREAM if address.scheme == "tcp" else socket.SOCK_DGRAM
    listening = socket.socket(family, kind)
    try:
        if address.scheme == "tcp":  # not for UDP, where two would share a port and each get some
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # its clients' sockets inherit it
        listening.bind(place)
        if address.scheme == "tcp":
            listening.listen(128)
    except PermissionError:
        listening.close()
        raise CannotWrite(f"cannot listen on {address}: ports below 1024 are the administrator's") from None
    except OSError as error:
        listening.close()
        raise CannotWrite(f"cannot listen on {address}: {(error.strerror or str(error)).lower()}") from None
    return listening, replace(address, port=listening.getsockname()[1])


def is_open_to_others(address: Address) -> bool:
    """Say whether more than this machine reaches what listens there."""
    try:
        return not ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return address.host != "localhost"


def _resolved(address: Address) -> tuple[int, Any]:
    kind = socket.SOCK_STREAM if address.scheme == "tcp" else socket.SOCK_DGRAM
    try:
        family, _, _, _, place = socket.getaddrinfo(address.host, address.port, type=kind)[0]
    except (OSError, UnicodeError) as error:
        why = (getattr(error, "strerror", None) or str(error)).lower()
        raise ConnectionLost(f"{address}: no machine of that name ({why})") from None
    return family, place
