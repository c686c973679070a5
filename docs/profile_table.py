"""The page of the profile's table, from the table itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydicom.datadict import dictionary_description, dictionary_has_tag, dictionary_VR

from rtbids.deidentify import kept, markers
from rtbids.deidentify.profile import Options, Profile, rows, table

PAGE = Path(__file__).resolve().parent / "reference" / "profile-table.rst"
INTRODUCTION = f"""\
The table of the profile
========================

What becomes of the public elements that DICOM PS3.15, Table E.1-1 lists (edition {table()["edition"]}), without options. It is
made by ``make docs`` from ``rtbids/deidentify/table.json``. What becomes of other public elements is said below the table and
in :doc:`deidentification`.

The codes are those of the standard: X remove, Z empty, D a dummy, U a new UID; of combined ones that is taken which suits every
type of attribute (X/Z and Z empty, X/D, Z/D and X/Z/D a dummy). The last column names what ``--retain``
or ``--dates`` keeps it.

"""
_KEPT = """\
Texts that stay though the table does not list them
---------------------------------------------------

All other texts (AE, LO, SH, ST, LT, UT, UC) and blobs (OB, OW, ...) that the table does not list are removed: people
write names into any of them. The list is ``rtbids/deidentify/kept.yaml``. Whatever repeats a removed value is cut out of
these as well. *Known words* are those that protocols are named by; a value that is not of the form that is given is emptied.

"""
_MEANING = """\
Codes that a file carries
-------------------------

``(0012,0064)`` lists what was really applied, in the scheme DCM.

"""
_RETAINED = ("uids", "device", "institution", "patient")


def page() -> str:
    """Return the text of the page."""
    kept_texts = _KEPT + _listing(("element", "name", "what stays", "why"), _kept())
    codes = _MEANING + _listing(("code", "meaning"), _codes())
    return "\n".join((INTRODUCTION + _listing(_HEAD, _rows()), kept_texts, codes))


_HEAD = ("element", "name", "code", "what is done", "retained by")


def _rows() -> Iterator[tuple[str, ...]]:
    profile = Profile(Options())
    for tag, (code, columns) in rows().items():
        if tag >> 16 < 8:  # of messages, files' heads and media: what there is of them is written anew
            continue
        known = dictionary_has_tag(tag)
        name = dictionary_description(tag) if known else "newer than the dictionary here"
        action = profile.action(tag, dictionary_VR(tag) if known else "UN")
        vr = dictionary_VR(tag) if known else "UN"
        retained = [option for option in columns if option in _RETAINED and _keeps(option, tag, vr)]
        retained += ["dates"] if "dates" in columns else []
        yield f"({tag >> 16:04X},{tag & 0xFFFF:04X})", name, code, action.value, ", ".join(retained)


def _keeps(option: str, tag: int, vr: str) -> bool:
    """Tell whether an option makes a difference to an element."""
    retaining = Options(**{option: True})  # type: ignore[arg-type]
    return Profile(retaining).action(tag, vr) is not Profile(Options()).action(tag, vr)


def _kept() -> Iterator[tuple[str, ...]]:
    for tag, how in sorted(kept.listing().items()):
        stays = {kept.TEXT: "the text", kept.WORDS: "known words", kept.NUMBERS: "the numbers"}.get(how.how) or _form(how)
        yield f"({tag >> 16:04X},{tag & 0xFFFF:04X})", dictionary_description(tag), stays, how.why


def _form(how: kept.Kept) -> str:
    form = how.form
    assert form is not None
    return f"``{form.pattern}``" if form.pattern else f"one of {', '.join(form.words)}"


def _codes() -> Iterator[tuple[str, str]]:
    yield from markers.MEANINGS.items()


def _listing(head: tuple[str, ...], lines: Iterator[tuple[str, ...]]) -> str:
    table = [".. list-table::", "   :header-rows: 1", ""]
    for cells in (head, *lines):
        first, *rest = [cell.replace("*", "\\*") for cell in cells]
        table += [f"   * - {first}", *(f"     - {cell}".rstrip() for cell in rest)]
    return "\n".join(table) + "\n"
