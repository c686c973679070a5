"""The part of a report that shows the mean volume with the outlines of the regions."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rtbids.plural import counted
from rtbids.run.report.figures import legends
from rtbids.run.report.figures.pictures import Slice, data_uri
from rtbids.run.report.findings import Findings


def brain(found: Findings) -> str:
    """Return the section."""
    if not found.brain:
        return "<p>No picture: the run's volumes could not be read, or there are none.</p>"
    names = list(dict.fromkeys(name for piece in found.brain for name in piece.outlines))
    entries = [(_outline_sample(place), name) for place, name in enumerate(names)]
    pictures = "".join(_picture(piece, names) for piece in found.brain)
    return (
        f"<p>Mean of {counted(found.averaged, 'volume')}, axial slices from inferior to superior (z in mm, scanner space). "
        "The left of a picture is the subject's left, the top is anterior.</p>"
        f'<figure><div class="slices">{pictures}</div>{legends.legend(entries)}</figure>'
    )


def _picture(piece: Slice, names: Sequence[str]) -> str:
    """Draw one slice in voxels, stretched to millimetres."""
    rows, columns = piece.grey.shape
    width, height = piece.millimetres
    outlines = "".join(
        f'<path class="outline o{names.index(name) % 6 + 1}" d="{path}"/>' for name, path in piece.outlines.items()
    )
    held = f", with {', '.join(piece.outlines)}" if piece.outlines else ""
    z = f"{piece.z:.0f}".replace("-", "−")
    return (
        f'<div><svg viewBox="0 0 {columns} {rows}" preserveAspectRatio="none" style="aspect-ratio:{width:.1f}/{height:.1f}" '
        f'role="img" aria-label="{escape(f"axial slice at z = {z} mm{held}")}"><image width="{columns}" height="{rows}" '
        f'preserveAspectRatio="none" href="{data_uri(piece.grey)}"/>{outlines}</svg>{z}</div>'
    )


def _outline_sample(place: int) -> str:
    return (
        '<svg class="sample on-black" width="26" height="14" aria-hidden="true">'
        f'<path class="outline o{place % 6 + 1}" d="M3 7H23"/></svg>'
    )
