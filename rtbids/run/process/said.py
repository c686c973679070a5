"""What an experiment's process says, looked through before it is taken in: its script can write to the channel as well."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from rtbids.errors import ExperimentFault
from rtbids.run.one_line import short
from rtbids.run.process.channel import Message, NotUnderstood
from rtbids.run.script.values import checked, is_text

Check: TypeAlias = Callable[[Any], bool]
TEXTS = ("error", "hint", "text")  # shortened: nobody waits for megabytes


def understood(message: Message) -> Message:
    """Return a message that has all that belongs to it, its texts short; raise NotUnderstood for any other."""
    says = message.get("say")
    expected = _EXPECTED.get(says) if isinstance(says, str) else None
    if expected is None:
        raise NotUnderstood("a message of no known kind")
    for key, is_right in expected.items():
        if not is_right(message.get(key)):
            raise NotUnderstood(f"a message {says!r} whose {key!r} is not what belongs there")
    return {key: short(value) if key in TEXTS and value is not None else value for key, value in message.items()}


def _or_none(is_right: Check) -> Check:
    return lambda value: value is None or is_right(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31


def _is_moment(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e12  # POSIX seconds


def _is_value(value: Any) -> bool:
    try:
        return bool(checked(value) == value)
    except ExperimentFault:
        return False


def _are_entities(value: Any) -> bool:
    return isinstance(value, dict) and all(is_text(label) for label in value.values())


def _are_measures(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(table, dict) and all(map(_is_measure, table.items())) for table in value.values()
    )


def _is_measure(named: tuple[str, Any]) -> bool:
    column, value = named
    return is_text(column) and (value is None or is_text(value) or isinstance(value, float) or _is_value(value))


def _is_label(value: Any) -> bool:
    return is_text(value) and value.isalnum()


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_is_count(length) and length for length in value)


def _is_affine(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 16
        and all(isinstance(entry, float) and math.isfinite(entry) for entry in value)
    )


def _are_fields(value: Any) -> bool:
    return isinstance(value, dict) and is_text(json.dumps(value, ensure_ascii=False))


_OF_A_RUN: Mapping[str, Check] = {"entities": _are_entities}
_OF_A_VOLUME: Mapping[str, Check] = {
    **_OF_A_RUN,
    "volume": _is_count,
    "measures": _or_none(_are_measures),
    "came": _or_none(_is_moment),
    "analysed": _or_none(_is_moment),
}
_MAP: Mapping[str, Check] = {
    "contrast": _is_label,
    "statistic": _is_label,
    "shape": _is_shape,
    "affine": _is_affine,
    "fields": _are_fields,
}
_EXPECTED: Mapping[str, Mapping[str, Check]] = {
    "loading": {},
    "ready": {"process": _is_count},
    "begun": {},
    "responded": {},
    "log": {"level": _is_count, "text": lambda value: isinstance(value, str)},
    "analysed": _OF_A_VOLUME,
    "answer": {**_OF_A_VOLUME, "value": _is_value, "answered": _or_none(_is_moment)},
    "failed": {**_OF_A_VOLUME, "error": lambda value: isinstance(value, str)},
    "map": {**_OF_A_RUN, **_MAP},
    "complaint": {**_OF_A_RUN, "error": lambda value: isinstance(value, str)},
    "alternate": {**_OF_A_RUN, "value": _is_value},
    "ended": _OF_A_RUN,
    "console": {
        "number": _is_count,
        "call": lambda value: value in ("read", "newest", "list", "write"),
        "name": is_text,
        "pattern": is_text,
        "timeout": _is_moment,
        "size": _or_none(_is_count),
    },
    "fault": {
        "code": _is_count,
        "during": is_text,
        "error": lambda value: isinstance(value, str),
        "hint": _or_none(lambda value: isinstance(value, str)),
    },
}
