"""Volumes in few words: from where to where they go without a gap."""

from __future__ import annotations

from collections.abc import Iterable


def stretches(indices: Iterable[int]) -> list[list[int]]:
    """Return the first and the last of each row of successive indices.

    Examples
    --------
    >>> stretches([3, 7, 8, 9])
    [[3, 3], [7, 9]]
    """
    found: list[list[int]] = []
    for index in sorted(set(indices)):
        if found and index == found[-1][1] + 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return found
