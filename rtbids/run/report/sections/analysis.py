"""The parts of a report that show what the analysis found: motion and quality, the design, and the maps."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from rtbids.plural import counted
from rtbids.run.report.derived import Derived
from rtbids.run.report.figures.map_pictures import THRESHOLD, MapFound, Painted
from rtbids.run.report.figures.pictures import data_uri
from rtbids.run.report.findings import Findings
from rtbids.run.report.markup import ranges
from rtbids.run.report.measures import Floats
from rtbids.run.report.sections.motion import motion
from rtbids.run.report.sections.quality import quality

_CONSTANT = "constant"


def sections(found: Findings) -> list[tuple[str, str]]:
    """Return title and content of the sections that there is something to say in."""
    parts = [("Motion", motion), ("Data quality", quality), ("Design", design)]
    tables = {"Motion": "motion", "Data quality": "quality", "Design": "design"}
    drawn = [(title, draw(found, found.derived[tables[title]])) for title, draw in parts if tables[title] in found.derived]
    return [*drawn, ("Maps", maps(found.maps))] if found.maps else drawn


def design(found: Findings, derived: Derived) -> str:
    """Draw each regressor as a row of grey, time from left to right."""
    drawn = "".join(_regressor(name, derived.floats(name, found.length)) for name in derived.columns)
    out = sorted(index for index in derived.rows if not np.isfinite(derived.floats(_CONSTANT, found.length)[index]))
    left = f" {counted(len(out), 'volume')} had no part in the models: {ranges(out)}." if out else ""
    return (
        f"<p>{counted(len(derived.columns), 'regressor')} of {counted(derived.length - len(out), 'volume')}.{escape(left)}</p>"
        f'<figure><div class="regressors">{drawn}</div><figcaption>One row a regressor, volumes from left to right; each from '
        "its least (black) to its greatest value (white).</figcaption></figure>"
    )


def _regressor(name: str, values: Floats) -> str:
    known = values[np.isfinite(values)]
    low, span = (float(known.min()), float(np.ptp(known))) if known.size else (0.0, 0.0)
    grey = np.nan_to_num((values - low) / span * 255 if span else np.full_like(values, 160.0), nan=128.0)
    picture = data_uri(np.clip(grey, 0, 255).round().astype(np.uint8)[None])
    return f'<span>{escape(name)}</span><img alt="{escape(name)}" src="{picture}">'


def maps(found: Sequence[MapFound]) -> str:
    """Draw the t-map of each contrast over the mean volume."""
    return "".join(_map(each) for each in found)


def _map(found: MapFound) -> str:
    pictures = "".join(_painted(piece) for piece in found.painted)
    x, y, z = (f"{place:.0f}".replace("-", "−") for place in found.place)
    based = f" {found.volumes} volumes, {found.degrees_of_freedom} degrees of freedom." if found.volumes else ""
    words = (
        f"Greatest t {found.peak:.1f} at ({x}, {y}, {z}) mm; {counted(found.above, 'voxel')} above {THRESHOLD:g}, "
        f"{found.below} below −{THRESHOLD:g} (not corrected for their number).{based}"
    )
    scale = (
        f'<p class="note t-scale"><span>t&nbsp;−{found.greatest:.1f}</span><i class="cold"></i><span>−{THRESHOLD:g}</span>'
        f'<span>{THRESHOLD:g}</span><i class="hot"></i><span>{found.greatest:.1f}</span></p>'
    )
    return (
        f"<h3>{escape(found.contrast)}</h3><p>{escape(words)}</p>"
        f'<figure><div class="slices maps">{pictures}</div>{scale}<figcaption>t over the mean volume, axial slices (z in mm); '
        "the left of a picture is the subject's left.</figcaption></figure>"
    )


def _painted(piece: Painted) -> str:
    rows, columns = piece.under.grey.shape
    width, height = piece.under.millimetres
    z = f"{piece.under.z:.0f}".replace("-", "−")
    layers = "".join(
        f'<image width="{columns}" height="{rows}" preserveAspectRatio="none" href="{data_uri(pixels)}"/>'
        for pixels in (piece.under.grey, piece.colours)
    )
    return (
        f'<div><svg viewBox="0 0 {columns} {rows}" preserveAspectRatio="none" style="aspect-ratio:{width:.1f}/{height:.1f}" '
        f'role="img" aria-label="t-map at z = {z} mm">{layers}</svg>{z}</div>'
    )
