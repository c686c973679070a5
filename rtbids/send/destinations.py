"""Where images go: what a destination and a connection to it are, and the URL that names one.

A pool of workers asks a destination for connections and gives each of them images. ``send`` returns what the far side answered;
``present`` what it holds when asked for it. An image has arrived when both say so: `delivered` does the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import unquote

from rtbids.clock import CLOCK, Clock
from rtbids.dicomnet import AE_TITLE
from rtbids.errors import RtbidsError, UsageFault

SETTLING = 10.0  # seconds in which a receiver must list what it said that it had stored
_LOOKS = (0.0, 0.1, 0.4, 1.0, 3.0, SETTLING)  # seconds after the answer at which it is asked
TRUST = "--proof status takes its word that it stored an image"
ASK_FOR = f"ask who runs it for the permission to query; or {TRUST}"
_BUCKETS = ("s3", "gs", "az", "file")
_PASSWORD = re.compile("[^@]*:[^@]*@")
_PLACES = "put it into ~/.netrc, a file named by --credentials, or the environment"
Part = TypeVar("Part")
_SCHEMES = "dicom://, dicom+tls://, dicomweb+https://, orthanc+https://, s3://, gs://, az:// or file://"


@dataclass(frozen=True)
class Item:
    """A de-identified image in a file. All identifiers are the new ones."""

    path: Path
    sop_class: str
    instance: str  # SOP Instance UID
    series: str
    study: str
    patient: str
    size: int  # bytes
    sha256: str  # in hexadecimal
    name: str  # of an object in a bucket: patient/study/series/instance.dcm
    syntax: str  # transfer syntax


@dataclass(frozen=True)
class Failure:
    """Why an image is not there; where it is not `permanent`, trying again may help. Holds no identifiers."""

    reason: str
    permanent: bool


class NoAnswer(RtbidsError):
    """The far side answers no queries: whether it has an image is not to be known."""


@dataclass(frozen=True)
class Access:
    """How destinations are reached. Secrets are in none of these: they come from the environment, or from files of the owner's.

    ``verify`` is ``query`` where the far side has to list an image before it counts as sent, ``status`` where its word when it
    takes the image is enough. ``credentials`` is a file in the form of ``~/.netrc``, which is read where it is None.
    """

    calling: str = AE_TITLE  # our own AE title
    verify: Literal["query", "status"] = "query"
    ca: Path | None = None  # certificates of authorities, in PEM, instead of the system's
    certificate: Path | None = None  # our own, for who wants to see it
    key: Path | None = None  # of the certificate
    credentials: Path | None = None
    endpoint: str | None = None  # of a bucket's service that is not the provider's own
    timeout: float = 60.0  # seconds without an answer after which a link counts as lost
    as_nifti: bool = False  # converted, to buckets and folders


class Connection(Protocol):
    """A link to the far side, used by one thread at a time."""

    def send(self, items: Sequence[Item]) -> Iterator[tuple[Item, Failure | None]]:
        """Give one answer an image, None where the far side said that it has it.

        Raises
        ------
        ConnectionLost
            The link broke: of the images that no answer was given for, `present` tells which arrived.
        """
        ...

    def present(self, items: Sequence[Item]) -> set[str]:
        """Return the SOP Instance UIDs of the images that the far side lists, with this content where it tells.

        Raises
        ------
        ConnectionLost
            The link broke.
        NoAnswer
            The far side answers no queries.
        MayNotQuery
            It answers none of ours.
        """
        ...


class Destination(Protocol):
    """Where images go. Made once, and used by many threads."""

    @property
    def url(self) -> str:
        """Name of the destination, without secrets: for the database and the log."""
        ...

    @property
    def parallel(self) -> int:
        """How many connections at once are worth having."""
        ...

    @property
    def whole(self) -> bool:
        """Whether it needs all images of a batch in one `send`, as a conversion does; else any number will do."""
        ...

    @property
    def verify(self) -> Literal["query", "status"]:
        """What counts as arrived."""
        ...

    def open(self) -> AbstractContextManager[Connection]:
        """Connect.

        Raises
        ------
        ConnectionLost
            On entering: nobody answers, and trying again may help; where it will not, it is a `NotWanted`.
        UsageFault
            Something has to be installed or set first.
        """
        ...


def parse(url: str, access: Access | None = None) -> Destination:
    """Return the destination that a URL names; nothing is connected yet.

    Raises
    ------
    UsageFault
        It is none, holds a secret, or lacks what has to be installed.

    Examples
    --------
    >>> parse("dicom://PACS@pacs.example.org:104").url
    'dicom://PACS@pacs.example.org:104'
    """
    access = access or Access()
    scheme = _scheme(url)
    if access.as_nifti and scheme not in _BUCKETS:
        raise UsageFault(f"{scheme}:// takes DICOM alone: NIfTI goes to s3://, gs://, az:// or file://")
    if scheme in ("dicom", "dicom+tls"):
        from rtbids.send.storage import storage

        return storage(url, access)
    if scheme in ("dicomweb+http", "dicomweb+https"):
        from rtbids.send.dicomweb import dicomweb

        return dicomweb(url, access)
    if scheme in ("orthanc+http", "orthanc+https"):
        from rtbids.send.orthanc import orthanc

        return orthanc(url, access)
    if scheme in _BUCKETS:
        from rtbids.send.bucket import bucket

        return _converting(bucket(url, access)) if access.as_nifti else bucket(url, access)
    raise UsageFault(f"expected {_SCHEMES}, found {scheme}://")


def folder(url: str) -> Path | None:
    """Return the folder that a ``file://`` URL names; None of any other.

    Examples
    --------
    >>> folder("file:///mnt/share/a%20study"), folder("s3://bucket")
    (PosixPath('/mnt/share/a study'), None)
    """
    scheme, _, rest = url.partition("://")
    return Path(unquote(rest)) if scheme.lower() == "file" else None


def _converting(place: Any) -> Destination:
    from rtbids.send.nifti import Nifti

    return Nifti(place)


def _scheme(url: str) -> str:
    """Return what a URL begins with; refuse, without quoting it, one that holds a secret."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        raise UsageFault(f"expected {_SCHEMES}, found no ://")
    if _PASSWORD.match(rest) and scheme != "file":
        raise UsageFault(f"{scheme}://: a password has no place in a URL, where everybody on this machine can read it", _PLACES)
    if scheme != "file" and ("?" in rest or "#" in rest):
        raise UsageFault(f"{scheme}://: expected a URL without ? and #, where secrets would be seen", _PLACES)
    return scheme.lower()


