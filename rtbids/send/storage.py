"""To a DICOM receiver: stored by C-STORE, found by C-FIND."""

from __future__ import annotations

import itertools
import re
import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from rtbids.dicomnet import MR, UNCOMPRESSED, Address, MayNotQuery, NoRoom, Sender, client_tls, query
from rtbids.dicomnet import address as addresses
from rtbids.dicomnet.image import offers
from rtbids.errors import BadData, ConnectionLost
from rtbids.send.destinations import ASK_FOR, TRUST, Access, Failure, Item, NoAnswer, grouped, parts

_PARALLEL = 4  # associations; Orthanc serves four at once
_CONTEXTS = 127  # an association can have 128 (PS3.8, 7.1.1.13); one is for the class that all take
_VERIFICATION = ("1.2.840.10008.1.1", UNCOMPRESSED[1])  # all take it, so that one who takes no MR is no stranger
_ALWAYS = (query.QUERY, _VERIFICATION, *offers(()))
_AMONG = 64  # UIDs in one question: 64 characters each, in an element that may have 64 kB
_TLS = re.compile(r"dicom\+tls://", re.IGNORECASE)

Pair = tuple[str, str]  # class and transfer syntax


@dataclass(frozen=True)
class Storage:
    """A DICOM receiver; encrypted where the URL says ``dicom+tls://``."""

    address: Address
    access: Access
    encrypted: bool = False
    parallel: int = _PARALLEL
    whole: bool = False

    @property
    def url(self) -> str:
        return str(self.address).replace("dicom:", "dicom+tls:" if self.encrypted else "dicom:")

    @property
    def verify(self) -> Literal["query", "status"]:
        return self.access.verify

    @cached_property
    def tls(self) -> ssl.SSLContext | None:
        return client_tls(self.access.certificate, self.access.key, self.access.ca) if self.encrypted else None

    @contextmanager
    def open(self) -> Iterator[Associations]:
        """Open one association; more follow where one cannot offer everything."""
        associations = Associations(self)
        try:
            associations.begin()
        except ConnectionLost as error:  # which names the address without its encryption
            raise type(error)(str(error).replace(str(self.address), self.url, 1), error.hint) from None
        try:
            yield associations
        except BaseException:
            associations.close(ConnectionLost)
            raise
        associations.close()


def storage(url: str, access: Access) -> Storage:
    """Return the receiver that ``dicom://AET@host:port`` or ``dicom+tls://AET@host:port`` names."""
    plain = _TLS.sub("dicom://", url)
    return Storage(addresses.parse(plain), access, encrypted=plain != url)


class Associations:
    """What one worker has open to a receiver: usually one association."""

    def __init__(self, receiver: Storage) -> None:
        self._receiver = receiver
        self._open: list[Sender] = []
        self._offered: set[Pair] = set()

    def begin(self) -> None:
        """Open what serves MR images, and questions."""
        self._associate(_ALWAYS)

    def close(self, failure: type[BaseException] | None = None) -> None:
        while self._open:
            self._open.pop().__exit__(failure)

    def send(self, items: Sequence[Item]) -> Iterator[tuple[Item, Failure | None]]:
        self._offer((item.sop_class, item.syntax) for item in items)
        for item in items:
            yield item, self._store(item)

    def present(self, items: Sequence[Item]) -> set[str]:
        self._look_after()
        try:
            return set().union(*(self._there(*key, of) for key, of in grouped(items).items()))
        except MayNotQuery as error:
            raise MayNotQuery(str(error), ASK_FOR) from None
        except BadData as error:
            raise NoAnswer(str(error), TRUST) from None

    def _there(self, study: str, series: str, items: Sequence[Item]) -> set[str]:
        """Ask for these images; for the whole series where a list is not understood, and then one by one."""
        wanted = {item.instance for item in items}
        there: set[str] = set()
        for part in parts(sorted(wanted), _AMONG):
            there |= self._ask(study, series, "\\".join(part)) & wanted
        if there < wanted and len(wanted) > 1:
            there |= self._ask(study, series) & wanted
        for instance in sorted(wanted - there) if len(wanted) > 1 and not there else ():
            there |= self._ask(study, series, instance) & wanted
        return there

    def _ask(self, study: str, series: str, among: str = "") -> set[str]:
        return query.instances(self._open[0], study, series, among)

    def _store(self, item: Item) -> Failure | None:
        try:
            self._best(item).send(item.path.read_bytes())
        except NoRoom as error:
            return Failure(str(error), permanent=False)
        except BadData as error:
            return Failure(str(error), permanent=True)
        except OSError as error:
            return Failure(f"its file cannot be read: {error.strerror}", permanent=True)
        return None

    def _best(self, item: Item) -> Sender:
        """Return the association that takes the image as it is, else one that takes its class."""
        as_it_is = (one for one in self._open if (item.sop_class, item.syntax) in one.contexts)
        its_class = (one for one in self._open if any((item.sop_class, other) in one.contexts for other in UNCOMPRESSED))
        return next(itertools.chain(as_it_is, its_class), self._open[0])

    def _offer(self, pairs: Iterable[Pair]) -> None:
        """Have open what these images need."""
        self._look_after()
        lacking = dict.fromkeys(pair for found in pairs for pair in _with_others(found) if pair not in self._offered)
        if lacking and len(self._offered) + len(lacking) <= _CONTEXTS:
            lacking = dict.fromkeys([*self._offered, *lacking])
            self.close()
        for part in parts(list(lacking), _CONTEXTS):
            self._associate(part)

    def _look_after(self) -> None:
        """Begin anew where the receiver has ended an association that lay idle."""
        if not all(one.is_open for one in self._open) or not self._open:
            self.close(ConnectionLost)
            self._offered.clear()
            self.begin()

    def _associate(self, pairs: Sequence[Pair]) -> None:
        access, pairs = self._receiver.access, list(dict.fromkeys((_VERIFICATION, *pairs)))
        sender = Sender(
            self._receiver.address, calling=access.calling, tls=self._receiver.tls, offers=pairs, silence=access.timeout
        )
        self._open.append(sender.__enter__())
        self._offered.update(pairs)


def _with_others(pair: Pair) -> Iterator[Pair]:
    """Give a class in its transfer syntax, and in those that every receiver takes."""
    yield pair
    if pair[0] not in MR:
        yield from ((pair[0], syntax) for syntax in UNCOMPRESSED[:2])
