"""The page of the profile's table, from the table itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydicom.datadict import dictionary_description, dictionary_has_tag, dictionary_VR

from rtbids.deidentify import markers
from rtbids.deidentify.profile import Options, Profile, rows, table

PAGE = Path(__file__).resolve().parent / "reference" / "profile-table.rst"
INTRODUCTION = f"""\
The table of the profile
========================

What becomes of the public elements that DICOM PS3.15, Table E.1-1 lists (edition {table()["edition"]}), without options. It is
made by ``make docs`` from ``rtbids/deidentify/table.json``. Any other public element stays, unless its VR says otherwise:
:doc:`deidentification`.

The codes are those of the standard: X remove, Z empty, D a dummy, U a new UID; of combined ones that is taken which suits every
type of attribute (X/Z and Z empty, X/D, Z/D and X/Z/D a dummy). The last column names what ``--retain``
or ``--dates`` keeps it.

"""
_MEANING = """\
Codes that a file carries
-------------------------

``(0012,0064)`` lists what was really applied, in the scheme DCM.

"""
_RETAINED = ("uids", "device", "institution", "patient")


def page() -> str:
    """Return the text of the page."""
    return INTRODUCTION + _listing(_HEAD, _rows()) + "\n" + _MEANING + _listing(("code", "meaning"), _codes())


_HEAD = ("element", "name", "code", "what is done", "retained by")


def _rows() -> Iterator[tuple[str, ...]]:
    profile = Profile(Options())
    for tag, (code, columns) in rows().items():
        if tag >> 16 < 8:  # of messages, files' heads and media: what there is of them is written anew
            continue
        known = dictionary_has_tag(tag)
        name = dictionary_description(tag) if known else "newer than the dictionary here"
        action = profile.action(tag, dictionary_VR(tag) if known else "UN")
        retained = [option for option, letter in columns.items() if option in _RETAINED and letter == "K"]
        retained += ["dates"] if "dates" in columns else []
        yield f"({tag >> 16:04X},{tag & 0xFFFF:04X})", name, code, action.value, ", ".join(retained)


def _codes() -> Iterator[tuple[str, str]]:
    yield from markers.MEANINGS.items()


def _listing(head: tuple[str, ...], lines: Iterator[tuple[str, ...]]) -> str:
    table = [".. list-table::", "   :header-rows: 1", ""]
    for cells in (head, *lines):
        first, *rest = [cell.replace("*", "\\*") for cell in cells]
        table += [f"   * - {first}", *(f"     - {cell}".rstrip() for cell in rest)]
    return "\n".join(table) + "\n"
