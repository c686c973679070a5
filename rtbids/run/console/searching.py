"""Files at the console that match a pattern."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from rtbids.errors import InputMissing, UsageFault
from rtbids.run.console import folders
from rtbids.run.console.allowed import Allowed, Place, checked, is_plain
from rtbids.run.console.call import Call, Entry

MOST_ENTRIES = 10_000
_WILD = re.compile(r"[*?\[]")


def listed(place: Place, call: Call) -> bytes:
    """Return the files of a folder that match, by name: a line of JSON each."""
    entries = sorted(_in_folder(place, call), key=lambda entry: entry.name)
    return b"".join(json.dumps([entry.name, entry.size, entry.modified]).encode() + b"\n" for entry in entries)


def newest(place: Place, call: Call) -> str | None:
    """Return the name of the file that matches and was written to last, None where none does."""
    top = Place(place.allowed, (), call.pattern, place.start)
    try:
        found = max(_found(top, place.parts, call), key=lambda entry: (entry.modified, entry.name), default=None)
    except InputMissing:  # a folder that is not there yet
        return None
    return found.name if found else None


def _in_folder(place: Place, call: Call) -> Iterator[Entry]:
    parts = checked(tuple(part for part in call.pattern.split("/") if part), call.pattern)
    for count, entry in enumerate(_found(place, parts, call)):
        if count == MOST_ENTRIES:
            raise UsageFault(f"{place.asked}: more than {MOST_ENTRIES} files match {call.pattern!r}: ask for fewer")
        yield entry


def _found(place: Place, pattern: tuple[str, ...], call: Call) -> Iterator[Entry]:
    if not pattern:
        raise UsageFault("expected a pattern such as '*.txt'")
    before = place.start + "".join(f"{part}/" for part in place.parts)
    with folders.top(place.allowed, place.asked) as top, folders.below(top, place.parts, place.asked) as folder:
        yield from _matches(folder, pattern, before, place.allowed, call)


def _matches(folder: int, pattern: tuple[str, ...], before: str, allowed: Allowed, call: Call) -> Iterator[Entry]:
    first, *rest = pattern
    if not rest:
        yield from _files(folder, first, before, allowed, call)
        return
    for name in _folders(folder, first, call) if _WILD.search(first) else (first,):
        with folders.below(folder, (name,), call.pattern) as deeper:
            yield from _matches(deeper, tuple(rest), f"{before}{name}/", allowed, call)


def _files(folder: int, pattern: str, before: str, allowed: Allowed, call: Call) -> Iterator[Entry]:
    for each in _named(folder, pattern, call):
        if allowed.permits(each.name) and each.is_file(follow_symlinks=False):
            try:
                about = each.stat(follow_symlinks=False)
            except FileNotFoundError:  # it was removed meanwhile
                continue
            yield Entry(before + each.name, about.st_size, about.st_mtime)


def _folders(folder: int, pattern: str, call: Call) -> list[str]:
    return sorted(each.name for each in _named(folder, pattern, call) if each.is_dir(follow_symlinks=False))


def _named(folder: int, pattern: str, call: Call) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            for each in entries:
                call.check_time()
                if is_plain(each.name) and fnmatchcase(each.name, pattern):
                    yield each
    except OSError as error:
        raise folders.missing(call.name or call.pattern, error) from None
