"""The elements of a file as pydicom reads them, at any depth: where each lies, and its value in bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag

from rtbids.deidentify import private


@dataclass(frozen=True)
class Place:
    """An element that is no sequence; `path` is such as ``(0040,0275)[0].(0008,0050)``."""

    path: str
    tag: int
    vr: str
    value: bytes


def elements(dataset: Dataset, prefix: str = "") -> Iterator[Place]:
    """Yield the elements of a data set and of all items in it, whose path begins with `prefix`."""
    for tag in list(dataset.keys()):
        path = f"{prefix}({tag.group:04X},{tag.element:04X})"
        element = dataset.get_item(tag)
        vr = _vr(tag, element)
        if vr == "SQ":
            for number, item in enumerate(dataset[tag].value):
                yield from elements(item, f"{path}[{number}].")
        else:
            value = _value(element)
            yield Place(path, int(tag), "CS" if tag.is_private and _is_coded(dataset, tag, value) else vr, value)


def _is_coded(dataset: Dataset, tag: BaseTag, value: bytes) -> bool:
    """Tell whether a private element holds one of the words that are known of it, such as the name of a pulse sequence."""
    creator = dataset.get_item(BaseTag(tag.group << 16 | tag.element >> 8))
    name = _value(creator).decode("latin-1").strip(" \0")
    known = private.listing()["elements"].get(name, {}).get(f"({tag.group:04X},xx{tag.element & 0xFF:02X})", {})
    words = known.get("keep", {}).get("words", ()) if isinstance(known, dict) else ()
    return value.decode("latin-1").strip(" \0") in words


def _vr(tag: BaseTag, element: DataElement | RawDataElement | None) -> str:
    vr = element.VR if element is not None else None
    if vr and vr != "UN":
        return str(vr)
    try:
        return dictionary_VR(tag).split(" ")[0]
    except KeyError:
        return "UN"


def _value(element: DataElement | RawDataElement | None) -> bytes:
    value = element.value if element is not None else None
    if isinstance(value, bytes):
        return value
    return b"" if value is None else str(value).encode()
