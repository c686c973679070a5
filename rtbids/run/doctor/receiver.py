"""A DICOM receiver: whether the port can be listened on, and who may send; we ask ourselves by a C-ECHO."""

from __future__ import annotations

import ipaddress
import ssl
import time
from contextlib import closing
from dataclasses import dataclass, replace

from rtbids import dicomnet
from rtbids.clock import CLOCK
from rtbids.dicomnet import Address
from rtbids.errors import ConnectionLost
from rtbids.run.doctor.row import Row, cannot, look, ok
from rtbids.run.doctor.spread import span
from rtbids.watch.associations import Guests, Listener
from rtbids.watch.door import OUT_OF_RESOURCES, Door
from rtbids.watch.faults import Faults

VERIFICATION = "1.2.840.10008.1.1"
PATIENCE = 3.0  # seconds
EVERYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Reception:
    """`echo` is what a C-ECHO to ourselves took, None where it was not answered or, `is_tried` false, could not be tried."""

    aet: str
    host: str
    port: int
    is_encrypted: bool
    aets: tuple[str, ...] | None
    hosts: tuple[str, ...] | None
    is_tried: bool
    echo: float | None


class _Passing(Door):
    """Takes nothing: a scanner that happens to send meanwhile is told to try again."""

    def store(self, content: bytes, received: float) -> int:
        return OUT_OF_RESOURCES

    def say_once(self, text: str) -> None:
        """Say nothing: it is the run that is to."""


def measure(address: Address, guests: Guests, tls: ssl.SSLContext | None = None) -> Reception:
    """Listen for a moment; raise CannotWrite where that cannot be."""
    with closing(Listener(address, _Passing(Faults(None), CLOCK), guests, tls)) as listener:
        here = replace(address, host=_own(address.host), port=listener.port)
        is_tried = tls is None and guests.admit(here.host)
        echo = _echo(here, min(guests.aets or {dicomnet.AE_TITLE})) if is_tried else None
    return Reception(
        address.aet,
        address.host,
        listener.port,
        tls is not None,
        None if guests.aets is None else tuple(sorted(guests.aets)),
        None if guests.hosts is None else tuple(sorted(map(str, guests.hosts))),
        is_tried,
        echo,
    )


def _own(host: str) -> str:
    """Return where this machine reaches what listens there."""
    if host in EVERYWHERE:
        return "127.0.0.1" if host == EVERYWHERE[0] else "::1"
    return host


def _echo(address: Address, calling: str) -> float | None:
    """Return how long an association and a C-ECHO on it took."""
    application = dicomnet.entity(calling)
    application.connection_timeout = application.acse_timeout = application.dimse_timeout = PATIENCE
    application.add_requested_context(VERIFICATION)
    begun = time.perf_counter()
    association = application.associate(address.host, address.port, ae_title=address.aet)
    if not association.is_established:
        return None
    status = association.send_c_echo()
    took = time.perf_counter() - begun
    association.release()
    return took if status and status.Status == 0 else None


def judge(found: Reception) -> tuple[Row, ...]:
    return (_port(found), _senders(found))


def _port(found: Reception) -> Row:
    text = f"{found.aet} can listen on {found.host}:{found.port}{', with TLS' if found.is_encrypted else ''}"
    if not found.is_tried:
        why = "TLS wants a sender's certificate" if found.is_encrypted else "this machine is not among those that may send"
        return ok("port", f"{text}; no C-ECHO was tried ({why})")
    if found.echo is None:
        why = "a C-ECHO to ourselves was not answered"
        return cannot("port", text, why, "does a firewall stand in between?", code=ConnectionLost.exit_code)
    return ok("port", f"{text}; a C-ECHO to ourselves was answered in {span(found.echo)}")


def _senders(found: Reception) -> Row:
    who = [f"AE title {', '.join(found.aets)}"] if found.aets is not None else []
    who += [f"address {', '.join(found.hosts)}"] if found.hosts is not None else []
    if _is_loopback(found.host):
        do = f"listen on all of it: dicom-scp://{found.aet}@0.0.0.0:{found.port}"
        return look("senders", f"this machine only ({found.host})", "no scanner reaches it", do)
    if not who:
        why = "whoever reaches this port may send images into the run"
        return look("senders", "everybody", why, "name the scanner: --allow-host ADDRESS, --allow-aet AET")
    return ok("senders", " and ".join(who))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
