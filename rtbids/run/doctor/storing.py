"""How long an image takes over the DICOM network into the spool, from a sender on this machine."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rtbids.clock import CLOCK
from rtbids.dicomnet import Address, Sender
from rtbids.run.doctor.probe_folder import probe_folder
from rtbids.run.doctor.row import Cost, Row, look, ok
from rtbids.run.doctor.spread import Spread, span, spread
from rtbids.watch.associations import Guests, Listener
from rtbids.watch.door import SUCCESS, Door
from rtbids.watch.faults import Faults
from rtbids.watch.spool import Spool

WARM = 2  # images before those that count
SLOW = 0.1  # seconds


@dataclass(frozen=True)
class Storing:
    """Seconds from the first byte of an image to its sender's answer."""

    took: Spread


class _Keeping(Door):
    """Puts each image into a spool, as a live source does."""

    def __init__(self, spool: Spool) -> None:
        super().__init__(Faults(None), CLOCK)
        self._kept = spool

    def store(self, content: bytes, received: float) -> int:
        self._kept.keep(bytes(content))
        return SUCCESS


def measure(files: Sequence[bytes]) -> Storing:
    """Store images at a port of this machine's own; nobody else is let in."""
    title = secrets.token_hex(8)
    with probe_folder(Path(tempfile.gettempdir())) as inner, closing(Spool(inner / "spool")) as spool:
        here = Address(title, "127.0.0.1", 0)
        with closing(Listener(here, _Keeping(spool), Guests(frozenset({title})), None)) as listener:
            where = Address(title, here.host, listener.port)
            with Sender(where, calling=title, files=files[:1]) as sender:
                return Storing(spread([_sent(sender, content) for content in files][WARM:]))


def _sent(sender: Sender, content: bytes) -> float:
    begun = time.perf_counter()
    sender.send(content)
    return time.perf_counter() - begun


def judge(storing: Storing) -> tuple[Row, ...]:
    text = f"an image sent and in the spool in {span(storing.took.median)} (p99 {span(storing.took.p99)}), on this machine"
    if storing.took.median > SLOW:
        return (look("storing", text, "slow: is the machine busy?", "end what is not needed"),)
    return (ok("storing", text),)


def costs(storing: Storing) -> tuple[Cost, ...]:
    return (Cost("network", storing.took.median, storing.took.p99),)
