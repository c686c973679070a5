"""What a script or a peer says, as one line that can be written anywhere and holds nobody up."""

from __future__ import annotations

from rtbids.errors import RtbidsError

LONGEST = 500  # characters


def short(said: object) -> str:
    """Return a text, or what an error says, as one line of at most LONGEST characters.

    Examples
    --------
    >>> short(ValueError("no\\nmodel"))
    'ValueError: no model'
    """
    text = _of_error(said) if isinstance(said, BaseException) else _text(said)
    line = printable(" ".join(text[: 2 * LONGEST].split()))
    return line if len(line) <= LONGEST and len(text) <= 2 * LONGEST else line[: LONGEST - 1] + "…"


def printable(text: str) -> str:
    """Return a text whose control characters are escapes: a terminal would do what they say. Line breaks and tabs stay.

    Examples
    --------
    >>> print(printable("\\x1b[31mred"))
    \\x1b[31mred
    """
    return "".join(one if one.isprintable() or one in " \t\n" else _escape(one) for one in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _of_error(error: BaseException) -> str:
    return _text(error) if isinstance(error, RtbidsError) else f"{type(error).__name__}: {_text(error)}"


def _text(said: object) -> str:
    """Return what `said` says; its own method may be anybody's."""
    try:
        return str.__str__(str(said))
    except Exception as error:
        return f"(what it says cannot be read: {type(error).__name__})"
