"""The symbols and patterns of a report's charts, and the lists that say what they mean; their colours are the style sheet's."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_SHAPES = {
    "ok": '<circle r="2.2"/>',
    "alternate": '<path d="M0-5.5L5.5 0L0 5.5L-5.5 0z"/>',
    "failed": '<path d="M-4.5-4.5h9v9h-9z"/>',
    "late": '<circle r="4"/>',
    "missing": '<path d="M-4-4L4 4M-4 4L4-4"/>',
    "beyond": '<path d="M0-5L5 4H-5z"/>',
    "expected": '<path d="M-4 0H4M0-4V4"/>',
    "press": '<path d="M0-7V7"/>',
}
_PATTERNS = {
    "b1": "M0 0h6v6h-6z",
    "b2": "M0 0h3v6h-3z",
    "b3": "M0 6L6 0v3L3 6zM0 0h3L0 3z",
    "b4": "M0 0h6v3h-6z",
    "b5": "M1 1h4v4h-4z",
    "b6": "M0 0L6 6h-3L0 3zM3 0h3v3z",
    "b7": "M0 0h6v1.5h-4.5v4.5h-1.5z",
    "b8": "M0 0h3v3h-3zM3 3h3v3h-3z",
    "b9": "M2 0h1v6h-1z",
}
SYMBOLS = (
    '<svg class="symbols" width="0" height="0" aria-hidden="true"><defs>'
    + "".join(f'<g id="{name}" class="{name}">{shape}</g>' for name, shape in _SHAPES.items())
    + "".join(
        f'<pattern id="fill-{name}" width="6" height="6" patternUnits="userSpaceOnUse">'
        f'<path class="{name} under" d="M0 0h6v6h-6z"/><path class="{name}" d="{shape}"/></pattern>'
        for name, shape in _PATTERNS.items()
    )
    + "</defs></svg>"
)


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Return a list of (drawing, name) under a chart; the drawing is markup of `symbol_sample` and its like."""
    items = "".join(f"<li>{drawing}<span>{escape(name)}</span></li>" for drawing, name in entries)
    return f'<ul class="legend">{items}</ul>' if items else ""


def symbol_sample(symbol: str) -> str:
    return _sample(16, f'<use href="#{symbol}" x="8" y="7"/>')


def line_sample(style: str) -> str:
    return _sample(26, f'<path class="line {style}" d="M1 7H25"/>')


def fill_sample(style: str) -> str:
    return _sample(16, f'<rect class="{style}" y="2" width="16" height="10"/>')


def _sample(width: int, drawing: str) -> str:
    return f'<svg class="sample" width="{width}" height="14" aria-hidden="true">{drawing}</svg>'
