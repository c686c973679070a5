"""Encrypted associations."""

from __future__ import annotations

import ssl
from pathlib import Path

from rtbids.errors import InputMissing, UsageFault


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
