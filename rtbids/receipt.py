"""A source's word that it keeps what it has handed out until that is safe elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable


class Receipt:
    """Goes with an image, and with what is made of it, until each who holds it has said that its part is safe.

    Then, and not before, `let_go` is called. Who drops a receipt without a word, because it is killed or fails, leaves the
    source with what it has. A receipt begins with one holder.

    Attributes
    ----------
    durable
        Whether "safe" means on the disk, so that it outlasts a power cut too.
    """

    def __init__(self, let_go: Callable[[], object], *, durable: bool = False) -> None:
        self.durable = durable
        self._let_go = let_go
        self._holders = 1
        self._counting = threading.Lock()

    def hold(self) -> None:
        with self._counting:
            self._holders += 1

    def settle(self) -> None:
        with self._counting:
            self._holders -= 1
            is_last = self._holders == 0
        if is_last:
            self._let_go()


def hold(receipts: Iterable[Receipt]) -> None:
    """Become one more holder of each."""
    for receipt in receipts:
        receipt.hold()


def settle(receipts: Iterable[Receipt]) -> None:
    """Say of each that the part of one holder is safe, or is wanted by nobody."""
    for receipt in receipts:
        receipt.settle()
