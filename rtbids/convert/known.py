"""Elements whose values were read before: read once, they need not be read again.

Most elements of a header are the same throughout a series, and pydicom takes 20 µs to make a value of each one's bytes, more
than finding them in the file. A value is made when it is asked for, and remembered by its bytes.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

_AS_STORED = frozenset(("OB", "OW"))
_BY_CREATOR = frozenset(("UN", "SQ"))  # what these hold depends on other elements
_LONGEST = 256  # bytes
_MOST = 4096  # values remembered, and keywords; then all are forgotten
_CHARACTER_SET = 0x00080005
_UNKNOWN = object()

_Key = tuple[BaseTag, str | None, bytes | None, tuple[str, ...]]
_values: dict[_Key, Any] = {}


class _Tags(dict[str, BaseTag | None]):
    """Tags by keyword; None for a word that is no keyword."""

    def __missing__(self, keyword: str) -> BaseTag | None:
        if len(self) >= _MOST:
            self.clear()
        number = tag_for_keyword(keyword)
        tag = self[keyword] = None if number is None else BaseTag(number)
        return tag


tags = _Tags()


class KnownDataset(Dataset):
    """A data set that makes the value of an element without making a ``DataElement``, and only once for the same bytes."""

    @classmethod
    def of(cls, elements: MutableMapping[BaseTag, Any], encodings: tuple[str, ...]) -> KnownDataset:
        """Return the data set of elements as they were found; its own constructor takes ten times as long."""
        made = cls.__new__(cls)
        made.__dict__.update(_EMPTY, _dict=elements, _private_blocks={}, _read_charset=list(encodings), _encodings=encodings)
        return made

    def value(self, tag: BaseTag, default: Any = None) -> Any:
        """Return the value of an element, `default` where there is none."""
        element = self._dict.get(tag)
        if element is None:
            return default
        if not isinstance(element, RawDataElement):
            return element.value
        if element.VR in _AS_STORED:
            return element.value
        if element.VR in _BY_CREATOR or element.length > _LONGEST or tag == _CHARACTER_SET:
            return self[tag].value
        return _value(element, self, self._encodings)

    def get(self, key: Any, default: Any = None) -> Any:
        tag = tags[key] if isinstance(key, str) else None
        return super().get(key, default) if tag is None else self.value(tag, default)

    def __getattr__(self, name: str) -> Any:
        tag = tags[name]
        found = _UNKNOWN if tag is None else self.value(tag, _UNKNOWN)
        return super().__getattr__(name) if found is _UNKNOWN else found


_EMPTY = {**vars(Dataset()), "_read_implicit": False, "_read_little": True}


def _value(raw: RawDataElement, dataset: Dataset, encodings: tuple[str, ...]) -> Any:
    """Return the value of an element that may have come before, in whatever data set."""
    key = raw.tag, raw.VR, raw.value, encodings
    found = _values.get(key, _UNKNOWN)  # asked once: another thread may forget all
    if found is _UNKNOWN:
        found = convert_raw_data_element(raw, encoding=list(encodings), ds=dataset).value
        if len(_values) >= _MOST:
            _values.clear()
        _values[key] = found
    return _own(found)


def _own(value: Any) -> Any:
    """Return a value that whoever gets it may change; several values are copied without being checked again."""
    if not isinstance(value, MultiValue):
        return value
    copy = MultiValue.__new__(MultiValue)
    vars(copy).update((name, part.copy() if isinstance(part, list) else part) for name, part in vars(value).items())
    return copy


def value(dataset: Dataset, tag: BaseTag) -> Any:
    """Return the value of an element of any data set, None where there is none."""
    if isinstance(dataset, KnownDataset):
        return dataset.value(tag)
    element = dataset.get(tag)
    return None if element is None else element.value
