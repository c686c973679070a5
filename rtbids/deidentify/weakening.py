"""What a recipe lets through that the Basic Profile takes out: it is allowed, and said.

A file that such a rule is for is not marked as following the profile (code 113100), and where the rule keeps what names a
person it is not marked as without identity either: ``(0012,0062)`` is NO.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from rtbids.deidentify.elements_named import meant, named
from rtbids.deidentify.private import rule
from rtbids.deidentify.profile import Action, Change, Profile

_DIRECT = frozenset(
    (0x00100020, 0x00101000, 0x00101002, 0x00100030, 0x00101040, 0x00102154, 0x00102155, 0x00101090, 0x00101005, 0x00101001)
)
_SHOWN = 6


@dataclass(frozen=True)
class Weakening:
    """Names of elements that are let through, and whether one of them names the person."""

    names: tuple[str, ...] = ()
    direct: bool = False

    def __bool__(self) -> bool:
        return bool(self.names)

    def __str__(self) -> str:
        more = len(self.names) - _SHOWN
        listed = ", ".join(self.names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
        said = f"the recipe lets through what the basic profile takes out: {listed}; the files are not marked as following it"
        return said + (", nor as without the patient's identity" if self.direct else "")


NONE = Weakening()


@lru_cache(64)
def of(profile: Profile) -> Weakening:
    """Return what the recipe of `profile` lets through."""
    plain = Profile(profile.options)
    found = dict.fromkeys(pair for change in profile.changes for pair in _let_through(change, profile, plain))
    direct = any(vr == "PN" or tag in _DIRECT for _, tag, vr in found)
    return Weakening(tuple(name for name, _, _ in found), direct)


def _let_through(change: Change, profile: Profile, plain: Profile) -> Iterator[tuple[str, int, str]]:
    if change.action not in (Action.KEEP, Action.SHIFT):
        return
    for pattern in change.tags:
        if change.creator is not None:
            yield from _private(change.creator, str(pattern), change.action)
            continue
        for tag, vr in meant(pattern):
            has_its_way = bool(change.series) or profile.change(tag, vr) == change
            if has_its_way and plain.action(tag, vr) not in (Action.KEEP, Action.WALK, change.action):
                yield named(tag), tag, vr


def _private(creator: str, pattern: str, action: Action) -> Iterator[tuple[str, int, str]]:
    byte = pattern[6:8]
    known = rule(creator, int(pattern[:4], 16), int(byte, 16)) if byte != "xx" else None
    if action is Action.KEEP and (known is None or known.action is not Action.KEEP):
        yield f"({pattern[:4].upper()},xx{byte.upper()}) of {creator}", 0, "UN"
