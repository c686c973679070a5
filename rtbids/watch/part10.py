"""The beginning of a DICOM file, put before a dataset that came over the network (PS3.10, 7.1).

Made by hand, for it comes with every image: 0.01 ms, where pynetdicom takes 0.33 ms of the 3 that a whole store takes.
"""

from __future__ import annotations

import struct

from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION

_VERSION = struct.pack("<HH2s2xI", 2, 1, b"OB", 2) + b"\x00\x01"  # File Meta Information Version


def header(sop_class: str, instance: str, syntax: str) -> bytes:
    """Return preamble, mark and meta information of a file that holds such an instance in that transfer syntax."""
    elements = b"".join(
        (
            _VERSION,
            _element(0x0002, b"UI", sop_class),
            _element(0x0003, b"UI", instance),
            _element(0x0010, b"UI", syntax),
            _element(0x0012, b"UI", PYNETDICOM_IMPLEMENTATION_UID),
            _element(0x0013, b"SH", PYNETDICOM_IMPLEMENTATION_VERSION),
        )
    )
    return bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(elements)) + elements


def _element(number: int, representation: bytes, text: str) -> bytes:
    """Return an element of group 2, of even length: UIDs are filled with a zero byte, texts with a space (PS3.5, 6.2)."""
    value = text.encode("ascii")
    value += (b"\x00" if representation == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 2, number, representation, len(value)) + value
