"""BIDS entities and the names made of them.

Entities go by their long names (``subject``, ``acquisition``); the short keys (``sub``, ``acq``) stand only in file names.
Order and keys are those of the BIDS specification 1.10, appendix "Entity table".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from rtbids.errors import UsageFault

KEYS = {
    "subject": "sub",
    "session": "ses",
    "task": "task",
    "acquisition": "acq",
    "ceagent": "ce",
    "tracer": "trc",
    "reconstruction": "rec",
    "direction": "dir",
    "run": "run",
    "modality": "mod",
    "echo": "echo",
    "flip": "flip",
    "inversion": "inv",
    "part": "part",
    "space": "space",
    "description": "desc",
}
_LONG = {short: long for long, short in KEYS.items()}
_NUMBERED = ("run", "echo", "flip", "inversion")
_LABEL = re.compile(r"[A-Za-z0-9]+\Z")


def label(entity: str, value: str) -> str:
    """Return `value` as a label of `entity`: a prefix such as ``sub-`` is stripped, anything but letters and digits refused."""
    text = value.removeprefix(KEYS[entity] + "-")
    if not _LABEL.match(text):
        raise UsageFault(f"{entity}: a BIDS label has only letters and digits, found {value!r}")
    if entity in _NUMBERED and not text.isdigit():
        raise UsageFault(f"{entity}: expected a whole number, found {value!r}")
    return text


def clean_label(text: str) -> str:
    """Return the letters and digits of a free text, e.g. of a protocol name; empty where there are none."""
    return re.sub(r"[^A-Za-z0-9]", "", text)


def said(name: str, entity: str) -> str | None:
    """Return the label that a free name gives an entity in BIDS's own way: ``fast`` of ``anat-T1w_acq-fast``."""
    found = re.search(rf"(?:^|[_\s]){KEYS[entity]}-([A-Za-z0-9]+)", name)
    return found[1] if found and (entity not in _NUMBERED or found[1].isdigit()) else None


def task_label(protocol: str) -> str:
    """Return the task in a protocol's name: ``nf`` of ``func_task-nf_run-1``, else its letters and digits, else ``rest``."""
    named = re.search(r"(?:^|[_ ])task-([A-Za-z0-9]+)", protocol)
    return named[1] if named else clean_label(protocol) or "rest"


def beside_magnitude(entities: Mapping[str, str]) -> dict[str, str]:
    """Return entities without the part of magnitudes: a run is the same whether its name has it or not."""
    return {entity: label for entity, label in entities.items() if (entity, label) != ("part", "mag")}


def stem(entities: Mapping[str, str]) -> str:
    """Return the entities as BIDS writes them: ``sub-01_task-nf_run-01``."""
    return "_".join(f"{short}-{entities[long]}" for long, short in KEYS.items() if entities.get(long))


def folder(entities: Mapping[str, str], datatype: str = "func") -> PurePosixPath:
    """Return the folder of a file within its data set: ``sub-01/ses-1/func``."""
    parts = [f"{KEYS[entity]}-{entities[entity]}" for entity in ("subject", "session") if entities.get(entity)]
    return PurePosixPath(*parts, datatype)


def path(entities: Mapping[str, str], suffix: str, extension: str, datatype: str = "func") -> PurePosixPath:
    """Return where a file stands within its data set."""
    return folder(entities, datatype) / f"{stem(entities)}_{suffix}{extension}"


def sessions(entities: Mapping[str, str], extension: str) -> PurePosixPath:
    """Return where the table of a subject's sessions, or its sidecar, stands within the data set."""
    subject = f"{KEYS['subject']}-{entities['subject']}"
    return PurePosixPath(subject, f"{subject}_sessions{extension}")


def parse(name: str) -> tuple[dict[str, str], str, str]:
    """Split a file name into (entities, suffix, extension); keys that BIDS does not know are left out."""
    base = name.rsplit("/", 1)[-1]
    first, dot, extension = base.partition(".")
    *pairs, suffix = first.split("_")
    entities = {}
    for pair in pairs:
        key, _, value = pair.partition("-")
        if key in _LONG and value:
            entities[_LONG[key]] = value
    return entities, suffix, dot + extension


def same_run(wanted: str, found: str) -> bool:
    """Compare run labels as numbers: ``1`` is ``01``."""
    return wanted == found or (wanted.isdecimal() and found.isdecimal() and int(wanted) == int(found))
