"""The part of a report that shows where the head was and how far it moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from rtbids.analysis.limits import Limits
from rtbids.analysis.motion_terms import POSE
from rtbids.plural import counted
from rtbids.run.report.derived import Derived
from rtbids.run.report.figures import legends, scales
from rtbids.run.report.figures.charts import Plot
from rtbids.run.report.findings import Findings
from rtbids.run.report.markup import beside, figure, percent, ranges
from rtbids.run.report.measures import Floats
from rtbids.run.report.sections.quality import hints, limits_of

_SIDES = ("x, to the right", "y, forwards", "z, upwards")


def motion(found: Findings, derived: Derived) -> str:
    """Draw the pose of the head and how far it moved."""
    poses = [derived.floats(name, found.length) for name in POSE]
    moved = derived.floats("framewise_displacement", found.length)
    unknown = sorted(index for index, word in derived.texts("pose").items() if word != "known")
    degrees = [np.rad2deg(values) for values in poses[3:]]
    return "".join(
        [
            f"<p>{escape(_in_words(poses, moved, limits_of(found)))}{escape(_unknown(unknown, derived))}</p>",
            beside(
                _three(found, "translation", "mm", poses[:3], unknown),
                _three(found, "rotation", "°", degrees, unknown),
            ),
            _displacement(found, moved, unknown),
        ]
    )


def _in_words(poses: Sequence[Floats], moved: Floats, limits: Limits) -> str:
    known = moved[np.isfinite(moved)]
    if not known.size:
        return "The head was found in fewer than two volumes."
    still = int((known < limits.good_displacement).sum())
    farthest = max(float(np.nanmax(np.abs(values))) for values in poses[:3])
    return (
        f"From one volume to the next the head moved by {known.mean():.2f} mm on average and {known.max():.2f} mm at the most "
        f"(framewise displacement, Power et al.), known of {counted(known.size, 'volume')}: {still} of them "
        f"({percent(still, known.size)}) moved less than {limits.good_displacement:g} mm. The farthest from the reference "
        f"along an axis was {farthest:.2f} mm."
    )


def _unknown(unknown: Sequence[int], derived: Derived) -> str:
    if not unknown:
        return ""
    why = derived.texts("pose")[unknown[0]]
    return f" The pose is not known in {counted(len(unknown), 'volume')}: {ranges(unknown)} (the first: {why})."


def _three(found: Findings, kind: str, unit: str, values: Sequence[Floats], unknown: Sequence[int]) -> str:
    plot = Plot(found.length, scales.scale(np.concatenate([*values, [0.0]]).tolist()), height=120)
    layers = [
        plot.rule(0.0, "zero"),
        *(plot.curve(each, f"s{place}") for place, each in enumerate(values, 1)),
        plot.symbols(((volume, math.nan) for volume in unknown), "missing"),
        plot.hints(hints(found, dict(zip("xyz", values, strict=True)), unit)),
    ]
    title = f"{kind.capitalize()} of the head against the reference"
    names = _SIDES if kind == "translation" else [f"about {axis}" for axis in "xyz"]
    chart = plot.drawn(kind, title, f"Three curves, {unit}.", layers, unit=unit, repetition_time=found.repetition_time)
    entries = [(legends.line_sample(f"s{place}"), name) for place, name in enumerate(names, 1)]
    return figure(chart + legends.legend([*entries, *_missing(unknown)]), f"{title}, {unit}.")


def _displacement(found: Findings, moved: Floats, unknown: Sequence[int]) -> str:
    good, spike = limits_of(found).good_displacement, limits_of(found).spike_displacement
    plot = Plot(found.length, scales.Scale(0.0, max(float(np.nanmax([*moved, 0.0])) * 1.1, spike * 1.1)), height=120)
    layers = [
        plot.curve(moved, "s1"),
        plot.rule(good, "zero", f"good below {good:g} mm"),
        plot.rule(spike, "deadline", f"spike from {spike:g} mm"),
        plot.symbols(((v, x) for v, x in enumerate(moved.tolist()) if x >= spike), "beyond"),
        plot.symbols(((volume, math.nan) for volume in unknown), "missing"),
        plot.hints(hints(found, {"moved by": moved}, "mm")),
    ]
    title = "Framewise displacement"
    chart = plot.drawn("displacement", title, "One curve.", layers, unit="mm", repetition_time=found.repetition_time)
    return figure(chart + legends.legend(_missing(unknown)), f"{title}: how far the head moved since the volume before, mm.")


def _missing(unknown: Sequence[int]) -> list[tuple[str, str]]:
    return [(legends.symbol_sample("missing"), "pose not known")] if unknown else []
