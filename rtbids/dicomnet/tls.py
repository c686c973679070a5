"""Encrypted associations."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from pathlib import Path

from rtbids.errors import InputMissing, UsageFault

PATIENCE = 5.0  # seconds for the look at why a connection failed


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
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _present(context, certificate, key)
    if ca is not None:
        _trust(context, ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_tls(certificate: Path | None = None, key: Path | None = None, ca: Path | None = None) -> ssl.SSLContext:
    """Return how we encrypt as the one who calls: the other side's certificate is always verified, and its host's name.

    Parameters
    ----------
    certificate, key
        Our own, for a receiver who wants to see it.
    ca
        The authorities who are trusted, instead of the system's.

    Raises
    ------
    InputMissing, UsageFault
        As `server_tls` does.
    """
    context = ssl.create_default_context() if ca is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is not None:
        _trust(context, ca)
    if certificate is not None:
        _present(context, certificate, key)
    elif key is not None:
        raise UsageFault("a private key needs its certificate")
    return context


def fault(host: str, port: int, context: ssl.SSLContext) -> str | None:
    """Say why a host with which no connection came about will not speak to us encrypted; None where that is not the reason."""
    with suppress(OSError), socket.create_connection((host, port), PATIENCE) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=host) as encrypted:
                encrypted.recv(1)  # with TLS 1.3, what the other side thinks of our certificate comes after the handshake
        except ssl.SSLError as error:
            return why(error)
    return None


def why(error: ssl.SSLError) -> str:
    """Say in words what was wrong with an encrypted connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted ({error.verify_message})"
    said = (error.reason or str(error)).replace("_", " ").lower()
    if "alert" in said and ("certificate" in said or "unknown ca" in said):
        return f"it wants a certificate of ours that it trusts ({said})"
    return said


def _present(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Have a certificate of our own."""
    _there(certificate, key)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # or OpenSSL would ask at the terminal
    except (OSError, ValueError) as error:
        raise UsageFault(f"{certificate}: expected a certificate and its key in PEM ({_reason(error)})") from None


def _trust(context: ssl.SSLContext, ca: Path) -> None:
    _there(ca)
    try:
        context.load_verify_locations(ca)
    except (OSError, ValueError) as error:
        raise UsageFault(f"{ca}: expected certificates of authorities in PEM ({_reason(error)})") from None


def _there(*paths: Path | None) -> None:
    for path in filter(None, paths):
        if not path.is_file():
            raise InputMissing(f"{path}: no such file")


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
