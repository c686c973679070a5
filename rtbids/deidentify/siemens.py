"""The Siemens CSA headers and protocol, written anew with nothing but the fields and settings that are known and needed.

What is not on the list is not blanked in its place but left out: names, what the scanner's memory held behind each name and
value, and unknown fields go with it. The length stays, the rest is zero. A header that is damaged is not passed on in part.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from rtbids import csa
from rtbids.deidentify.private_values import Values

PROTOCOL = "MrPhoenixProtocol"  # the field of the CSA series header that holds the protocol
_MARK, _CHECK = b"SV10\x04\x03\x02\x01", 77
_FIELD = struct.Struct("<64si4siii")
_ITEM = struct.Struct("<4i")
_LEAST_ITEMS = 6  # as Siemens writes them, empty where a field has fewer values; dcm2niix reads past fewer
_REPRESENTATIONS = frozenset({b"CS", b"DS", b"FD", b"FL", b"IS", b"LO", b"SH", b"SL", b"SS", b"UL", b"UN", b"US"})
# dcm2niix does not see a protocol that begins with the first byte.
_BEGIN, _END = b"<XProtocol>\n### ASCCONV BEGIN ###\n", b"### ASCCONV END ###\n"
_BEGINNING, _ENDING = b"### ASCCONV BEGIN", b"### ASCCONV END"
_VALUE = re.compile(rb'[ \t]*=[ \t]*"{0,2}([^"\r\n#]{0,128}?)"{0,2}[ \t\r]{0,8}(?:#|\n)')
_MOST = 1 << 22  # bytes; those seen have some 150,000


def csa_header(known: Mapping[str, Values], settings: Mapping[str, Values]) -> Callable[[bytes], bytes]:
    """Return what rewrites a CSA header: `known` fields are kept, and of the protocol the known `settings`."""

    @lru_cache(4)  # the series header is the same in every image of a series
    def rewritten(content: bytes) -> bytes:
        if len(content) > _MOST:
            return b""
        try:
            fields = [field for stored in csa.fields(content) if (field := _field(stored, known, settings))]
        except (struct.error, ValueError):
            return b""
        header = b"".join((_MARK, struct.pack("<2I", len(fields), _CHECK), *fields))
        return header.ljust(len(content), b"\0") if fields else b""

    return rewritten


def protocol(settings: Mapping[str, Values]) -> Callable[[bytes], bytes]:
    """Return what rewrites a protocol that is an element by itself (Siemens XA): the known `settings` are kept."""

    @lru_cache(4)
    def rewritten(content: bytes) -> bytes:
        kept = _settings(content, settings) if len(content) <= _MOST else b""
        return kept.ljust(len(content), b"\0") if kept else b""

    return rewritten


def _field(stored: csa.Field, known: Mapping[str, Values], settings: Mapping[str, Values]) -> bytes:
    """Return a field as it is written, empty where it goes."""
    name, multiplicity, representation, code, values = stored
    word = csa.text(name)
    if word == PROTOCOL:
        kept = [text for value in values if (text := _settings(value, settings))]
    elif word in known and known[word].fit_texts([csa.text(value) for value in values]):
        kept = [value.partition(b"\0")[0] for value in values]
    else:
        return b""
    representation = representation.partition(b"\0")[0]
    if not kept or representation not in _REPRESENTATIONS or not 0 <= multiplicity <= 1024 or not 0 <= code <= 255:
        return b""
    kept += [b""] * (_LEAST_ITEMS - len(kept))
    beginning = _FIELD.pack(word.encode("ascii"), multiplicity, representation, code, len(kept), _CHECK)
    return beginning + b"".join(map(_item, kept))


def _item(value: bytes) -> bytes:
    length = len(value) + 1 if value else 0
    return _ITEM.pack(length, length, _CHECK, length) + value.ljust((length + 3) // 4 * 4, b"\0")


def _settings(content: bytes, known: Mapping[str, Values]) -> bytes:
    """Return the known lines of a protocol's text, empty where it has none."""
    start = content.find(_BEGINNING)
    end = content.find(_ENDING, start)
    lines = list(_kept(content[start:end], known)) if 0 <= start < end else []
    return b"".join((_BEGIN, *lines, _END)) if lines else b""


def _kept(section: bytes, known: Mapping[str, Values]) -> Iterator[bytes]:
    """Yield the known lines; the first of two with one name counts."""
    for name, values in known.items():
        line = b"\n" + name.encode()
        found = None
        place = section.find(line)
        while place >= 0 and not (found := _VALUE.match(section, place + len(line))):
            place = section.find(line, place + 1)
        text = found[1].strip() if found else b""
        if text and text.isascii() and values.fit_texts([text.decode()]):
            yield (b"%b = %b\n" if values.numbers else b'%b = ""%b""\n') % (line[1:], text)
