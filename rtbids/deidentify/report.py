"""What was done to which element of which series: names of elements and counts of files, never a value.

Written as JSON, as a table (TSV) or as a page (HTML), by the ending of the file's name.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.datadict import keyword_for_tag

from rtbids import __version__
from rtbids.deidentify import lost_facts, markers, report_page, weakening
from rtbids.deidentify.clean import Clean, Done
from rtbids.deidentify.destinations import check_place, write_whole
from rtbids.deidentify.profile import Action, Profile, table
from rtbids.errors import CannotWrite, UsageFault

FORMS = (".json", ".tsv", ".html")
_ITEM = re.compile(r"\[\d+\]")
_LAST = re.compile(r"\(([0-9A-F]{4}),([0-9A-F]{4})\)$")
_PRIVATE = re.compile(r"\([0-9A-F]{4},xx[0-9A-F]{2} [^()]*(\([^()]*\))?\)$")  # with its creator
_GROUP_LENGTH = ",0000)"  # never written anew, and nobody's loss
_COLUMNS = ("series", "element", "keyword", "action", "files")


@dataclass(frozen=True)
class About:
    """How it was done: the profile, and what stood beside it."""

    profile: Profile
    key: str | None = None  # its fingerprint
    recipe_sha256: str | None = None
    service: bool = False
    verified: bool = False
    defaced_by: str | None = None


@dataclass
class _Series:
    files: int = 0
    done: Counter[tuple[str, Action]] = field(default_factory=Counter)


@dataclass
class Report:
    """The report of a command, file after file."""

    about: About
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    series: dict[str, _Series] = field(default_factory=dict)

    def written(self, clean: Clean) -> None:
        """Note a file that was written; elements at the same place in several items of a sequence count once."""
        self.counts["written"] += 1
        series = self.series.setdefault(clean.series, _Series())
        series.files += 1
        shown = clean.done.shown() if isinstance(clean.done, Done) else clean.done.items()
        done = {(_ITEM.sub("[]", path), action) for path, action in shown}
        series.done.update(one for one in done if not one[0].endswith(_GROUP_LENGTH))

    def left_out(self, kind: str, reason: str) -> None:
        """Note a file that was not written: ``skipped``, ``refused``, ``bad``, ``copies``."""
        self.counts[kind] += 1
        self.reasons[reason] += 1

    def content(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return {
            **_head(self.about),
            "files": dict(sorted(self.counts.items())),
            "left_out": [{"reason": reason, "files": count} for reason, count in self.reasons.most_common()],
            "series": [_one(uid, series) for uid, series in self.series.items()],
        }

    def write(self, path: Path) -> None:
        """Write the report; the ending of the name says how."""
        content = self.content()
        text = {".json": _json, ".tsv": _tsv, ".html": report_page.page}[path.suffix.lower()](content)
        write_whole(path, text.encode())


def check(path: Path, *, overwrite: bool) -> None:
    """Refuse a name for a report before any work: an ending that says nothing, a folder that is not there, a file that is."""
    if path.suffix.lower() not in FORMS:
        raise UsageFault(f"--report {path}: expected a name that ends with {', '.join(FORMS[:-1])} or {FORMS[-1]}")
    check_place(path)
    if path.exists() and not overwrite:
        raise CannotWrite(f"{path} is there already", "name another file, or allow it with --overwrite")


def _head(about: About) -> dict[str, Any]:
    let_through = weakening.of(about.profile)
    options = {
        name: sorted(value) if isinstance(value, frozenset) else value for name, value in vars(about.profile.options).items()
    }
    listed = markers.codes(about.profile.options)
    return {
        "made_by": f"rtbids {__version__}",
        "profile": f"DICOM PS3.15 {table()['edition']} Basic Profile",
        "options": options,
        "codes": {code: markers.MEANINGS[code] for code in listed if not (let_through and code == "113100")},
        "recipe": {
            "sha256": about.recipe_sha256,
            "rules": len(about.profile.changes),
            "lets_through": list(let_through.names),
        },
        "private_facts_lost": lost_facts.of_private(about.profile),
        "key": about.key,
        "identifiers_service": about.service,
        "verified": about.verified,
        "defaced_by": about.defaced_by,
    }


def _one(uid: str, series: _Series) -> dict[str, Any]:
    return {
        "series": uid,
        "files": series.files,
        "lost_for_bids": lost_facts.of(series.done),
        "elements": [
            {"element": path, "keyword": _keyword(path), "action": action.value, "files": count}
            for (path, action), count in sorted(series.done.items(), key=lambda one: (one[0][0], one[0][1].value))
        ],
    }


def _keyword(path: str) -> str:
    """Return the keyword of the last element of a path; a private one has none."""
    if _PRIVATE.search(path):
        return "private"
    last = _LAST.search(path)
    tag = int(last[1] + last[2], 16) if last else 0
    return keyword_for_tag(tag) or ("private" if tag >> 16 & 1 else "unknown")


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1) + "\n"


def _tsv(content: Mapping[str, Any]) -> str:
    return "".join("\t".join(row) + "\n" for row in (_COLUMNS, *_rows(content)))


def _rows(content: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for series in content["series"]:
        for element in series["elements"]:
            yield (series["series"], *(str(element[column]) for column in _COLUMNS[1:]))
