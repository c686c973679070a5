"""Which elements of a header hold no value of their kind: said by name, for what stands in them may identify a person."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from rtbids.convert.elements import PIXEL_DATA

_EXPECTED = {"DS": "decimal numbers", "IS": "whole numbers", "FD": "numbers", "FL": "numbers"}  # or text, or NaN: as it stands


def elements(dataset: Dataset) -> Iterator[str]:
    """Name each element that cannot be read, in sequences too, and what it should hold."""
    for tag in dataset.keys():  # noqa: SIM118 (iteration converts, and stops at the first that cannot be)
        if tag == PIXEL_DATA:
            continue
        try:
            element = dataset[tag]
        except Exception:  # parsers raise whatever they stumble over
            yield _named(tag, str(dataset.get_item(tag).VR))
            continue
        if element.VR == "SQ":
            for item in element.value:
                yield from elements(item)
        elif element.VR in _EXPECTED and not _is_numeric(element):
            yield _named(tag, element.VR)


def _is_numeric(element: DataElement) -> bool:
    several = [value for value in (element.value if element.VM > 1 else [element.value]) if value not in (None, "")]
    return all(not isinstance(value, str) and math.isfinite(value) for value in several)


def _named(tag: BaseTag, vr: str) -> str:
    name = keyword_for_tag(tag) or f"({tag.group:04X},{tag.element:04X})"
    return f"{name} ({vr}): expected {_EXPECTED.get(vr, 'a value of that kind')}"
