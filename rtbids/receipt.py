"""A source's word that it keeps what it has handed out until that is safe elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable


class Receipt:
    """Goes with an image, and with what is made of it, until each who holds it has said that its part is safe.

    Then, and not before, `let_go` is called. Who drops a receipt without a word, because it is killed or fails, leaves the
    source with what it has. A receipt begins with one holder.

    Parameters
    ----------
    let_go
        Called once when nobody needs the source's copy any more.
    abandoned
        Called once when it is known that the source's copy is to stay for good.

    Attributes
    ----------
    place
        Where the source keeps it, for messages.
    durable
        Whether "safe" means on the disk, so that it outlasts a power cut too.
    """

    def __init__(
        self,
        let_go: Callable[[], object],
        *,
        abandoned: Callable[[], object] = lambda: None,
        durable: bool = False,
        place: str = "",
    ) -> None:
        self.durable, self.place = durable, place
        self._let_go, self._abandoned = let_go, abandoned
        self._holders, self._stays = 1, False
        self._counting = threading.Lock()

    def hold(self) -> None:
        with self._counting:
            self._holders += 1

    def settle(self) -> None:
        with self._counting:
            self._holders -= 1
            is_last = self._holders == 0 and not self._stays
        if is_last:
            self._let_go()

    def abandon(self) -> None:
        """Say that this image is kept nowhere else: whatever others say, its source keeps it."""
        with self._counting:
            is_first, self._stays = not self._stays, True
        if is_first:
            self._abandoned()


def hold(receipts: Iterable[Receipt]) -> None:
    """Become one more holder of each."""
    for receipt in receipts:
        receipt.hold()


def settle(receipts: Iterable[Receipt]) -> None:
    """Say of each that the part of one holder is safe, or is wanted by nobody."""
    for receipt in receipts:
        receipt.settle()


def abandon(receipts: Iterable[Receipt]) -> None:
    """Leave what each is of to its source for good."""
    for receipt in receipts:
        receipt.abandon()
