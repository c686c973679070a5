"""What belongs to runs, on the wire: files under their names in BIDS, each written once, and tables of the subjects that flow.

A name from a stream is only compared with known ones; where a file goes later follows from the run that it belongs to.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping

from rtbids import __version__
from rtbids.bids import dataset, rows, sidecar
from rtbids.bids import entities as bids_entities
from rtbids.errors import BadData
from rtbids.stream import wire
from rtbids.volume import Belongings, Entities

logger = logging.getLogger("rtbids")
_OUR_NAME = "rtbids stream"
_PARTICIPANTS = "participants.tsv"
_FILES = (*dataset.TOP_FILES, "sessions.json", "events.json")
_SESSIONS = re.compile(r"(sub-[A-Za-z0-9]+)/\1_sessions\.(tsv|json)\Z")
_EVENTS = re.compile(r"sub-[A-Za-z0-9]+/(?:ses-[A-Za-z0-9]+/)?func/sub-[A-Za-z0-9_+-]+_events\.json\Z")


def belongs(name: str) -> bool:
    """Say whether a member of that name is what belongs to runs."""
    return name == _PARTICIPANTS or name in dataset.TOP_FILES or bool(_SESSIONS.match(name) or _EVENTS.match(name))


class Outgoing:
    """What has been said of the runs of a stream; `members` gives what is still to be said."""

    def __init__(self) -> None:
        self._said: dict[str, bytes] = {}
        self._tables: dict[str, dict[str, rows.Row]] = {}

    def head(self, belongings: Belongings | None) -> tuple[str, bytes]:
        """Return the first member of a stream: the description of the data set of its first run, or one of our own."""
        there = belongings.files.get(dataset.DESCRIPTION) if belongings else None
        text = sidecar.dumps(dataset.description(_OUR_NAME, __version__)).encode()
        self._said[dataset.DESCRIPTION] = there or text
        return dataset.DESCRIPTION, there or text

    def members(self, entities: Entities, belongings: Belongings | None) -> Iterator[tuple[str, bytes]]:
        """Give name and content of what a run brings that has not been said, or not so."""
        if belongings is None or not entities.get("subject"):
            return
        for name, content in self._files(entities, belongings):
            if self._said.get(name) != content:
                if name == dataset.DESCRIPTION and _is_of_another(content, self._said):
                    _drop_all_but_events(self._said)
                    self._tables.clear()
                self._said[name] = content
                yield name, content

    def _files(self, entities: Entities, belongings: Belongings) -> Iterator[tuple[str, bytes]]:
        for name in (name for name in _FILES if name in belongings.files):
            yield _place(name, entities), belongings.files[name]
        for table in (table for table in rows.COLUMN if table in belongings.rows):
            name = rows.file(table, entities, ".tsv")
            known = self._tables.setdefault(name, {})
            known[rows.key(table, entities)] = belongings.rows[table]
            yield name, rows.write(known, rows.COLUMN[table]).encode("utf-8", "surrogateescape")

    def forget(self, entities: Entities) -> None:
        """Say again, should this run begin anew, what belonged to it alone."""
        if entities.get("subject"):
            self._said.pop(_place("events.json", entities), None)


class Incoming:
    """What a stream has said so far that belongs to runs."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._files: dict[str, bytes] = {}
        self._tables: dict[str, dict[str, dict[str, str]]] = {}

    def take(self, member: wire.Member) -> bool:
        """Keep a member if it is of the sort; say whether it is."""
        if not belongs(member.name):
            return False
        if member.name.endswith(".tsv"):
            self._take_table(member)
        else:
            self._take_file(member)
        return True

    def _take_file(self, member: wire.Member) -> None:
        others = sum(len(content) for name, content in self._files.items() if name != member.name)
        if others + len(member.content) > dataset.LARGEST_FILES:
            logger.warning("%s: %s is too long and left out (more than 4 MiB in all)", self._where, member.name)
        elif not (member.name == dataset.DESCRIPTION and _is_ours(member.content)):
            content = bytes(member.content)
            if member.name == dataset.DESCRIPTION and _is_of_another(content, self._files):
                _drop_all_but_events(self._files)
                self._tables.clear()
            self._files[member.name] = content

    def _take_table(self, member: wire.Member) -> None:
        column = rows.COLUMN["participants" if member.name == _PARTICIPANTS else "sessions"]
        try:
            if len(member.content) > dataset.LARGEST_FILES:
                raise BadData(f"{member.name}: more than 4 MiB")
            text = str(member.content, "utf-8", "surrogateescape")
            self._tables[member.name] = rows.read(text, column, member.name)
        except BadData as error:
            logger.warning("%s: %s; the table is left out", self._where, error)

    def of_run(self, entities: Entities) -> Belongings | None:
        """Return what belongs to a run; None where nothing does."""
        if not entities.get("subject"):
            return None
        places = {name: _place(name, entities) for name in _FILES}
        files = {name: self._files[place] for name, place in places.items() if place in self._files}
        found = {}
        for table in rows.COLUMN:
            row = self._tables.get(rows.file(table, entities, ".tsv"), {}).get(rows.key(table, entities))
            if row is not None:
                found[table] = row
        return Belongings(files, found) if files or found else None

    def forget(self, entities: Entities) -> None:
        """Drop what belonged to a run alone, which is over."""
        if entities.get("subject"):
            self._files.pop(_place("events.json", entities), None)


def _place(name: str, entities: Entities) -> str:
    """Return where a file that belongs to a run stands in its data set."""
    kind, _, extension = name.partition(".")
    if kind in rows.COLUMN:
        return rows.file(kind, entities, f".{extension}")
    return str(bids_entities.path(entities, "events", ".json")) if kind == "events" else name


def _is_of_another(description: bytes, files: Mapping[str, bytes]) -> bool:
    """Say whether a description is of another data set than the one among `files`, whose README it has nothing to do with."""
    before = files.get(dataset.DESCRIPTION)
    return before is not None and _name(before) != _name(description)


def _name(description: bytes) -> object:
    try:
        fields = json.loads(description)
    except ValueError:
        return None
    return fields.get("Name") if isinstance(fields, dict) else None


def _drop_all_but_events(files: dict[str, bytes]) -> None:
    """Drop what belongs to a data set; what belongs to a run goes with the run."""
    for name in [name for name in files if not _EVENTS.match(name)]:
        del files[name]


def _is_ours(content: memoryview) -> bool:
    """Say whether a description is the one that `Outgoing` writes where the runs come from no data set."""
    try:
        fields = json.loads(bytes(content))
    except ValueError:
        return False
    return isinstance(fields, dict) and {**fields, "GeneratedBy": []} == {
        **dataset.description(_OUR_NAME, __version__),
        "GeneratedBy": [],
    }
