"""To a DICOMweb service: stored by STOW-RS, found by QIDO-RS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rtbids.dicomnet import MayNotQuery, NotWanted, statuses
from rtbids.errors import ConnectionLost
from rtbids.send import multipart, web
from rtbids.send import stored as answers
from rtbids.send.content import is_same
from rtbids.send.destinations import TRUST, Access, Failure, Item, NoAnswer, grouped, parts
from rtbids.send.orthanc import OTHER

_IMAGES = 20  # in a request ...
_BYTES = 1 << 26  # ... unless they are larger than this together
_PAGE = 500  # images in one answer to a query
_JSON = {"Accept": "application/dicom+json"}
_QUERY = "QIDO-RS"
_NO_QUERY = {200, 405, 406, 501}


class DicomWeb(web.Service):
    """A service, named by ``dicomweb+https://[user@]host[:port]/path``; the path is that above ``/studies``."""

    @contextmanager
    def open(self) -> Iterator[Stow]:
        with self.site.link() as link:
            self._greet(link)
            yield Stow(self, link)

    def _greet(self, link: web.Link) -> None:
        """See whether it is what it should be, and lets us do what we shall."""
        try:
            answer = link.ask("GET", "/studies?limit=1", headers=_JSON, query=_QUERY)
        except MayNotQuery as error:
            nothing = multipart.Multipart([])
            kind = {**_JSON, "Content-Type": nothing.kind}
            link.ask("POST", "/studies", nothing.pieces, kind, size=len(nothing))  # or says that we may do nothing at all
            if self.verify == "query":
                may = f"{self.url} lets this account store (STOW-RS) and not query (QIDO-RS)"
                raise MayNotQuery(f"{may}: images would be there unseen", error.hint) from None
            return
        if answer.status == 404:
            raise NotWanted(f"{self.url} is no DICOMweb service (status 404 for /studies)", "is its path the right one?")


def dicomweb(url: str, access: Access) -> DicomWeb:
    return DicomWeb(web.site(url, access))


class Stow:
    """A connection to a DICOMweb service."""

    def __init__(self, service: DicomWeb, link: web.Link) -> None:
        self._name, self._verify, self._link = service.url, service.verify, link
        self._lists: bool | None = None  # whether it knows questions for several images, once that is clear

    def send(self, items: Sequence[Item]) -> Iterator[tuple[Item, Failure | None]]:
        good = web.named(items)
        yield from ((item, web.NAMELESS) for item in items if item not in good)
        yield from web.each(self._name, self._send(good))

    def _send(self, items: Sequence[Item]) -> Iterator[tuple[Item, Failure | None]]:
        for group in _requests(items):
            there = self._there_before(group)
            new = []
            for item in group:
                if (failure := _unreadable(item)) is not None:
                    yield item, failure
                elif item.instance in there:
                    yield item, self._other(item)
                else:
                    new.append(item)
            yield from self._stored(new)
            if self._lists is None and len(new) > 1:
                self._there_before(new)  # now that some are there, it tells whether it knows such questions

    def present(self, items: Sequence[Item]) -> set[str]:
        return set().union(*(self._found(*series, of) for series, of in grouped(web.named(items)).items()))

    def _there_before(self, items: Sequence[Item]) -> set[str]:
        """Return what need not be sent: services answer that they stored an image that they have, and keep theirs."""
        try:
            return self.present(items)
        except NoAnswer:
            return set()
        except MayNotQuery:
            if self._verify == "query":
                raise
            return set()

    def _other(self, item: Item) -> Failure | None:
        """Say where the image that is there is not the one in the file."""
        path = f"/studies/{item.study}/series/{item.series}/instances/{item.instance}"
        kind = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        answer = self._link.ask("GET", path, headers={"Accept": kind}, query="WADO-RS")
        if answer.status == 200 and is_same(multipart.first(answer.kind, answer.content), item.path.read_bytes()):
            return None
        return Failure(f"{self._name} {OTHER}", permanent=True)

    def _stored(self, items: Sequence[Item]) -> Iterator[tuple[Item, Failure | None]]:
        """Send images in one request; where it is refused as a whole, each in its own."""
        if not items:
            return
        body = multipart.Multipart([(item.path, item.size) for item in items])
        answer = self._link.ask(
            "POST", "/studies", body.pieces, {**_JSON, "Content-Type": body.kind}, size=len(body), of_image=True
        )
        said = answers.stored(answer.content)
        mentioned = said.stored | said.failed.keys() if said is not None else frozenset()
        alone = len(items) > 1 and answer.status < 500 and (mentioned or answer.status >= 400)
        for item in items:
            if alone and item.instance not in mentioned:
                yield from self._stored([item])
            else:
                yield item, self._verdict(item, answer.status, said)

    def _verdict(self, item: Item, status: int, said: answers.Stored | None) -> Failure | None:
        if said is not None and item.instance in said.failed:
            why = said.failed[item.instance]
            return Failure(f"{self._name} refused the image with {statuses.said(why)}", permanent=not statuses.is_full(why))
        if said is not None and item.instance in said.stored:
            return None
        if status in (200, 202) and (said is None or not (said.stored or said.failed)) and self._verify == "query":
            return None  # it says nothing of any image: whether this one is there, the query tells
        if status in (200, 202, 409):
            return Failure(f"{self._name} did not say that it stored the image (status {status})", permanent=False)
        return web.failure(self._name, status)

    def _found(self, study: str, series: str, items: Sequence[Item]) -> set[str]:
        """Ask for these images, or for the whole series where the service knows no such question."""
        wanted = {item.instance for item in items}
        path = f"/studies/{study}/series/{series}/instances"
        there: set[str] = set()
        if self._lists is not False:
            for part in parts(sorted(wanted), _IMAGES):
                there |= self._query(f"{path}?SOPInstanceUID={','.join(part)}") & wanted
        if there:
            self._lists = self._lists or len(wanted) > 1
        elif not self._lists:
            there = self._series(path) & wanted
            self._lists = False if there and len(wanted) > 1 else self._lists
        return there

    def _series(self, path: str) -> set[str]:
        """Ask for all images of a series, page by page."""
        there: set[str] = set()
        while more := self._query(f"{path}?limit={_PAGE}&offset={len(there)}") - there:
            there |= more
        return there

    def _query(self, path: str) -> set[str]:
        answer = self._link.ask("GET", path, headers=_JSON, query=_QUERY)
        if answer.status in (200, 204) and (found := answers.instances(answer.content)) is not None:
            return found
        if answer.status == 404:  # some say so of a study that they do not have
            return set()
        if answer.status in _NO_QUERY or answer.status == 200:
            raise NoAnswer(f"{self._name} answers no queries (QIDO-RS)", TRUST)
        raise ConnectionLost(f"{self._name} did not say what it has (status {answer.status})")


def _requests(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Give images in groups that make a request."""
    group: list[Item] = []
    for item in items:
        if group and (len(group) == _IMAGES or sum(each.size for each in group) + item.size > _BYTES):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _unreadable(item: Item) -> Failure | None:
    try:
        size = item.path.stat().st_size
    except OSError as error:
        return Failure(f"its file cannot be read: {error.strerror}", permanent=True)
    return None if size == item.size else Failure("its file has changed since it was made", permanent=True)
