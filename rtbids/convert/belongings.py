"""What goes along with a run of a data set besides its volumes: the data set's own files, and its rows in the tables."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from rtbids.bids import dataset, rows, sidecar
from rtbids.bids import entities as bids_entities
from rtbids.bids.dataset import Run
from rtbids.errors import RtbidsError
from rtbids.volume import Belongings

logger = logging.getLogger("rtbids")


def of_run(run: Run, *, events: bool) -> Belongings:
    """Return what goes along with a run, other subjects' rows left out; the sidecar of its events where it has `events`.

    What cannot be read is left out with a warning: a run is not lost for a broken table beside it.
    """
    files: dict[str, bytes] = {}
    for name, content in _contents(run, events):
        if sum(map(len, files.values())) + len(content) > dataset.LARGEST_FILES:
            logger.warning("%s is too long to go along with the volumes (more than 4 MiB in all)", run.root / name)
        else:
            files[name] = content
    return Belongings(files, dict(_rows(run)), run.file)


def _contents(run: Run, events: bool) -> Iterator[tuple[str, bytes]]:
    for name in dataset.TOP_FILES:
        path = run.root / name
        try:
            if path.is_file() and path.stat().st_size <= dataset.LARGEST_FILES:
                yield name, path.read_bytes()
            elif path.is_file():
                logger.warning("%s is too long to go along with the volumes (more than 4 MiB)", path)
        except OSError as error:
            logger.warning("%s cannot be read and does not go along: %s", path, error.strerror or error)
    for suffix in ("sessions", *(["events"] if events else [])):
        if content := _sidecar(run, suffix):
            yield f"{suffix}.json", content


def _sidecar(run: Run, suffix: str) -> bytes | None:
    """Return the sidecar of a table as it applies to this run: one file as it is, several put together."""
    try:
        fields = sidecar.inherited(run.root, run.file, suffix)
        found = sidecar.companions(run.root, run.file, suffix, ".json")
        return found[0].read_bytes() if len(found) == 1 else sidecar.dumps(fields).encode() if found else None
    except (RtbidsError, OSError, ValueError) as error:
        logger.warning("%s; it does not go along with the run", error)
        return None


def _rows(run: Run) -> Iterator[tuple[str, rows.Row]]:
    for table, path, key in _tables(run):
        if not path.is_file():
            continue
        try:
            found = rows.read(path.read_bytes().decode("utf-8", "surrogateescape"), rows.COLUMN[table], str(path))
        except (RtbidsError, OSError) as error:
            logger.warning("%s; it does not go along with the run", error)
            continue
        if key in found:
            yield table, found[key]


def _tables(run: Run) -> Iterator[tuple[str, Path, str]]:
    subject, session = run.entities.get("subject"), run.entities.get("session")
    if not subject:
        return
    yield "participants", run.root / "participants.tsv", f"sub-{subject}"
    if session:
        yield "sessions", run.root / bids_entities.sessions(run.entities, ".tsv"), f"ses-{session}"
