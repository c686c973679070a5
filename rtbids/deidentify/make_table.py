"""Make ``table.json``, the confidentiality profiles of DICOM PS3.15 (Table E.1-1), from two packages that read the standard.

The base codes are those of the edition 2026c, from dicom_anonymizer 2.1.0 (BSD-3-Clause); the columns of the options from
dicom-standard 0.1.0 (MIT). That one is of 2020; for what is newer the VR says which option it falls under. Run it where
both are installed: ``python -m rtbids.deidentify.make_table STANDARD_FOLDER``, the folder being the one that dicom-standard
puts beside ``lib``.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom.datadict import dictionary_VR

EDITION = "2026c"
BASE = {
    "D_TAGS": "D",
    "Z_TAGS": "Z",
    "X_TAGS": "X",
    "U_TAGS": "U",
    "Z_D_TAGS": "Z/D",
    "X_Z_TAGS": "X/Z",
    "X_D_TAGS": "X/D",
    "X_Z_D_TAGS": "X/Z/D",
    "X_Z_U_STAR_TAGS": "X/Z/U*",
}
COLUMNS = {
    "rtnUIDsOpt": "uids",
    "rtnDevIdOpt": "device",
    "rtnInstIdOpt": "institution",
    "rtnPatCharsOpt": "patient",
    "rtnLongModifDatesOpt": "dates",
    "cleanDescOpt": "descriptors",
}


def base_codes() -> Iterator[tuple[str, str]]:
    """Yield tags (eight hexadecimal digits) and their codes in the basic profile; groups of tags are rules of their own."""
    fields = importlib.import_module(f"dicomanonymizer.dicom_anonymization_databases.dicomfields_{EDITION}")
    for name, code in BASE.items():
        yield from ((f"{tag[0]:04X}{tag[1]:04X}", code) for tag in getattr(fields, name) if len(tag) == 2)


def option_codes(standard: Path) -> dict[str, dict[str, str]]:
    """Return for each tag the codes of the options that have one."""
    rows = json.loads((standard / "confidentiality_profile_attributes.json").read_text(encoding="utf-8"))
    return {row["id"].upper(): {ours: row[theirs] for theirs, ours in COLUMNS.items() if row.get(theirs)} for row in rows}


def by_representation(tag: str, code: str) -> dict[str, str]:
    """Return what options a row falls under that is newer than the columns: a date, a time, a UID."""
    try:
        representation = dictionary_VR(int(tag, 16))
    except KeyError:  # newer than pydicom's dictionary too
        return {}
    if representation in ("DA", "DT", "TM"):
        return {"dates": "C"}
    return {"uids": "K"} if representation == "UI" and "U" in code else {}


def table(standard: Path) -> dict[str, Any]:
    """Return the whole table: the base code, and beside it the codes of options where there are any."""
    columns = option_codes(standard)
    rows: dict[str, list[Any]] = {}
    for tag, code in sorted(base_codes()):
        options = columns[tag] if tag in columns else by_representation(tag, code)
        rows[tag] = [code, options] if options else [code]
    return {
        "source": "DICOM PS3.15 Table E.1-1",
        "edition": EDITION,
        "base": "dicom_anonymizer 2.1.0, BSD-3-Clause, Copyright 2020, Kitware Europe",
        "options": "dicom-standard 0.1.0, MIT, Copyright (c) 2017 Innolitics, LLC",
        "rows": rows,
    }


def written(made: dict[str, Any]) -> str:
    """Return the table as text, a row a line."""
    head = "".join(f"{json.dumps(key)}: {json.dumps(value)},\n" for key, value in made.items() if key != "rows")
    rows = ",\n".join(f"{json.dumps(tag)}: {json.dumps(row)}" for tag, row in made["rows"].items())
    return f'{{\n{head}"rows": {{\n{rows}\n}}\n}}\n'


if __name__ == "__main__":
    Path(__file__).with_name("table.json").write_text(written(table(Path(sys.argv[1]))), encoding="utf-8")
