"""What the errors of a bucket's client, or of a disk, mean for who sends."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator

from rtbids.dicomnet import NotWanted
from rtbids.errors import ConnectionLost, RtbidsError
from rtbids.send.destinations import Failure

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_LATER = (errno.EBUSY, errno.EREMOTEIO, errno.EIO, errno.EAGAIN)  # EBUSY: SlowDown and the like; EREMOTEIO: the service's own
_FOR_GOOD = (errno.ENAMETOOLONG, errno.EMSGSIZE, errno.EFBIG)
_LINK = (
    "ConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "ClientConnectorError",
    "ServiceRequestError",
    "ServiceResponseError",
)
_STRANGER = (
    "NoCredentials",
    "PartialCredentials",
    "ClientAuthentication",
    "GoogleAuthError",
    "DefaultCredentials",
    "Unauthorized",
)
_KEYS = "keys come from the environment or from files of the owner's: see the reference of destinations"


def refusal(error: Exception, url: str) -> Failure:
    """Return why an object was not stored where that is the object's own matter.

    Raises
    ------
    ConnectionLost
        The link broke; a `NotWanted` where trying again will not help.
    RtbidsError
        As it was.
    """
    if isinstance(error, RtbidsError):
        raise error
    if (lost := lost_by(error, url)) is not None:
        raise lost from None
    if isinstance(error, ValueError) and not error.args:
        return Failure("its file has changed since it was made", permanent=True)
    code = _status(error)
    number = getattr(error, "errno", None)
    if number in _NO_SPACE:
        return Failure(f"{url}: no space left", permanent=False)
    if number in _LATER or code in (408, 429) or (code is not None and code >= 500):
        return Failure(f"{url} does not take it now ({_words(error)})", permanent=False)
    return Failure(f"{url} refused it ({_words(error)})", permanent=number in _FOR_GOOD or code == 400)


def lost_by(error: Exception, url: str) -> ConnectionLost | None:
    """Return what is wrong with the place or the link to it; None where that is not the reason."""
    names = {name for each in _causes(error) for name in (kind.__name__ for kind in type(each).__mro__)}
    code = _status(error)
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in _causes(error)) or names & {"SSLError"}:
        return NotWanted(
            f"{url}: no encrypted connection: its certificate is not to be trusted", "is the authority the right one?"
        )
    if isinstance(error, PermissionError) or code in (401, 403) or "Forbidden" in str(error)[:20] or _any(names, _STRANGER):
        return NotWanted(f"{url} does not let us in", _KEYS)
    if isinstance(error, FileNotFoundError) or code == 404:
        return NotWanted(f"{url}: no such bucket")
    if isinstance(error, TimeoutError):
        return ConnectionLost(f"{url} has not answered in time")
    if isinstance(error, ConnectionError) or _any(names, _LINK):
        said = str(error) if isinstance(error, ConnectionError) and type(error) is ConnectionError else "nobody answers there"
        return ConnectionLost(f"{url}: {said}")
    return None


def is_forbidden(error: Exception) -> bool:
    """Whether we may not do this, whatever else we may."""
    return isinstance(error, PermissionError) or _status(error) in (401, 403) or str(error).startswith("Forbidden")


def _any(names: set[str], parts: tuple[str, ...]) -> bool:
    return any(part in name for part in parts for name in names)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _status(error: Exception) -> int | None:
    """Return the status of HTTP that an error knows of."""
    for name in ("code", "status_code", "status"):
        value = getattr(error, name, None)
        if isinstance(value, int | str) and str(value).isdigit():
            return int(value)
    return None


def _words(error: Exception) -> str:
    """Return what an error is, without what it quotes."""
    number = getattr(error, "errno", None)
    code = _status(error)
    if code is not None:
        return f"status {code}"
    return errno.errorcode.get(number, type(error).__name__) if isinstance(number, int) else type(error).__name__
