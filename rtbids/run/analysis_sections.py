"""The parts of a report that show what the analysis found: motion, quality, design and maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from rtbids.analysis.motion_terms import POSE
from rtbids.run import charts
from rtbids.run.charts import Plot, number
from rtbids.run.derived import Derived
from rtbids.run.findings import Findings
from rtbids.run.map_pictures import THRESHOLD, MapFound, Painted
from rtbids.run.markup import at, counted, figure, long_time, percent, ranges, table
from rtbids.run.measures import Floats
from rtbids.run.pictures import data_uri

GOOD, SPIKE = 0.2, 0.5  # mm of framewise displacement: rtbids.analysis.quality
SPIKE_DVARS = 5.0  # percent
_CONSTANT = "constant"
_SIDES = ("x, to the right", "y, forwards", "z, upwards")


def sections(found: Findings) -> list[tuple[str, str]]:
    """Return title and content of the sections that there is something to say in."""
    parts = [("Motion", motion), ("Data quality", quality), ("Design", design)]
    tables = {"Motion": "motion", "Data quality": "quality", "Design": "design"}
    drawn = [(title, draw(found, found.derived[tables[title]])) for title, draw in parts if tables[title] in found.derived]
    return [*drawn, ("Maps", maps(found.maps))] if found.maps else drawn


def motion(found: Findings, derived: Derived) -> str:
    """Draw the pose of the head and how far it moved."""
    poses = [derived.floats(name, found.length) for name in POSE]
    moved = derived.floats("framewise_displacement", found.length)
    unknown = sorted(index for index, word in derived.texts("pose").items() if word != "known")
    degrees = [np.rad2deg(values) for values in poses[3:]]
    return "".join(
        [
            f"<p>{escape(_motion_in_words(poses, moved))}{escape(_unknown(unknown, derived))}</p>",
            _six(found, "translation", "mm", poses[:3], unknown),
            _six(found, "rotation", "°", degrees, unknown),
            _displacement(found, moved, unknown),
        ]
    )


def _motion_in_words(poses: Sequence[Floats], moved: Floats) -> str:
    known = moved[np.isfinite(moved)]
    if not known.size:
        return "The head was found in fewer than two volumes."
    farthest = max(float(np.nanmax(np.abs(values))) for values in poses[:3])
    return (
        f"From one volume to the next the head moved by {known.mean():.2f} mm on average and {known.max():.2f} mm at the most "
        f"(framewise displacement, Power et al.); {percent(int((known < GOOD).sum()), known.size)} of volumes are below "
        f"{GOOD:g} mm. The farthest from the reference along an axis was {farthest:.2f} mm."
    )


def _unknown(unknown: Sequence[int], derived: Derived) -> str:
    if not unknown:
        return ""
    why = derived.texts("pose")[unknown[0]]
    return f" The pose is not known in {counted(len(unknown), 'volume')}: {ranges(unknown)} (the first: {why})."


def _six(found: Findings, kind: str, unit: str, values: Sequence[Floats], unknown: Sequence[int]) -> str:
    plot = Plot(found.length, charts.scale(np.concatenate([*values, [0.0]]).tolist()), height=120)
    layers = [
        plot.rule(0.0, "zero"),
        *(plot.curve(each, f"s{place}") for place, each in enumerate(values, 1)),
        plot.symbols(((volume, math.nan) for volume in unknown), "missing"),
        plot.hints(_hints(found, dict(zip("xyz", values, strict=True)), unit)),
    ]
    title = f"{kind.capitalize()} of the head against the reference"
    names = _SIDES if kind == "translation" else [f"about {axis}" for axis in "xyz"]
    chart = plot.drawn(kind, title, f"Three curves, {unit}.", layers, unit=unit, repetition_time=found.repetition_time)
    entries = [(charts.line_sample(f"s{place}"), name) for place, name in enumerate(names, 1)]
    return figure(chart + charts.legend([*entries, *_missing(unknown)]), f"{title}, {unit}.")


def _displacement(found: Findings, moved: Floats, unknown: Sequence[int]) -> str:
    plot = Plot(found.length, charts.Scale(0.0, max(float(np.nanmax([*moved, 0.0])) * 1.1, SPIKE * 1.1)), height=120)
    layers = [
        plot.curve(moved, "s1"),
        plot.rule(GOOD, "zero", f"good below {GOOD:g} mm"),
        plot.rule(SPIKE, "deadline", f"spike from {SPIKE:g} mm"),
        plot.symbols(((v, x) for v, x in enumerate(moved.tolist()) if x >= SPIKE), "beyond"),
        plot.symbols(((volume, math.nan) for volume in unknown), "missing"),
        plot.hints(_hints(found, {"moved by": moved}, "mm")),
    ]
    title = "Framewise displacement"
    chart = plot.drawn("displacement", title, "One curve.", layers, unit="mm", repetition_time=found.repetition_time)
    return figure(chart + charts.legend(_missing(unknown)), f"{title}: how far the head moved since the volume before, mm.")


def _missing(unknown: Sequence[int]) -> list[tuple[str, str]]:
    return [(charts.symbol_sample("missing"), "pose not known")] if unknown else []


def quality(found: Findings, derived: Derived) -> str:
    """Draw DVARS and tSNR, and count what is good."""
    dvars, tsnr = derived.floats("dvars", found.length), derived.floats("tsnr", found.length)
    spikes = {index: word for index, word in derived.texts("spike").items() if word != "none"}
    return "".join(
        [
            f"<p>{escape(_quality_in_words(found, derived, tsnr, spikes))}</p>",
            _dvars(found, dvars, spikes),
            _tsnr(found, tsnr),
            _spikes(found, dvars, spikes),
        ]
    )


def _quality_in_words(found: Findings, derived: Derived, tsnr: Floats, spikes: Mapping[int, str]) -> str:
    words = [f"{counted(len(spikes), 'spike')} in {counted(derived.length, 'volume')}"]
    known = tsnr[np.isfinite(tsnr)]
    if known.size:
        words.append(f"temporal signal-to-noise ratio {known[-1]:.0f} (median over the brain, at the end of the run)")
    if "motion" in found.derived:
        good = int(np.nansum(derived.floats("good", found.length)))
        minutes = long_time(good * found.repetition_time)
        words.append(f"{minutes} of good data ({percent(good, derived.length)} of volumes, displacement below {GOOD:g} mm)")
    return "; ".join([*words, *_criterion(found, derived)]) + "."


def _criterion(found: Findings, derived: Derived) -> list[str]:
    """Say when there was enough good data, or how much longer that would have taken."""
    left = derived.floats("minutes_to_criterion", found.length)
    if not np.isfinite(left).any():
        return []
    enough = np.flatnonzero(left == 0.0)
    if enough.size:
        return [f"there was enough of it at {at(int(enough[0]), found.repetition_time)}"]
    return [f"as it went, another {long_time(60 * float(left[np.isfinite(left)][-1]))} would have been enough"]


def _dvars(found: Findings, dvars: Floats, spikes: Mapping[int, str]) -> str:
    top = max(float(np.nanmax([*dvars, 0.0])) * 1.1, SPIKE_DVARS * 1.1)
    plot = Plot(found.length, charts.Scale(0.0, top), height=120)
    layers = [
        plot.curve(dvars, "s2"),
        plot.rule(SPIKE_DVARS, "deadline", f"spike from {SPIKE_DVARS:g} %"),
        plot.symbols(((volume, dvars[volume]) for volume in spikes if volume < found.length), "alternate"),
        plot.hints(_hints(found, {"DVARS": dvars}, "%")),
    ]
    chart = plot.drawn("dvars", "DVARS", "One curve.", layers, unit="%", repetition_time=found.repetition_time)
    entries = [(charts.symbol_sample("alternate"), "spike")] if spikes else []
    caption = "DVARS: change of the brain's signal since the volume before (root mean square), percent of its median."
    return figure(chart + charts.legend(entries), caption)


def _tsnr(found: Findings, tsnr: Floats) -> str:
    plot = Plot(found.length, charts.scale([0.0, *tsnr.tolist()]), height=100)
    layers = [plot.curve(tsnr, "s3"), plot.hints(_hints(found, {"tSNR": tsnr}, ""))]
    chart = plot.drawn("tsnr", "tSNR so far", "One curve.", layers, unit="ratio", repetition_time=found.repetition_time)
    return figure(chart, "tSNR: mean by standard deviation of the volumes so far, median over the brain, not realigned.")


def _spikes(found: Findings, dvars: Floats, spikes: Mapping[int, str]) -> str:
    if not spikes:
        return ""
    rows = [
        (at(volume, found.repetition_time), word, number(dvars[volume]) if volume < found.length else "n/a")
        for volume, word in sorted(spikes.items())[:50]
    ]
    return table("Spikes, the first 50 at the most", ("volume", "because of", "DVARS, %"), rows)


def _hints(found: Findings, curves: Mapping[str, Floats], unit: str) -> dict[int, str]:
    texts = {}
    for volume in range(found.length):
        said = [f"{name} {number(values[volume])} {unit}" for name, values in curves.items() if math.isfinite(values[volume])]
        if said:
            texts[volume] = "\n".join([at(volume, found.repetition_time), *said])
    return texts


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