def grouped(items: Sequence[Item]) -> dict[tuple[str, str], list[Item]]:
    """Return images by study and series."""
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        groups.setdefault((item.study, item.series), []).append(item)
    return groups


def parts(items: Sequence[Part], count: int) -> Iterator[Sequence[Part]]:
    """Give a sequence in parts of `count` at the most."""
    return (items[start : start + count] for start in range(0, len(items), count))


def delivered(
    destination: Destination, connection: Connection, items: Sequence[Item], clock: Clock = CLOCK
) -> Iterator[tuple[Item, Failure | None]]:
    """Send images and give, for each, None when it has arrived, or why it has not.

    Raises
    ------
    ConnectionLost
        The link broke. What was given before is so; of the others `present` tells.
    """
    taken = []
    for item, failure in connection.send(items):
        if failure is None and destination.verify == "query":
            taken.append(item)
        else:
            yield item, failure
    try:
        there = _listed(connection, taken, clock)
    except NoAnswer as error:
        yield from ((item, Failure(f"{error}; {error.hint}", permanent=True)) for item in taken)
        return
    missing = Failure(f"{destination.url} said that it had stored the image, and does not list it; {TRUST}", permanent=False)
    yield from ((item, None if item.instance in there else missing) for item in taken)


def _listed(connection: Connection, items: Sequence[Item], clock: Clock) -> set[str]:
    """Ask until all are listed, or the time is up in which they should be."""
    there: set[str] = set()
    answered = clock.now()
    for look in _LOOKS:
        if not (left := [item for item in items if item.instance not in there]):
            break
        clock.wait_until(answered + look)
        there |= connection.present(left)
    return there
