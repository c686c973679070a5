"""Feedback as a script may give it: plain JSON that every destination and table can hold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from rtbids.errors import ExperimentFault
from rtbids.run.deadlines import Value
from rtbids.run.one_line import short

DEEPEST = 20  # levels of dicts and lists: what lies in itself has no end
_LONGEST = 60  # characters of a key that are named
Place: TypeAlias = tuple[str | int, ...]  # keys of dicts and places in lists, from the outermost in


def checked(value: object) -> Value:
    """Return what a script gave as plain JSON: a number, an object of numbers, texts and the like, or None.

    What is neither is an ExperimentFault; so are NaN and infinities, which JSON does not have, integers that no float holds,
    and texts that are no Unicode. What its own methods raise is one too.
    """
    try:
        plain = _plain(value, ())
    except ExperimentFault:
        raise
    except Exception as error:  # of a type that is the script's own
        raise ExperimentFault(f"feedback cannot be read: {short(error)}") from None
    if isinstance(plain, dict | int | float) or plain is None:
        return plain
    raise _refusal(value)


def is_text(value: object) -> bool:
    """Say whether a value is text that can be written: half a character (a lone surrogate) cannot."""
    try:
        return isinstance(value, str) and str.encode(value) is not None
    except UnicodeEncodeError:
        return False


def _plain(value: object, place: Place) -> Any:
    if len(place) > DEEPEST:
        raise ExperimentFault(f"feedback is at most {DEEPEST} dicts or lists deep")
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(value, place)
    if isinstance(value, str):
        return _text(value, place)
    if isinstance(value, Mapping):
        texts = ((_text(str(key), place), entry) for key, entry in value.items())
        return {key: _plain(entry, (*place, key)) for key, entry in texts}
    if isinstance(value, list | tuple):
        return [_plain(entry, (*place, n)) for n, entry in enumerate(value)]
    raise _refusal(value, place)


def _number(value: float, place: Place) -> int | float:
    """Return a number as its own type, whatever a script has derived from that."""
    try:
        if math.isfinite(value):
            return int.__int__(value) if isinstance(value, int) else float.__float__(value)
    except OverflowError:
        raise ExperimentFault(f"feedback is a finite number, found an integer that no float holds{_where(place)}") from None
    raise ExperimentFault(f"feedback is a finite number, found {float(value)}{_where(place)}")


def _text(value: str, place: Place) -> str:
    if not is_text(value):
        raise ExperimentFault(f"feedback is text in Unicode, found half a character (a lone surrogate){_where(place)}")
    return str.__str__(value)


def _refusal(value: object, place: Place = ()) -> ExperimentFault:
    return ExperimentFault(f"feedback is a number, a dict or None, found {type(value).__name__}{_where(place)}")


def _where(place: Place) -> str:
    """Return where a value is: `` in "means"``, and ``[3]`` or ``["left"]`` for what lies deeper."""
    if not place:
        return ""
    first, *deeper = (json.dumps(step[:_LONGEST] if isinstance(step, str) else step, ensure_ascii=False) for step in place)
    return f" in {first}" + "".join(f"[{step}]" for step in deeper)
