"""Where an application entity listens, as people write it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rtbids.errors import UsageFault

AE_TITLE = "RTBIDS"
PORT = 11112  # registered for DICOM; 104 is root's
_ADDRESS = re.compile(r"(dicom(?:-scp)?)://(?:([^@/]*)@)?(\[[0-9A-Fa-f:.]+\]|[^:/@\[\]]*)(?::(\d+))?/?")


@dataclass(frozen=True)
class Address:
    """Where an application entity listens."""

    aet: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"dicom://{self.aet}@{self.place}"

    @property
    def place(self) -> str:
        """Host and port as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


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
