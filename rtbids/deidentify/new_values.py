"""Whether a text can be the value of an element."""

from __future__ import annotations

import re
from datetime import datetime

_LONGEST = {"AE": 16, "CS": 16, "LO": 64, "SH": 16, "ST": 1024, "LT": 10240, "PN": 64, "UI": 64, "DS": 16, "IS": 12}
_FORMS = {
    "CS": (re.compile(r"[A-Z0-9 _\\]*"), "capitals, digits, space and underscore only"),
    "UI": (re.compile(r"[0-9]+(\.[0-9]+)*"), "digits and points only"),
    "DS": (re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"), "a number"),
    "IS": (re.compile(r"[-+]?\d+"), "a whole number"),
    "AS": (re.compile(r"\d{3}[DWMY]"), "three digits and D, W, M or Y"),
    "TM": (re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?"), "hours, minutes, seconds: HHMMSS"),
    "DT": (re.compile(r"\d{4}(\d{2}){0,5}(\.\d{1,6})?([-+]\d{4})?"), "YYYYMMDDHHMMSS"),
}
_TEXT = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"))


def unfit(value: str, vr: str) -> str | None:
    """Say why `value` is none of `vr`, or None."""
    if vr not in _TEXT:
        return "only text can be replaced"
    if len(value) > _LONGEST.get(vr, 1 << 20):
        return f"up to {_LONGEST[vr]} characters"
    if any(ord(character) < 32 for character in value):
        return "no control characters"
    if vr == "DA" and not _is_date(value):
        return "a date: YYYYMMDD"
    form, meaning = _FORMS.get(vr, (None, ""))
    return meaning if value and form and not form.fullmatch(value) else None


def _is_date(value: str) -> bool:
    try:
        return len(value) == 8 and bool(datetime.strptime(value, "%Y%m%d"))
    except ValueError:
        return value == ""
