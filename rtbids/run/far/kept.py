"""The volumes that scripts were given, kept beside them for ``run.volumes``: a file a run, gone with the run."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
from collections.abc import Hashable
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
        affine = nifti.as_stored(np.array(first["affine"]).reshape(4, 4))
        shape, dtype = (*first["shape"], 1), np.dtype(first["dtype"])
        self._size = nifti.Header(shape, dtype, affine, first["slope"], first["inter"], 0.0).volume_bytes
        self._file = path.open("wb", buffering=0)
        self._file.write(nifti.pack(nifti.Header(shape, dtype, affine, first["slope"], first["inter"], 0.0)))

    def keep(self, index: int, voxels: MemoryFile) -> Where:
        """Return where a volume is, which is written unless it was before."""
        if index not in self._places:
            place = len(self._places)
            content = whole(voxels.descriptor)
            if (
                len(content) != self._size
                or os.pwrite(self._file.fileno(), content, nifti.HEADER + place * self._size) < self._size
            ):
                raise OSError("not all was written")
            os.pwrite(self._file.fileno(), struct.pack("<h", place + 1), nifti.COUNT_OFFSET)
            self._places[index] = place
        return Where(file=str(self.path), place=self._places[index], written=index, is_in_data_set=False)

    def close(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


class Kept:
    """The runs of a session in `folder`. Where the disk refuses, scripts have the latest volumes only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs: dict[_Key, KeptRun] = {}
        self._has_failed = False

    def keep(self, reader: Hashable, message: Message, voxels: MemoryFile) -> Message:
        """Keep the volume of a line; return the line, which says where."""
        if self._has_failed:
            return message
        try:
            run = self._run(message)
            run.readers.add(reader)
            where = run.keep(message["index"], voxels)
        except (OSError, RtbidsError) as error:
            self._has_failed = True
            logger.warning("run.volumes holds the latest volumes only: %s", error)
            return message
        return {**message, "where": {**asdict(where), "length": message["where"]["length"]}}

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
