"""To a bucket or a folder: stored as objects, found by size and checksum."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from rtbids.dicomnet import MayNotQuery
from rtbids.errors import ConnectionLost, RtbidsError, UsageFault
from rtbids.send.cloud import S3, Azure, Google
from rtbids.send.destinations import ASK_FOR, Access, Failure, Item, folder
from rtbids.send.directory import Directory
from rtbids.send.refusals import is_forbidden, lost_by, refusal
from rtbids.send.stores import Object, Store, is_plain

_PARALLEL = 8
_OTHER = "has another object of this name: its content is not what was sent"
_CLOUDS: dict[str, Callable[[str, str, str, Access], Store]] = {"s3": S3, "gs": Google, "az": Azure}


@dataclass(frozen=True)
class Bucket:
    """Named by ``s3://bucket/prefix``, ``gs://``, ``az://container/prefix`` or ``file:///folder``."""

    url: str
    access: Access
    parallel: int = _PARALLEL
    whole: bool = False

    @property
    def verify(self) -> Literal["query", "status"]:
        return self.access.verify

    @cached_property
    def store(self) -> Store:
        scheme, _, rest = self.url.partition("://")
        if (local := folder(self.url)) is not None:
            return Directory(local)
        name, _, prefix = rest.partition("/")
        return _CLOUDS[scheme](scheme, name, prefix.strip("/"), self.access)

    @contextmanager
    def open(self) -> Iterator[Objects]:
        objects = Objects(self.url, self.store)
        objects.begin()
        yield objects


def bucket(url: str, access: Access) -> Bucket:
    """Read a URL; raise UsageFault where it names no bucket or folder, or what it needs is not installed."""
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    name, _, prefix = rest.partition("/")
    if scheme == "file" and (name or not prefix or not is_plain(prefix.strip("/"))):
        raise UsageFault("expected file:///path/of/a/folder")
    if scheme != "file" and (not name or (prefix.strip("/") and not is_plain(prefix.strip("/")))):
        raise UsageFault(f"expected {scheme}://bucket/prefix")
    place = Bucket(f"{scheme}://{rest.rstrip('/')}", access)
    _ = place.store  # what it needs is said at once
    return place


class Objects:
    """A connection to a bucket or a folder."""

    def __init__(self, url: str, store: Store) -> None:
        self.url, self._store = url, store

    def begin(self) -> None:
        try:
            self._store.ready()
        except RtbidsError:
            raise
        except Exception as error:  # whatever its client meets
            raise lost_by(error, self.url) or UsageFault(f"{self.url}: {type(error).__name__}") from None

    def send(self, items: Sequence[Item]) -> Iterator[tuple[Item, Failure | None]]:
        for item in items:
            yield item, self.put(_named(item))

    def present(self, items: Sequence[Item]) -> set[str]:
        return {item.instance for item in items if is_plain(item.name) and self.holds(_named(item))}

    def put(self, new: Object) -> Failure | None:
        """Store an object, unless it is there."""
        if not is_plain(new.name):
            return Failure("its identifiers make no name of an object", permanent=True)
        try:
            if new.path.stat().st_size != new.size:
                return Failure("its file has changed since it was made", permanent=True)
        except OSError as error:
            return Failure(f"its file cannot be read: {error.strerror}", permanent=True)
        try:
            there = self._looked_up(new)
            if there is None:
                self._store.put(new)
        except Exception as error:  # whatever a bucket's client meets
            return refusal(error, self.url)
        return Failure(f"{self.url} {_OTHER}", permanent=True) if there is False else None

    def holds(self, wanted: Object) -> bool:
        try:
            return bool(self._store.holds(wanted))
        except Exception as error:  # whatever a bucket's client meets
            raise self._unknown(error) from None

    def read(self, name: str) -> bytes | None:
        """Return the content of an object; None where there is none."""
        try:
            return self._store.read(name)
        except Exception as error:  # whatever a bucket's client meets
            raise self._unknown(error) from None

    def overwrite(self, new: Object) -> Failure | None:
        """Store an object, whatever had its name."""
        try:
            self._store.put(new)
        except Exception as error:  # whatever a bucket's client meets
            return refusal(error, self.url)
        return None

    def _unknown(self, error: Exception) -> RtbidsError:
        """Return why it is not to be known what is there: by us, or for now."""
        if is_forbidden(error):
            return MayNotQuery(f"{self.url} does not let us look at what it holds (no permission to read)", ASK_FOR)
        return ConnectionLost(refusal(error, self.url).reason)

    def _looked_up(self, new: Object) -> bool | None:
        """Look whether the name is taken; who may only write cannot."""
        try:
            return self._store.holds(new)
        except Exception as error:  # whatever a bucket's client meets
            if is_forbidden(error):
                return None
            raise


def _named(item: Item) -> Object:
    return Object(item.name, item.path, item.size, item.sha256)
