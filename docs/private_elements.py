"""The page of private elements, from the rules themselves."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rtbids.deidentify import private
from rtbids.deidentify.private_values import Values

PAGE = Path(__file__).resolve().parent / "reference" / "private-elements.rst"
INTRODUCTION = """\
Private elements that stay
==========================

Elements that a maker of scanners has added to DICOM are removed by de-identification, but for those on this page: without
them a mosaic cannot be told apart into slices, and the sidecar lacks slice times, phase encoding and readout time. The page is
made by ``make docs`` from ``rtbids/deidentify/private.yaml``, which says how to add an element.

- An element is found by the name of its creator, at any depth, in whatever block (xx) the file at hand has it.
- **kept**: where its value is of the kind that is named. Where it is not (a text in the place of a number), it is emptied.
- **written anew**: of a block that holds many things only those stay that are listed further down; the rest of its length
  is zero. A damaged block is removed, with a warning.
- **cleaned inside**: a sequence; the rules for public and private elements hold in its items.
- In files of big-endian byte order, binary numbers in private elements are emptied; the CSA headers have their own order
  and stay.

What was read: series of Siemens (B17, D13, E11, XA30, XA60), GE (DV26, DV28), Philips (release 5, classic and enhanced), United
Imaging (R002) and Canon (V6). What none of them had is marked; it is taken from the makers' descriptions, and is nothing but
numbers or words of a list.
"""
WIDTH = 128
INDENTED: dict[str, Any] = {
    "initial_indent": "    ",
    "subsequent_indent": "    ",
    "break_long_words": False,
    "break_on_hyphens": False,
}
SECTIONS = {
    "csa image header": "Fields of the CSA image header",
    "csa series header": "Fields of the CSA series header",
    "protocol of Siemens": "Settings of the protocol of Siemens (ASCCONV)",
    "protocol of GE": "Settings of the protocol of GE",
}


def page() -> str:
    """Return the text of the page."""
    listing = private.listing()
    parts = [INTRODUCTION]
    parts += [_of_creator(creator, elements) for creator, elements in listing["elements"].items()]
    parts += [_of_section(title, listing[name]) for name, title in SECTIONS.items()]
    return "\n".join(parts)


def _of_creator(creator: str, elements: Mapping[str, Any]) -> str:
    return _titled(creator, "\n".join(line for place, said in elements.items() for line in _element(place, said)))


def _element(place: str, said: Mapping[str, Any]) -> Iterator[str]:
    yield f"``{place}`` {said['vr']}, {said['holds']}"
    yield textwrap.fill(f"{_treatment(said)} {_facts(said)}.", WIDTH, **INDENTED)
    yield ""


def _treatment(said: Mapping[str, Any]) -> str:
    if "walk" in said:
        return "Cleaned inside."
    if "mask" in said:
        return f"{said['safe'][:1].upper()}{said['safe'][1:]}."
    return f"Kept: {_values(said['keep'])}."


def _of_section(title: str, fields: Mapping[str, Any]) -> str:
    return _titled(title, "\n".join(f"``{name}``\n{_field(said)}\n" for name, said in fields.items()))


def _field(said: Mapping[str, Any]) -> str:
    return textwrap.fill(f"{_values(said)[:1].upper()}{_values(said)[1:]}. {_facts(said)}.", WIDTH, **INDENTED)


def _values(said: Mapping[str, Any]) -> str:
    values = Values.of(said)
    return f"texts that match ``{values.pattern}``" if values.pattern else str(values)


def _facts(said: Mapping[str, Any]) -> str:
    return f"For {', '.join(said['needed'])}" + ("" if said.get("seen", True) else " (not in the series that were read)")


def _titled(title: str, text: str) -> str:
    return f"{title}\n{'-' * len(title)}\n\n{text.rstrip()}\n"
