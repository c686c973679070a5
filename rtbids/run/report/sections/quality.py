"""The part of a report that shows how good the volumes are, and how many."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from html import escape

import numpy as np

from rtbids.analysis.limits import Limits
from rtbids.plural import counted
from rtbids.run.report.derived import Derived
from rtbids.run.report.figures import legends, scales
from rtbids.run.report.figures.charts import Plot
from rtbids.run.report.figures.scales import number
from rtbids.run.report.findings import Findings
from rtbids.run.report.markup import at, beside, figure, long_time, percent, table
from rtbids.run.report.measures import Floats


def quality(found: Findings, derived: Derived) -> str:
    """Draw DVARS and tSNR, and count what is good."""
    dvars, tsnr = derived.floats("dvars", found.length), derived.floats("tsnr", found.length)
    spikes = spikes_of(derived)
    return "".join(
        [
            f"<p>{escape(_in_words(found, derived, tsnr))}</p>",
            beside(_dvars(found, dvars, spikes), _tsnr(found, tsnr)),
            _spikes(found, dvars, spikes),
        ]
    )


def limits_of(found: Findings) -> Limits:
    """Return what the experiment of the table counts as good: as the run recorded it, else the usual limits."""
    table = found.derived.get("quality")
    about = found.recorded.get(table.experiment, {}) if table is not None else {}
    analysis = about.get("Analysis")
    asked = analysis.get("quality") if isinstance(analysis, Mapping) else None
    if not isinstance(asked, Mapping):
        return Limits()
    try:
        return Limits(**{limit.name: float(asked[limit.name]) for limit in fields(Limits) if limit.name in asked})
    except (TypeError, ValueError):
        return Limits()


def spikes_of(derived: Derived) -> dict[int, str]:
    """Return the volumes that are spikes, and why."""
    return {index: word for index, word in derived.texts("spike").items() if word != "none"}


def measured(derived: Derived) -> int:
    """Count the volumes that were looked at: what never came has a row as well."""
    return len(derived.texts("spike"))


def _in_words(found: Findings, derived: Derived, tsnr: Floats) -> str:
    words = [f"{counted(len(spikes_of(derived)), 'spike')} in {counted(measured(derived), 'volume')}"]
    known = tsnr[np.isfinite(tsnr)]
    if known.size:
        words.append(f"temporal signal-to-noise ratio {known[-1]:.0f} (median over the brain, at the end of the run)")
    if "motion" in found.derived:
        words.append(_good(found, derived))
    return "; ".join([*words, *_criterion(found, derived)]) + "."


def _good(found: Findings, derived: Derived) -> str:
    """Say how much is good, and of how many volumes nobody knows as the head was not followed there."""
    good, count = int(np.nansum(derived.floats("good", found.length))), measured(derived)
    unknown = count - int(np.isfinite(found.derived["motion"].floats("framewise_displacement", found.length)).sum())
    which = "the first" if unknown == 1 else f"{unknown}, the first among them,"
    but = f", and of {which} it is not known how far" if unknown > 0 else ""
    moved = f"moved less than {limits_of(found).good_displacement:g} mm{but}"
    return f"{long_time(good * found.repetition_time)} of good data: {good} of {count} volumes ({percent(good, count)}) {moved}"


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
    limit = limits_of(found).spike_dvars
    top = max(float(np.nanmax([*dvars, 0.0])) * 1.1, limit * 1.1)
    plot = Plot(found.length, scales.Scale(0.0, top), height=120)
    layers = [
        plot.curve(dvars, "s2"),
        plot.rule(limit, "deadline", f"spike from {limit:g} %"),
        plot.symbols(((volume, dvars[volume]) for volume in spikes if volume < found.length), "alternate"),
        plot.hints(hints(found, {"DVARS": dvars}, "%")),
    ]
    chart = plot.drawn("dvars", "DVARS", "One curve.", layers, unit="%", repetition_time=found.repetition_time)
    entries = [(legends.symbol_sample("alternate"), "spike")] if spikes else []
    caption = "DVARS: change of the brain's signal since the volume before (root mean square), percent of its median."
    return figure(chart + legends.legend(entries), caption)


def _tsnr(found: Findings, tsnr: Floats) -> str:
    plot = Plot(found.length, scales.scale([0.0, *tsnr.tolist()]), height=120)
    layers = [plot.curve(tsnr, "s3"), plot.hints(hints(found, {"tSNR": tsnr}, ""))]
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


def hints(found: Findings, curves: Mapping[str, Floats], unit: str) -> dict[int, str]:
    """Say of each volume what curves have there."""
    texts = {}
    for volume in range(found.length):
        said = [f"{name} {number(values[volume])} {unit}" for name, values in curves.items() if math.isfinite(values[volume])]
        if said:
            texts[volume] = "\n".join([at(volume, found.repetition_time), *said])
    return texts
