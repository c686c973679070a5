"""JSON sidecars: reading by inheritance, writing in one way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtbids.bids import entities as bids_entities
from rtbids.errors import BadData


def dumps(fields: Mapping[str, Any]) -> str:
    """Return a sidecar's text: two spaces, one field a line, UTF-8, a newline at the end."""
    text = json.dumps(dict(fields), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if text.isascii() or not any("\ud800" <= one <= "\udfff" for one in text):
        return text
    return json.dumps(dict(fields), indent=2, allow_nan=False) + "\n"  # half a character, which UTF-8 does not have


def loads(text: str | bytes) -> Any:
    """Parse JSON; raise ValueError where it is none, or has NaN or Infinity, which JSON does not know and nobody can write."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"JSON has no {constant}")


def read(path: Path) -> dict[str, Any]:
    """Read one JSON object; raise BadData naming file and line."""
    try:
        fields = loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise BadData(f"{path}{line}: not JSON ({error})") from None
    if not isinstance(fields, dict):
        raise BadData(f"{path}: expected a JSON object, found {type(fields).__name__}")
    return fields


def inherited(root: Path, file: Path, suffix: str) -> dict[str, Any]:
    """Return the sidecar of `file` in the data set at `root`, nearer files overriding farther ones.

    The inheritance principle: a JSON with the same suffix, in a folder on the way from the root to the file, whose
    entities are all among the file's.
    """
    fields: dict[str, Any] = {}
    for candidate in companions(root, file, suffix, ".json"):
        fields.update(read(candidate))
    return fields


def companions(root: Path, file: Path, suffix: str, extension: str) -> list[Path]:
    """Return the files with `suffix` and `extension` that apply to `file`, from the farthest to the nearest."""
    return [candidate for _, candidate in _applying(root, file, suffix, extension)]


def ambiguous(root: Path, file: Path, suffix: str, extension: str) -> list[tuple[Path, Path]]:
    """Return pairs of files in one folder that both apply to `file` and of which neither is the more specific.

    BIDS does not allow them; the second of a pair overrides the first.
    """
    applying = _applying(root, file, suffix, extension)
    pairs = [(one, other) for place, one in enumerate(applying) for other in applying[place + 1 :]]
    return [
        (one, other) for (some, one), (more, other) in pairs if one.parent == other.parent and not some.items() <= more.items()
    ]


def _applying(root: Path, file: Path, suffix: str, extension: str) -> list[tuple[dict[str, str], Path]]:
    """Return what applies to `file`, with its entities: the farthest first, and within a folder the least specific."""
    own = bids_entities.parse(file.name)[0]
    folders = [root, *reversed([p for p in file.parents if p.is_relative_to(root) and p != root])]
    found = []
    for place in folders:
        here = []
        for candidate in place.glob(f"*{suffix}{extension}"):
            theirs, their_suffix, their_extension = bids_entities.parse(candidate.name)
            if their_suffix == suffix and their_extension == extension and theirs.items() <= own.items():
                here.append((theirs, candidate))
        found += sorted(here, key=lambda one: (len(one[0]), one[1]))
    return found
