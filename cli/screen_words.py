"""The status of a run in words of a few columns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rtbids.cli.console import good_data
from rtbids.plural import counted

_UNITS = ("B", "kB", "MB", "GB", "TB")


def alternates(each: Mapping[str, Any]) -> str:
    """Return ``126 in time   2 alternates: 1 deadline, 1 missing   0 late``."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(each["reasons"].items()))
    why = f": {reasons}" if reasons else ""
    return f"{each['answers']} in time   {counted(each['alternates'], 'alternate')}{why}   {each['late']} late"


def quality(each: Mapping[str, Any]) -> str:
    """Return what is known of it, empty where it is not worked out."""
    words = []
    if each["dvars"] is not None:
        words.append(f"DVARS {each['dvars']:.1f} %")
    if each["tsnr"] is not None:
        words.append(f"tSNR {each['tsnr']:.0f}")
    if words:
        words.append(counted(each["spikes"], "spike"))
    if each["good_minutes"] is not None:
        words.append(good_data(each["good_minutes"], each["minutes_to_criterion"]))
    return "   ".join(words)


def machine(there: Mapping[str, Any]) -> str:
    """Return ``run 12 %   roi_feedback 45 %   load 1.2 of 2 cores``; of one core."""
    words = [] if there["run"] is None else [f"run {100 * there['run']:3.0f} %"]
    words += [f"{name} {100 * used:3.0f} %" for name, used in there["scripts"].items()]
    words += [] if there["load"] is None else [f"load {there['load']:.1f} of {there['cores']:g} cores"]
    return "   ".join(words)


def link(there: Mapping[str, Any]) -> str:
    """Return ``up   3 waiting (2.00 MB)   2 cuts``."""
    words = ["up" if there["is_up"] else f"cut since {clock(there['since'])}"]
    waiting = f" ({size(there['waiting_bytes'])})" if there["waiting_bytes"] else ""
    words += [f"{there['waiting_members']} waiting{waiting}", counted(there["cuts"], "cut")]
    words += [f"{there['dropped']} dropped"] if there["dropped"] else []
    return "   ".join(words)


def link_place(there: Mapping[str, Any]) -> str:
    """Return ``ssh://host   round trip 41 ms   its clock +3 ± 20 ms``, as far as it is known."""
    words = [there["place"]]
    words += [] if there["round_trip"] is None else [f"round trip {1000 * there['round_trip']:.0f} ms"]
    if there["offset"] is not None:
        known = "" if there["uncertainty"] is None else f" ± {1000 * there['uncertainty']:.0f}"
        words.append(f"its clock {1000 * there['offset']:+.0f}{known} ms")
    return "   ".join(words)


def short(value: Any) -> str:
    """Return a part of a value that is an object, a number in four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def size(count: float) -> str:
    """Return a number of bytes in three digits."""
    unit = 0
    while count >= 999.5 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    decimals = 2 - (count >= 9.995) - (count >= 99.95) if unit else 0
    return f"{count:.{decimals}f} {_UNITS[unit]}"


def clock(moment: float) -> str:
    """Return the time of day here."""
    return time.strftime("%H:%M:%S", time.localtime(moment))


def span(seconds: float) -> str:
    """Return ``3 min 51 s``."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
