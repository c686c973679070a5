"""The Siemens CSA header: a list of named fields inside one private element.

Siemens has not published the layout; this follows the description in nibabel (``nibabel.nicom``, "Siemens format DICOM with CSA
header"). Both its forms, with and without the mark ``SV10``, are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache

_MOST_FIELDS = 128  # by the same description; more is no CSA header
_FIELD = struct.Struct("<64si4siii")
_FIRST_FORM, _SECOND_FORM = struct.Struct("<i12x"), struct.Struct("<4xi8x")  # an item, of which its length is read


# Name, multiplicity, representation, code and values as they are stored: what follows the first zero byte of a name or value is
# what the scanner's memory held.
Field = tuple[bytes, int, bytes, int, list[bytes]]


def parse(content: bytes) -> Mapping[str, list[str]]:
    """Return the fields of a CSA header as texts by name; empty where it is none, or damaged."""
    try:
        return {text(name): list(map(text, values)) for name, _, _, _, values in fields(content)}
    except (struct.error, ValueError):
        return {}


def fields(content: bytes) -> Iterator[Field]:
    """Yield the fields of a CSA header; raise ValueError or struct.error where it is none, or damaged."""
    second_form = content[:4] == b"SV10"
    position = 8 if second_form else 0
    count, _ = struct.unpack_from("<2I", content, position)
    position += 8
    if not 0 < count <= _MOST_FIELDS:
        raise ValueError(f"expected up to {_MOST_FIELDS} fields, found {count}")
    item, first_count = (_SECOND_FORM, 0) if second_form else (_FIRST_FORM, None)
    for _ in range(count):
        name, multiplicity, representation, code, items, _ = _FIELD.unpack_from(content, position)
        position += _FIELD.size
        first_count = items if first_count is None else first_count
        values: list[bytes] = []
        for number in range(items):
            length = item.unpack_from(content, position)[0] - first_count
            position += item.size
            if not 0 <= length <= len(content) - position:
                raise ValueError(f"a value of {length} bytes does not fit")
            if length and (multiplicity == 0 or number < multiplicity):
                values.append(content[position : position + length])
            position += (length + 3) // 4 * 4
        yield name, multiplicity, representation, code, values


@lru_cache(4096)  # the names, and most of the values, are the same throughout a series
def text(content: bytes) -> str:
    """Return a name or value as text."""
    return content.partition(b"\0")[0].decode("latin-1").strip()
