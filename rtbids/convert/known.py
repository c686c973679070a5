"""Elements that were the same in an image before: read once, they need not be read again.

Most elements of a header are the same throughout a series, and pydicom takes 20 µs to make a value of each one's bytes: half of
the time that a small image takes. An element whose bytes come a second time is kept with its value, and copied from then on.
"""

from __future__ import annotations

from typing import Any

from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

_PLAIN = frozenset(
    (b"AS", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"SL", b"SS", b"TM", b"UI", b"UL", b"US")
)  # no text
_CHARACTER_SET = 0x00080005  # wanted as it is, to read texts by
_LONGEST = 256  # bytes
_MOST = 4096  # elements remembered; then all are forgotten

_Key = tuple[int, bytes, bytes]
_seen: set[_Key] = set()
_values: dict[_Key, Any] = {}


def element(tag: BaseTag, vr: bytes, value: bytes, start: int) -> DataElement | RawDataElement:
    """Return an element with its value where the same has come before, and else as its bytes, to be read when asked for."""
    key = tag, vr, value
    if (known := _values.get(key)) is not None:  # asked once: another thread may forget all
        return DataElement(tag, vr.decode(), _own(known), already_converted=True)
    raw = RawDataElement(tag, vr.decode(), len(value), value, start, False, True)
    if vr not in _PLAIN or len(value) > _LONGEST or tag == _CHARACTER_SET or tag.is_private:
        return raw
    if key not in _seen:
        _remember(key)
        return raw
    return _kept(key, raw)


def _remember(key: _Key) -> None:
    if len(_seen) >= _MOST:
        _seen.clear()
        _values.clear()
    _seen.add(key)


def _kept(key: _Key, raw: RawDataElement) -> DataElement | RawDataElement:
    try:
        made = convert_raw_data_element(raw)
    except Exception:  # whoever asks for it shall hear of it
        return raw
    if isinstance(made.value, str | int | float) or made.VM > 1:
        _values[key] = _own(made.value)
    return made


def _own(value: Any) -> Any:
    """Return a value that whoever gets it may change; several values are copied without being checked again."""
    if not isinstance(value, MultiValue):
        return value
    copy = MultiValue.__new__(MultiValue)
    vars(copy).update((name, part.copy() if isinstance(part, list) else part) for name, part in vars(value).items())
    return copy
