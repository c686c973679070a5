"""The volumes that scripts were given, kept beside them for ``run.volumes``: a file a run, gone with the run."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import struct
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

import numpy as np

from rtbids import nifti
from rtbids.errors import CannotWrite, RtbidsError
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
        self._written: set[int] = set()  # indices
        self._latest, self._count = -1, 0
        affine = nifti.as_stored(np.array(first["affine"]).reshape(4, 4))
        shape, dtype = (*first["shape"], 1), np.dtype(first["dtype"])
        self._size = nifti.Header(shape, dtype, affine, first["slope"], first["inter"], 0.0).volume_bytes
        self._file = path.open("wb", buffering=0)
        self._file.write(nifti.pack(nifti.Header(shape, dtype, affine, first["slope"], first["inter"], 0.0)))

    def where(self, index: int) -> Where:
        """Return where a volume is, or will be: it counts as written with the next one."""
        place = self._places.setdefault(index, len(self._places))
        return Where(file=str(self.path), place=place, written=self._latest, is_in_data_set=False)

    @property
    def most(self) -> int:
        """How many bytes it takes up at the most once every place is written."""
        return nifti.HEADER + len(self._places) * self._size

    def write(self, index: int, voxels: MemoryFile) -> None:
        """Write a volume to its place, unless that was done before; one script may be given one that another was not."""
        if index in self._written:
            return
        content, at = whole(voxels.descriptor), nifti.HEADER + self._places[index] * self._size
        if len(content) != self._size or os.pwrite(self._file.fileno(), content, at) < self._size:
            raise OSError("not all was written")
        self._written.add(index)
        self._latest, self._count = max(self._latest, index), max(self._count, self._places[index] + 1)
        os.pwrite(self._file.fileno(), struct.pack("<h", self._count), nifti.COUNT_OFFSET)

    def close(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


class Kept:
    """The runs of a session in `folder`. Where the disk refuses, scripts have the latest volumes of that run only.

    They take up at most half of what is free there at first: it may be the machine's memory, as ``/tmp`` often is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs: dict[_Key, KeptRun] = {}
        self._refused: set[_Key] = set()  # a run is kept whole or not at all
        self._most: int | None = None  # bytes

    def located(self, reader: Hashable, message: Message) -> Message:
        """Return the line of a volume, which says where that will be."""
        key, where = run_key(message["entities"]), message["where"]
        if key not in self._refused:
            with self._keeping(key):
                run = self._run(key, message)
                run.readers.add(reader)
                found = {**asdict(run.where(message["index"])), "length": where["length"]}
                self._demand_room()
                where = found
        return {**message, "where": where}

    def keep(self, message: Message, voxels: MemoryFile) -> None:
        """Write the volume of a line that was delivered: nobody waits for it before the next."""
        key = run_key(message["entities"])
        if key not in self._refused:
            with self._keeping(key):
                self._run(key, message).write(message["index"], voxels)

    @contextmanager
    def _keeping(self, key: _Key) -> Iterator[None]:
        """Have a disk that refuses cost what is kept of this run, and no more."""
        try:
            yield
        except (OSError, RtbidsError) as error:
            self._refused.add(key)
            logger.warning("run.volumes holds the latest volumes only: %s", error)

    def ended(self, reader: Hashable, entities: dict[str, str]) -> None:
        """Forget a run that every script has ended."""
        self._let_go(reader, run_key(entities))

    def left(self, reader: Hashable) -> None:
        """Forget what nobody but this script had a use for."""
        for key in list(self._runs):
            self._let_go(reader, key)

    def _let_go(self, reader: Hashable, key: _Key) -> None:
        if (run := self._runs.get(key)) is not None:
            run.readers.discard(reader)
            if not run.readers:
                self._runs.pop(key).close()

    def _demand_room(self) -> None:
        taken = sum(run.most for run in self._runs.values())
        if self._most is not None and taken > self._most:
            raise CannotWrite(f"{self._folder}: they would take up more than half of what was free ({self._most >> 20} MB)")

    def _run(self, key: _Key, message: Message) -> KeptRun:
        if key not in self._runs:
            self._folder.mkdir(parents=True, exist_ok=True)
            if self._most is None:
                self._most = shutil.disk_usage(self._folder).free // 2
            name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
            self._runs[key] = KeptRun(self._folder / f"{name}.nii", message)
        return self._runs[key]
