"""Who we are at a destination: passwords and tokens from the environment or from files of the owner's, never from a URL."""

from __future__ import annotations

import base64
import netrc
import os
import stat
from pathlib import Path

from rtbids.errors import InputMissing, UsageFault
from rtbids.send.destinations import Access

PASSWORD = "RTBIDS_SEND_PASSWORD"  # of the user whom a URL names
_BEARER = "bearer"  # a login that says that the password is a token

Login = tuple[str, str]  # name and secret


def authorization(places: list[str], user: str | None, access: Access) -> dict[str, str]:
    """Return what a request says about who we are; empty where nothing is known.

    Parameters
    ----------
    places
        What a file of credentials may call the destination, the most exact first.
    user
        Whom the URL names.

    Raises
    ------
    UsageFault
        A user is named whose password is nowhere, or a file of secrets may be read by others.
    """
    found = login(places, access, user)
    if user is not None and found is None:
        if PASSWORD not in os.environ:
            raise UsageFault(f"{places[0]}: no password for the user of the URL", f"put it into ~/.netrc or {PASSWORD}")
        found = user, os.environ[PASSWORD]
    if found is None:
        return {}
    if found[0].lower() == _BEARER:
        return {"Authorization": f"Bearer {found[1]}"}
    return {"Authorization": "Basic " + base64.b64encode(":".join(found).encode()).decode()}


def login(places: list[str], access: Access, user: str | None = None) -> Login | None:
    """Return name and secret at the first place that a file of credentials knows, and of this user where one is named."""
    known = _known(access)
    for place in places:
        entry = known.hosts.get(place) if known else None
        if entry is not None and user in (None, entry[0]):
            return entry[0], entry[2] or ""
    return None


def is_json(path: Path | None) -> bool:
    """Whether a file of credentials is a key of Google's, and not in the form of ``.netrc``."""
    return path is not None and _owned(path).lstrip().startswith("{")


def _known(access: Access) -> netrc.netrc | None:
    path = access.credentials or Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    if access.credentials is None and not path.is_file():
        return None
    if _owned(path).lstrip().startswith("{"):
        return None
    try:
        return netrc.netrc(path)
    except netrc.NetrcParseError as error:
        raise UsageFault(f"{path}, line {error.lineno}: expected machine HOST login NAME password SECRET") from None


def _owned(path: Path) -> str:
    """Read a file that nobody but its owner may read."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UsageFault(f"{path}: others may read this file of secrets", f"chmod 600 {path}")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputMissing(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not text'})") from None
