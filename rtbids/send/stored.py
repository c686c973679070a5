"""What a DICOMweb service says that it has stored and what not (PS3.18, 10.5.3 and annex I)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

_FAILED, _REFERENCED, _OTHERS = "00081198", "00081199", "0008119A"
_UID, _REASON = "00081155", "00081197"
_INSTANCE = "00080018"


@dataclass(frozen=True)
class Stored:
    """UIDs of what was stored, and of what was not with the status why."""

    stored: frozenset[str]
    failed: dict[str, int]


def stored(content: bytes) -> Stored | None:
    """Read the answer to a store, JSON or XML; None where it is neither."""
    dataset = _read(content)
    if not isinstance(dataset, dict):
        return None
    failed = {_text(item, _UID): _status(item) for tag in (_FAILED, _OTHERS) for item in _items(dataset, tag)}
    failed.pop("", None)
    referenced = {_text(item, _UID) for item in _items(dataset, _REFERENCED)} - {""}
    return Stored(frozenset(referenced), failed)


def instances(content: bytes) -> set[str] | None:
    """Read the SOP Instance UIDs of the answer to a query; None where it is no such answer."""
    if not content.strip():
        return set()
    found = _read(content)
    if not isinstance(found, list):
        return None
    return {_text(dataset, _INSTANCE) for dataset in found if isinstance(dataset, dict)} - {""}


def _read(content: bytes) -> Any:
    try:
        if content.lstrip()[:1] == b"<":
            return _native(ElementTree.fromstring(content))
        return json.loads(content)
    except (ValueError, RecursionError, ElementTree.ParseError):
        return None


def _native(node: ElementTree.Element) -> dict[str, Any]:
    """Turn the native model of XML (PS3.19, A.1) into that of JSON (PS3.18, annex F)."""
    return {child.get("tag", ""): {"Value": list(_values(child))} for child in node if _kind(child) == "DicomAttribute"}


def _values(attribute: ElementTree.Element) -> Iterator[Any]:
    for child in attribute:
        if _kind(child) == "Item":
            yield _native(child)
        elif _kind(child) == "Value" and child.text:
            yield child.text


def _kind(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[2]


def _items(dataset: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    return [item for item in _value(dataset, tag) if isinstance(item, dict)]


def _text(dataset: dict[str, Any], tag: str) -> str:
    return str(next(iter(_value(dataset, tag)), ""))


def _status(item: dict[str, Any]) -> int:
    try:
        return int(next(iter(_value(item, _REASON)), 0x0110))
    except (TypeError, ValueError):
        return 0x0110  # processing failure


def _value(dataset: dict[str, Any], tag: str) -> list[Any]:
    element = dataset.get(tag)
    value = element.get("Value") if isinstance(element, dict) else None
    return value if isinstance(value, list) else []
