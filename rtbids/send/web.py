"""Requests to a web service over one connection that is kept."""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from rtbids.dicomnet import MayNotQuery, NotWanted, client_tls
from rtbids.dicomnet.tls import why
from rtbids.errors import ConnectionLost, UsageFault
from rtbids.send import credentials
from rtbids.send.destinations import ASK_FOR, Access, Failure, Item

CONNECTING = 5.0  # seconds in which a host must have taken the connection
_MOST = 1 << 28  # bytes of an answer
FORBIDDEN = 403
DENIED = (401, FORBIDDEN)
_LATER = {FORBIDDEN, 408, 425, 429, 500, 502, 503, 504}
_PLACES = f"put user and password into ~/.netrc, a file named by --credentials, or {credentials.PASSWORD}"
_HOST = re.compile(r"[\w.:-]+")
_UID = re.compile(r"[0-9.]{1,64}")
NAMELESS = Failure("its UIDs are none: expected digits and points, 64 at the most", permanent=True)

Body = bytes | Callable[[], Iterable[bytes]]


@dataclass(frozen=True)
class Answer:
    status: int
    kind: str  # Content-Type
    content: bytes


@dataclass(frozen=True)
class Site:
    """A web service: where it is, and how it is spoken to."""

    name: str  # as in the URL, with its scheme
    parts: SplitResult
    access: Access

    @cached_property
    def headers(self) -> dict[str, str]:
        places = [f"{self.parts.hostname}:{self.parts.port}", str(self.parts.hostname)]
        return credentials.authorization(places, self.parts.username, self.access)

    @cached_property
    def tls(self) -> ssl.SSLContext | None:
        if not self.parts.scheme.endswith("https"):
            return None
        return client_tls(self.access.certificate, self.access.key, self.access.ca)

    @contextmanager
    def link(self) -> Iterator[Link]:
        link = Link(self)
        try:
            yield link
        finally:
            link.close()


@dataclass(frozen=True)
class Service:
    """A destination that is a web service."""

    site: Site
    parallel: int = 4
    whole: bool = False

    @property
    def url(self) -> str:
        return self.site.name

    @property
    def verify(self) -> Literal["query", "status"]:
        return self.site.access.verify


def site(url: str, access: Access) -> Site:
    """Read ``dicomweb+https://[user@]host[:port][/path]`` and the like."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or not parts.hostname or not _HOST.fullmatch(parts.hostname):
        raise UsageFault(f"expected {parts.scheme}://host[:port][/path], found another host or port")
    parts = parts._replace(path=parts.path.rstrip("/"))
    return Site(parts.geturl(), parts, access)


class Link:
    """A connection to a site, opened when it is needed and again after it was lost. For one thread."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(
        self,
        method: str,
        path: str,
        body: Body = b"",
        headers: Mapping[str, str] | None = None,
        size: int | None = None,
        *,
        of_image: bool = False,
        query: str = "",
    ) -> Answer:
        """Return the answer to a request; `size` is that of a body that comes in parts.

        A request that is forbidden says that we all are, unless it is `of_image`: then it may be that image alone. One that is
        a `query`, and called so, says that we may not ask.

        It is asked again, once, where a connection that had been kept turns out to have ended meanwhile: what is stored twice
        is stored once.

        Raises
        ------
        ConnectionLost
            There was none in time; a `NotWanted` where trying again will not help.
        """
        kept = self._connection is not None
        try:
            answer = self._ask(method, path, body, {**self._site.headers, **(headers or {})}, size)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self.close()
            if not kept:
                raise ConnectionLost(f"{self._site.name} ended the connection before it had answered") from None
            return self.ask(method, path, body, headers, size, of_image=of_image, query=query)
        if query and answer.status in DENIED:
            raise MayNotQuery(f"{self._site.name} does not let this account query ({query}, status {answer.status})", ASK_FOR)
        if not (of_image and answer.status == FORBIDDEN) and (refusal := _refusal(self._site.name, answer.status)) is not None:
            raise refusal
        return answer

    def _ask(self, method: str, path: str, body: Body, headers: dict[str, str], size: int | None) -> Answer:
        parts = body if isinstance(body, bytes) else body()
        try:
            connection = self._connected()
            if size is not None:
                headers["Content-Length"] = str(size)
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it had read everything
                connection.request(method, self._site.parts.path + path, parts, headers)
            return self._read(connection.getresponse())
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            raise
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, http.client.IncompleteRead):
            self.close()
            raise ConnectionLost(f"{self._site.name} ended the connection in the midst of an answer") from None
        except ssl.SSLError as error:
            self.close()
            raise NotWanted(f"{self._site.name}: no encrypted connection: {why(error)}", _certificate(error)) from None
        except TimeoutError:
            self.close()
            raise ConnectionLost(f"{self._site.name} has not answered for {self._site.access.timeout:g} s") from None
        except OSError as error:
            self.close()
            raise ConnectionLost(f"{self._site.name}: {error.strerror or 'the connection was lost'}") from None
        except http.client.HTTPException as error:
            self.close()
            raise ConnectionLost(f"{self._site.name} does not speak HTTP ({type(error).__name__})") from None

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            host, port, tls = self._site.parts.hostname or "", self._site.parts.port, self._site.tls
            new = http.client.HTTPConnection(host, port, timeout=CONNECTING)
            if tls is not None:
                new = http.client.HTTPSConnection(host, port, timeout=CONNECTING, context=tls)
            new.connect()
            new.sock.settimeout(self._site.access.timeout)
            self._connection = new
        return self._connection

    def _read(self, response: http.client.HTTPResponse) -> Answer:
        content = response.read(_MOST)
        if response.length:
            raise http.client.IncompleteRead(content)
        if response.will_close or not response.isclosed():
            self.close()
        return Answer(response.status, response.headers.get("Content-Type", ""), content)


def named(items: Sequence[Item]) -> list[Item]:
    """Return the images whose UIDs are such: only these can be part of an address."""
    return [item for item in items if all(map(_UID.fullmatch, (item.instance, item.series, item.study)))]


def each(name: str, answers: Iterator[tuple[Item, Failure | None]]) -> Iterator[tuple[Item, Failure | None]]:
    """Pass on the answers; where every one of several images was forbidden, it is we who are."""
    forbidden: list[tuple[Item, Failure | None]] = []
    some = False
    for item, answer in answers:
        if answer == failure(name, FORBIDDEN):
            forbidden.append((item, answer))
        else:
            some = True
            yield item, answer
    if len(forbidden) > 1 and not some and (refusal := _refusal(name, FORBIDDEN)) is not None:
        raise refusal
    yield from forbidden


def failure(name: str, status: int) -> Failure:
    """Say why a request was refused whose answer says no more than its status."""
    if status == 507:
        return Failure(f"{name} is full (status 507)", permanent=False)
    words = http.client.responses.get(status, "unknown").lower()
    return Failure(f"{name} refused the image with status {status} ({words})", permanent=status not in _LATER)


def _refusal(name: str, status: int) -> NotWanted | None:
    """Return what is wrong with all requests, not with this one."""
    if status in (401, FORBIDDEN, 407):
        return NotWanted(f"{name} does not let us in (status {status})", _PLACES)
    if 300 <= status < 400:
        return NotWanted(f"{name} sends us to another address (status {status})", "name that one instead")
    return None


def _certificate(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "--ca FILE names the authority of a certificate that the system does not know"
    return "is it a port of https?"
