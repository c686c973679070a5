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
    line = " ".join(text[: 2 * LONGEST].split()).encode(errors="backslashreplace").decode()
    return line if len(line) <= LONGEST and len(text) <= 2 * LONGEST else line[: LONGEST - 1] + "…"


def _of_error(error: BaseException) -> str:
    return _text(error) if isinstance(error, RtbidsError) else f"{type(error).__name__}: {_text(error)}"


def _text(said: object) -> str:
    """Return what `said` says; its own method may be anybody's."""
    try:
        return str.__str__(str(said))
    except Exception as error:
        return f"(what it says cannot be read: {type(error).__name__})"
