"""To Orthanc by its own web interface: stored and found by REST."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rtbids.dicomnet import NotWanted
from rtbids.errors import ConnectionLost
from rtbids.send import web
from rtbids.send.content import is_same
from rtbids.send.destinations import Access, Failure, Item, parts

_ASKED = 100  # images in one question
_WORDS = 40  # characters of a foreign answer that are repeated
_ID = re.compile("[0-9a-f-]{1,64}")
OTHER = "has another image of this UID: its content is not the one that was sent"


class Orthanc(web.Service):
    """An Orthanc, named by ``orthanc+https://[user@]host[:port][/path]``."""

    @contextmanager
    def open(self) -> Iterator[Rest]:
        with self.site.link() as link:
            answer = link.ask("GET", "/system")
            if answer.status != 200:
                raise NotWanted(f"{self.url} is no Orthanc (status {answer.status} for /system)")
            yield Rest(self, link)


def orthanc(url: str, access: Access) -> Orthanc:
    return Orthanc(web.site(url, access))


class Rest:
    """A connection to Orthanc."""

    def __init__(self, orthanc: Orthanc, link: web.Link) -> None:
        self._name, self._link = orthanc.url, link

    def send(self, items: Sequence[Item]) -> Iterator[tuple[Item, Failure | None]]:
        good = web.named(items)
        yield from ((item, web.NAMELESS) for item in items if item not in good)
        yield from web.each(self._name, ((item, self._store(item)) for item in good))

    def present(self, items: Sequence[Item]) -> set[str]:
        there: set[str] = set()
        for part in parts(web.named(items), _ASKED):
            by_uid = {item.instance: item for item in part}
            for uid, found in self._find(list(by_uid)):
                item = by_uid.get(uid)
                if item is not None and (found.get("FileSize") == item.size or self._is_same(found.get("ID"), item)):
                    there.add(item.instance)
        return there

    def _store(self, item: Item) -> Failure | None:
        try:
            content = item.path.read_bytes()
        except OSError as error:
            return Failure(f"its file cannot be read: {error.strerror}", permanent=True)
        answer = self._link.ask("POST", "/instances", content, {"Content-Type": "application/dicom"}, of_image=True)
        if answer.status != 200:
            return web.failure(self._name, answer.status)
        stored = self._json(answer)
        status = stored.get("Status") if isinstance(stored, dict) else None
        if status == "AlreadyStored" and not self._is_same(stored.get("ID"), item):
            return Failure(f"{self._name} {OTHER}", permanent=True)
        if status in ("Success", "AlreadyStored"):
            return None
        return Failure(f"{self._name} answered {str(status)[:_WORDS]!r}", permanent=status == "FilteredOut")

    def _find(self, instances: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Give the UIDs that it has, and what it says of each."""
        asked = {"Level": "Instance", "Query": {"SOPInstanceUID": "\\".join(instances)}, "Expand": True}
        answer = self._link.ask("POST", "/tools/find", json.dumps(asked).encode(), query="/tools/find")
        if answer.status != 200:
            raise ConnectionLost(f"{self._name} did not say what it has (status {answer.status})")
        found = self._json(answer)
        if not isinstance(found, list):
            raise ConnectionLost(f"{self._name} did not say what it has: expected a list")
        for image in found:
            tags = image.get("MainDicomTags") if isinstance(image, dict) else None
            if isinstance(tags, dict) and isinstance(uid := tags.get("SOPInstanceUID"), str):
                yield uid, image

    def _is_same(self, identifier: object, item: Item) -> bool:
        """Whether the image that Orthanc calls so is the one in the file."""
        if not isinstance(identifier, str) or not _ID.fullmatch(identifier):
            raise ConnectionLost(f"{self._name} did not say which image it has")
        answer = self._link.ask("GET", f"/instances/{identifier}/file", query="the file of an instance")
        return answer.status == 200 and is_same(answer.content, item.path.read_bytes())

    def _json(self, answer: web.Answer) -> Any:
        try:
            return json.loads(answer.content)
        except (ValueError, RecursionError):
            raise ConnectionLost(f"{self._name} answered something that is not JSON") from None
