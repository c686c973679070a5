"""A receiver on a port of its own, and what it is sent."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any

from listening import LONG, Listening

from rtbids import dicomnet
from rtbids.convert.dicom import Instance
from rtbids.dicomnet import Address, Sender
from rtbids.receipt import settle
from rtbids.replay.scanner import Phantom, dicoms
from rtbids.watch.storage_scp import instances

RUN = list(dicoms(Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 14.0), volumes=6)))
MR = dicomnet.MR[0]


class Reception(Listening):
    """A receiver that takes images as long as `hold` is not set."""

    def __init__(self, spool: Path, **options: Any) -> None:
        self.spool = spool
        self.contents: list[bytes] = []
        self.received: list[float] = []
        self.paced: list[bool] = []
        self.taking = threading.Event()
        if not options.pop("hold", False):
            self.taking.set()
        address = options.pop("address", Address("RTBIDS", "127.0.0.1", 0))
        super().__init__(partial(instances, address, spool=spool), **options)

    @property
    def mode(self) -> str:
        return self.modes[-1]

    @property
    def address(self) -> Address:
        return Address("RTBIDS", "127.0.0.1", int(self.mode.partition(",")[0].rpartition(":")[2]))

    def take(self, instance: Instance) -> None:
        self.contents.append(bytes(instance.content))
        self.received.append(instance.received)
        self.paced.append(instance.paced)
        self.note(instance)
        self.taking.wait(LONG)
        settle(instance.receipts)

    def stop(self) -> None:
        self.taking.set()
        super().stop()


def send(files: list[bytes], address: Address, **options: Any) -> None:
    with Sender(address, files=files[:1], **options) as sender:
        for content in files:
            sender.send(content)


def in_spool(reception: Reception) -> list[Path]:
    return sorted(path for path in reception.spool.iterdir() if not path.name.startswith("."))


def dataset_of(content: bytes) -> bytes:
    return content[144 + int.from_bytes(content[140:144], "little") :]
