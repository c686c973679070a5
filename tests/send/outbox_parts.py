"""What tests of the outbox share: images to send, a de-identification, and a far side that is a folder with real files."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import pydicom

from rtbids.errors import BadData, ConnectionLost
from rtbids.replay.phantom import Phantom
from rtbids.replay.scanner import dicoms
from rtbids.send.destinations import Failure, Item
from rtbids.send.found import Found

PHANTOM = Phantom(shape=(16, 16, 4), volumes=12)


@dataclass(frozen=True)
class Blank:
    """An image without its name, under other identifiers."""

    content: bytes
    sop_class: str
    instance: str
    series: str
    study: str
    patient: str


def blank(content: bytes) -> Blank:
    """De-identify just enough to tell what comes in from what goes out; the same comes out each time."""
    try:
        image = pydicom.dcmread(BytesIO(content))
    except pydicom.errors.InvalidDicomError:
        raise BadData("not a DICOM file") from None
    for name in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        setattr(image, name, f"2.25.{int.from_bytes(hashlib.sha256(image[name].value.encode()).digest()[:15])}")
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.PatientName, image.PatientID = "", "new"
    written = BytesIO()
    image.save_as(written)
    return Blank(
        written.getvalue(), image.SOPClassUID, image.SOPInstanceUID, image.SeriesInstanceUID, image.StudyInstanceUID, "new"
    )


def image(number: int, name: str = "Doe^Jane", pixel: int = 0) -> bytes:
    """Return a DICOM file of its own SOP Instance UID, `number`, of a subject of that name."""
    found = pydicom.dcmread(BytesIO(_template()))
    found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.{number}"
    found.PatientName, found.PatientID = name, "jane-1970"
    found.PixelData = bytes([pixel]) + found.PixelData[1:]
    written = BytesIO()
    found.save_as(written)
    return written.getvalue()


def _template(made: list[bytes] = []) -> bytes:  # noqa: B006
    if not made:
        made.append(next(iter(dicoms(PHANTOM))))
    return made[0]


def folder_of(root: Path, numbers: Sequence[int], **kind: object) -> Found:
    """Write a finished folder of images."""
    root.mkdir(parents=True, exist_ok=True)
    files = []
    for number in numbers:
        files.append(root / f"{number:04d}.dcm")
        files[-1].write_bytes(image(number, **kind))
    return Found(root.name, root, tuple(files))


@dataclass
class FarSide:
    """A destination that is a folder: an image is there when its file is; every arrival is a line in ``arrivals``."""

    folder: Path
    url: str = "file:///far"
    parallel: int = 1
    whole: bool = False
    verify: Literal["query", "status"] = "query"
    refusing: Callable[[Item], Failure | None] = lambda item: None
    fault: Exception | None = None  # raised by who connects
    breaks_after: int | None = None  # images that one connection carries
    forgets: frozenset[str] = frozenset()  # instances that it says it stored, and has not

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._turn = threading.Lock()
        self.opened = 0

    @contextmanager
    def open(self) -> Iterator[FarSide]:
        self.opened += 1
        if self.fault is not None:
            raise self.fault
        yield self

    def send(self, items: Sequence[Item]) -> Iterator[tuple[Item, Failure | None]]:
        for count, item in enumerate(items):
            if count == self.breaks_after:
                raise ConnectionLost("the far side hung up")
            if (failure := self.refusing(item)) is None and item.instance not in self.forgets:
                self._store(item)
            yield item, failure

    def present(self, items: Sequence[Item]) -> set[str]:
        return {item.instance for item in items if (self.folder / f"{item.instance}.dcm").exists()}

    def _store(self, item: Item) -> None:
        content = item.path.read_bytes()
        assert hashlib.sha256(content).hexdigest() == item.sha256
        unfinished = self.folder / f"{item.instance}.{os.getpid()}.{threading.get_ident()}.part"
        with self._turn:
            unfinished.write_bytes(content)
            with (self.folder / "arrivals").open("a") as arrivals:
                os.replace(unfinished, self.folder / f"{item.instance}.dcm")
                arrivals.write(f"{item.instance}\n")

    @property
    def arrivals(self) -> list[str]:
        """Instances in the order of arrival, one that came twice twice."""
        lines = self.folder / "arrivals"
        return lines.read_text().split() if lines.exists() else []
