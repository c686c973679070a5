"""How many of something, in words."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun.

    Examples
    --------
    >>> counted(1, "file"), counted(2, "file"), counted(0, "copy", "copies")
    ('1 file', '2 files', '0 copies')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"
