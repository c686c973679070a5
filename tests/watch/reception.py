"""A receiver on a port of its own, and what it is sent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import dcmread

from rtbids import dicomnet
from rtbids.clock import CLOCK
from rtbids.convert.dicom import Instance
from rtbids.dicomnet import Address, Sender
from rtbids.pipeline import Wakeup
from rtbids.receipt import settle
from rtbids.replay.scanner import Phantom, dicoms
from rtbids.watch.storage_scp import instances

LONG = 20.0  # seconds: the bound of a wait for something that takes milliseconds
RUN = list(dicoms(Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 14.0), volumes=6)))
MR = dicomnet.MR[0]


class Reception:
    """A receiver in a thread of its own that takes images as long as `hold` is not set."""

    def __init__(self, spool: Path, **options: Any) -> None:
        self.spool = spool
        self.contents: list[bytes] = []
        self.received: list[float] = []
        self.paced: list[bool] = []
        self.faults: list[str] = []
        self.error: Exception | None = None
        self.taking = threading.Event()
        self._stop = Wakeup()
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self.mode = ""
        if not options.pop("hold", False):
            self.taking.set()
        options = {"stop": self._stop, "on_mode": self._told, "faults": self.faults, **options}
        address = options.pop("address", Address("RTBIDS", "127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, args=(address, options), daemon=True)
        self._thread.start()
        assert self._ready.wait(LONG)

    @property
    def address(self) -> Address:
        return Address("RTBIDS", "127.0.0.1", int(self.mode.partition(",")[0].rpartition(":")[2]))

    @property
    def numbers(self) -> list[int]:
        return [int(dcmread(BytesIO(content)).InstanceNumber) for content in self.contents]

    def _told(self, mode: str) -> None:
        self.mode = mode
        self._ready.set()

    def _run(self, address: Address, options: dict[str, Any]) -> None:
        try:
            for instance in instances(address, spool=self.spool, **options):
                self._take(instance)
                self.taking.wait(LONG)
                settle(instance.receipts)
        except Exception as error:
            self.error = error
        self._ready.set()

    def _take(self, instance: Instance) -> None:
        with self._changed:
            self.contents.append(bytes(instance.content))
            self.received.append(instance.received)
            self.paced.append(instance.paced)
            self._changed.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = CLOCK.now() + LONG
        with self._changed:
            while not condition():
                assert CLOCK.now() < deadline, f"came: {self.numbers}, faults: {self.faults}, error: {self.error}"
                self._changed.wait(0.02)

    def came(self, count: int) -> list[int]:
        self.until(lambda: len(self.contents) >= count)
        return self.numbers

    def stop(self) -> None:
        self.taking.set()
        self._stop.set()
        self.ended()

    def ended(self) -> None:
        self._thread.join(LONG)
        assert not self._thread.is_alive()


def send(files: list[bytes], address: Address, **options: Any) -> None:
    with Sender(address, files=files[:1], **options) as sender:
        for content in files:
            sender.send(content)


def in_spool(reception: Reception) -> list[Path]:
    return sorted(path for path in reception.spool.iterdir() if not path.name.startswith("."))


def dataset_of(content: bytes) -> bytes:
    return content[144 + int.from_bytes(content[140:144], "little") :]
