"""The volumes that scripts were given, kept beside them for ``run.volumes``: a file a run, gone with the run."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

import numpy as np

from rtbids import nifti
from rtbids.errors import RtbidsError
from rtbids.run.far.contents import whole
from rtbids.run.past.where import Where
from rtbids.run.process.channel import Message
from rtbids.run.process.memory_file import MemoryFile
from rtbids.volume import run_key

_Key: TypeAlias = tuple[tuple[str, str], ...]
logger = logging.getLogger("rtbids")


class KeptRun:
    """One run's file. Volumes come in the order of their index, and more than once where scripts are given them anew."""

    def __init__(self, path: Path, first: Message) -> None:
        self.path = path
        self.readers: set[Hashable] = set()  # who was given volumes and has not ended the run
        self._places: dict[int, int] = {}
        self._written = -1
        affine = nifti.as_stored(np.array(first["affine"]).reshape(4, 4))
        shape, dtype = (*first["shape"], 1), np.dtype(first["dtype"])
        self._size = nifti.Header(shape, dtype, affine, first["slope"], first["inter"], 0.0).volume_bytes
        self._file = path.open("wb", buffering=0)
        self._file.write(nifti.pack(nifti.Header(shape, dtype, affine, first["slope"], first["inter"], 0.0)))

    def where(self, index: int) -> Where:
        """Return where a volume is, or will be: it counts as written with the next one."""
        place = self._places.setdefault(index, len(self._places))
        return Where(file=str(self.path), place=place, written=self._written, is_in_data_set=False)

    def write(self, index: int, voxels: MemoryFile) -> None:
        """Write a volume to its place, unless that was done before."""
        if index <= self._written:
            return
        content, place = whole(voxels.descriptor), self._places[index]
        at = nifti.HEADER + place * self._size
        if len(content) != self._size or os.pwrite(self._file.fileno(), content, at) < self._size:
            raise OSError("not all was written")
        os.pwrite(self._file.fileno(), struct.pack("<h", place + 1), nifti.COUNT_OFFSET)
        self._written = index

    def close(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


class Kept:
    """The runs of a session in `folder`. Where the disk refuses, scripts have the latest volumes only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs: dict[_Key, KeptRun] = {}
        self._has_failed = False

    def located(self, reader: Hashable, message: Message) -> Message:
        """Return the line of a volume, which says where that will be."""
        if self._has_failed:
            return message
        where = message["where"]
        with self._failing():
            run = self._run(message)
            run.readers.add(reader)
            where = {**asdict(run.where(message["index"])), "length": where["length"]}
        return {**message, "where": where}

    def keep(self, message: Message, voxels: MemoryFile) -> None:
        """Write the volume of a line that was delivered: nobody waits for it before the next."""
        if not self._has_failed:
            with self._failing():
                self._run(message).write(message["index"], voxels)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Have a disk that refuses cost what is kept, and no more."""
        try:
            yield
        except (OSError, RtbidsError) as error:
            self._has_failed = True
            logger.warning("run.volumes holds the latest volumes only: %s", error)

    def ended(self, reader: Hashable, entities: dict[str, str]) -> None:
        """Forget a run that every script has ended."""
        key = run_key(entities)
        if (run := self._runs.get(key)) is not None:
            run.readers.discard(reader)
            if not run.readers:
                self._runs.pop(key).close()

    def _run(self, message: Message) -> KeptRun:
        key = run_key(message["entities"])
        if key not in self._runs:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
            self._runs[key] = KeptRun(self._folder / f"{name}.nii", message)
        return self._runs[key]
