"""One rule of a recipe: what it does to which elements, refused where it would leave a file unreadable or cannot be done."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from rtbids.deidentify import elements_named, new_values
from rtbids.deidentify.elements_named import Pattern
from rtbids.deidentify.profile import Action, Change

ACTIONS = {
    "keep": Action.KEEP,
    "remove": Action.REMOVE,
    "empty": Action.EMPTY,
    "dummy": Action.DUMMY,
    "uid": Action.UID,
    "shift": Action.SHIFT,
    "clean": Action.CLEAN,
    "patient": Action.PATIENT,
}
_TAKES = {  # the VRs that an action can do something to
    Action.UID: {"UI"},
    Action.SHIFT: {"DA", "DT"},
    Action.CLEAN: {"LO", "SH", "ST", "LT", "UT", "UC"},
    Action.PATIENT: {"LO", "SH", "PN", "ST", "LT", "UT", "UC"},
}
_DESTROYING = (Action.REMOVE, Action.EMPTY, Action.DUMMY, Action.REPLACE, Action.PATIENT, Action.CLEAN)

Condition = tuple[tuple[str, str], ...]


class Fault(Exception):
    """Something is wrong at a key of the file."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def of_element(text: str, rule: Any, key: str, series: Condition) -> Change:
    """Return the rule for an element, or for those that a pattern means."""
    return _change(_tag, text, rule, key, series)


def of_representation(text: str, rule: Any, key: str, series: Condition) -> Change:
    """Return the rule for all elements of a VR."""
    return _change(_vr, text, rule, key, series)


def of_private(creator: str, text: str, rule: Any, key: str, series: Condition) -> Change:
    """Return the rule for an element of a private creator, or for a group of them."""
    action, value = _action(rule, key)
    if action not in (Action.KEEP, Action.REMOVE, Action.EMPTY):
        raise Fault(key, "a private element can be kept, removed or emptied: what it holds is its maker's own")
    match = re.fullmatch(r"\(?([0-9A-Fa-f]{3}[13579BDFbdf]),?\s?(?:xx)?([0-9A-Fa-f]{2}|xx)\)?", text)
    if not match:
        raise Fault(key, "expected group and last two digits such as (0019,xx0A), or (0019,xxxx) for all of a group")
    return Change(action, (f"{match[1]}xx{match[2]}".lower(),), series, value, creator.strip())


def _change(reader: Callable[[str, str], Pattern], text: str, rule: Any, key: str, series: Condition) -> Change:
    pattern = reader(text, key)
    action, value = _action(rule, key)
    for tag, vr in elements_named.meant(pattern):
        _check_possible(action, tag, vr, pattern, key)
        if value is not None and (reason := new_values.unfit(value, vr)):
            raise Fault(key, f"{value!r} is no value of {elements_named.named(tag)} ({vr}): {reason}")
    return Change(action, (pattern,), series, value)


def _tag(text: str, key: str) -> Pattern:
    try:
        return elements_named.element(text)
    except ValueError as error:
        raise Fault(key, str(error)) from None


def _vr(text: str, key: str) -> Pattern:
    try:
        return elements_named.representation(text)
    except ValueError as error:
        raise Fault(key, str(error)) from None


def _action(rule: Any, key: str) -> tuple[Action, str | None]:
    if isinstance(rule, str) and rule in ACTIONS:
        return ACTIONS[rule], None
    if isinstance(rule, Mapping) and set(rule) == {"replace"} and isinstance(rule["replace"], str | int | float):
        if not isinstance(rule["replace"], bool):
            return Action.REPLACE, str(rule["replace"])
        raise Fault(key, f"replace: found {str(rule['replace']).lower()}; put a value such as YES or NO in quotes")
    raise Fault(key, f"expected {', '.join(ACTIONS)}, or {{replace: TEXT}}, found {_shown(rule)}")


def _shown(rule: Any) -> str:
    return repr(rule) if isinstance(rule, str | int | float) else "nothing" if rule is None else "something else"


def _check_possible(action: Action, tag: int, vr: str, pattern: Pattern, key: str) -> None:
    """Refuse what would break a file, or cannot be done to such an element."""
    name = elements_named.named(tag)
    also = "" if isinstance(pattern, int) else f", which {elements_named.named(pattern)} means too"
    if tag in elements_named.IDENTITY and action in _DESTROYING:
        raise Fault(key, f"an image without its {name}{also} cannot be sent or sorted; uid gives it a new one")
    if tag in elements_named.IDENTITY and action is Action.KEEP:
        raise Fault(key, f"{name}{also} is kept with all other UIDs or not at all: options: {{uids: true}}")
    if tag in elements_named.NEEDED and action is not Action.KEEP:
        uids = "; the profile gives UIDs new values" if vr == "UI" else ""
        raise Fault(key, f"an image cannot be read or placed without its {name}{also}{uids}")
    if tag >> 16 == 0x0002 and action is not Action.KEEP:
        raise Fault(key, "the file's own head is written anew in any case")
    if action in _TAKES and not _TAKES[action] & set(vr.split(" or ")):
        takes = ", ".join(sorted(_TAKES[action]))
        raise Fault(key, f"{action.name.lower()} is for elements of VR {takes}, and {name}{also} is {vr}")
