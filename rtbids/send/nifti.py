"""To a bucket or a folder as BIDS: a batch's series converted, and what has no place in BIDS as the DICOM files that it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from rtbids.errors import BadData
from rtbids.send import naming
from rtbids.send.bucket import Bucket, Objects
from rtbids.send.destinations import Failure, Item, grouped
from rtbids.send.stores import Object

SOURCEDATA = "sourcedata"


@dataclass(frozen=True)
class Nifti:
    """A bucket or folder that gets a BIDS data set. It needs a batch as a whole: an image alone makes no run."""

    place: Bucket
    parallel: int = 1
    whole: bool = True

    @property
    def url(self) -> str:
        return f"{self.place.url} (NIfTI)"

    @property
    def verify(self) -> Literal["query", "status"]:
        return self.place.verify

    @cached_property
    def rules(self) -> Any:
        from rtbids.convert import session_map

        return session_map.load()

    @contextmanager
    def open(self) -> Iterator[Converting]:
        with self.place.open() as objects:
            yield Converting(objects, self.rules)


class Converting:
    """A connection to a bucket or a folder, what is sent over it being converted before.

    Which images a series was made of is listed in an object of its own, ``.rtbids/UID.json``, written when all of it has been
    found where it should be: an image is there when it is listed with its checksum.
    """

    def __init__(self, objects: Objects, rules: Any) -> None:
        self._objects, self._rules = objects, rules

    def send(self, items: Sequence[Item]) -> Iterator[tuple[Item, Failure | None]]:
        for series in grouped(items).values():
            yield from self._sent(series)

    def present(self, items: Sequence[Item]) -> set[str]:
        there: set[str] = set()
        for (_, series), of in grouped(items).items():
            listed = self._listed(series)
            there |= {item.instance for item in of if listed.get(item.instance) == item.sha256}
        return there

    def _sent(self, series: Sequence[Item]) -> Iterator[tuple[Item, Failure | None]]:
        with TemporaryDirectory(prefix="rtbids-nifti-") as room:
            try:
                objects = naming.objects(series, Path(room), self._rules)
            except BadData as error:
                failure: Failure | None = Failure(str(error), permanent=True)
            except OSError as error:
                failure = Failure(f"it could not be converted: {error.strerror}", permanent=False)
            else:
                failure = self._put([*(objects or _as_it_is(series)), naming.description(Path(room))])
                failure = failure or self._put_list(series, Path(room))
        yield from ((item, failure) for item in series)

    def _put(self, objects: Sequence[Object]) -> Failure | None:
        """Store the objects of a series; return why one is not there."""
        for new in objects:
            if new.name == naming.DESCRIPTION and self._objects.read(new.name) is not None:
                continue  # whoever was first has described the data set
            if (failure := self._objects.put(new)) is not None:
                return failure
            if not self._objects.holds(new):
                return Failure(f"{self._objects.url} said that it had stored an object, and does not list it", permanent=False)
        return None

    def _put_list(self, series: Sequence[Item], room: Path) -> Failure | None:
        listed = {**self._listed(series[0].series), **{item.instance: item.sha256 for item in series}}
        return self._objects.overwrite(naming.written(_list_of(series[0].series), room / "list", _encoded({"images": listed})))

    def _listed(self, series: str) -> dict[str, str]:
        """Return the checksums of the images of a series that are there, by UID."""
        content = self._objects.read(_list_of(series))
        try:
            found = json.loads(content or b"{}")
        except ValueError:
            return {}
        return dict(found.get("images") or {}) if isinstance(found, dict) else {}


def _as_it_is(series: Sequence[Item]) -> list[Object]:
    return [Object(f"{SOURCEDATA}/{item.name}", item.path, item.size, item.sha256) for item in series]


def _list_of(series: str) -> str:
    return f".rtbids/{series}.json"


def _encoded(content: object) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
