"""Charts along the volumes of a run, as inline SVG that needs neither a script nor a fixed width.

Horizontal places are percentages and vertical ones pixels, so that text and symbols keep their size from a telephone to a
wide screen; only curves and columns lie in a nested SVG that stretches. Colours come from the page's style sheet by class.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from rtbids.run.report.figures.scales import Scale, clock, number, ticks
from rtbids.run.report.measures import Floats

TOP = 20  # pixels above the plot, for the names of blocks
RAIL = 16  # pixels below it, for volumes without a value
LABELS = 32  # pixels for the two lines of the time axis
_NARROW, _WIDEST = 64, 158  # pixels for numbers at the left, and for names
_BAR = 8  # pixels: a pattern is seen in no less
_ROW_BAR = 12
_FINE = 1000  # units that a curve's height is divided into
_DOTS = 250  # with more volumes than this, dots would cover the curve
_LONE = 20  # up to so many volumes, a curve has dots in any case
_POINTED = 400  # columns that a pointer can tell apart
_WIDE = 900  # pixels that a plot has on a wide screen, at least


@dataclass(frozen=True)
class Plot:
    """The place of one chart: `count` volumes along it, `scale` upwards, `height` pixels."""

    count: int
    scale: Scale
    height: int = 200

    def x(self, volume: float) -> str:
        """Return the middle of a volume's column; onsets, which lie at its left edge, are half a volume earlier."""
        return f"{100 * (volume + 0.5) / max(self.count, 1):.2f}%"

    def y(self, value: float) -> float:
        return round(TOP + self.height * (1 - self.scale.fraction(value)), 1)

    @property
    def rail(self) -> float:
        """Where volumes without a value are marked."""
        return TOP + self.height + RAIL / 2 + 1

    def curve(self, values: Floats, style: str) -> str:
        """Draw a line through `values` (by volume), broken where they are NaN; a lone value becomes a dot."""
        path, drawing = [], False
        for volume, value in enumerate(values):
            if math.isfinite(value):
                path.append(f"{'L' if drawing else 'M'}{volume + 0.5:g} {self._fine(value)}{'' if drawing else 'h0'}")
            drawing = math.isfinite(value)
        few = self.dots(values, style) if self.count <= _LONE else ""
        return self._stretched(f'<path class="line {style}" d="{"".join(path)}"/>') + few if path else ""

    def columns(self, low: Floats, high: Floats, style: str) -> str:
        """Fill from `low` to `high` in the column of each volume where both are known."""
        path = [
            f"M{volume} {self._fine(bottom)}V{self._fine(top)}h1V{self._fine(bottom)}z"
            for volume, (bottom, top) in enumerate(zip(low, high, strict=True))
            if math.isfinite(bottom) and math.isfinite(top) and top > bottom
        ]
        return self._stretched(f'<path class="{style}" d="{"".join(path)}"/>') if path else ""

    def symbols(self, points: Iterable[tuple[float, float]], symbol: str, style: str = "") -> str:
        """Put a symbol (an id of `SYMBOLS`) at each (volume, value); NaN goes to the rail under the plot."""
        marks = (
            f'<use href="#{symbol}" x="{self.x(volume)}" y="{self.y(value) if math.isfinite(value) else self.rail}"/>'
            for volume, value in points
        )
        drawn = "".join(marks)
        return f'<g class="{style}">{drawn}</g>' if drawn else ""

    def dots(self, values: Floats, style: str) -> str:
        """Put a dot on every finite value, where the run is short enough to tell them apart."""
        if self.count > _DOTS:
            return ""
        return self.symbols(((v, x) for v, x in enumerate(values.tolist()) if math.isfinite(x)), "ok", style)

    def block(self, start: float, stop: float, style: str, name: str = "") -> str:
        """Shade from `start` to `stop` (in volumes, onsets) with a bar on top, named where there is a name and room for it."""
        left, right = self._between(start, stop)
        if right <= left:
            return ""
        text = ""
        if name and (right - left) * _WIDE > 6.3 * len(name) + 4:
            text = f'<text class="block" x="{50 * (left + right):.2f}%" y="9">{escape(name)}</text>'
        return (
            f'<rect class="shade {style}" {_along(left, right)} y="{TOP}" height="{self.height}"/>'
            f'<rect class="bar {style}" {_along(left, right)} y="{TOP - _BAR}" height="{_BAR}"/>{text}'
        )

    def bar(self, start: float, stop: float, style: str, middle: float) -> str:
        """Draw a bar from `start` to `stop` (in volumes, onsets) about the height of the value `middle`."""
        left, right = self._between(start, stop)
        y = self.y(middle) - _ROW_BAR / 2
        return f'<rect class="bar {style}" {_along(left, right)} y="{y:g}" height="{_ROW_BAR}"/>' if right > left else ""

    def _between(self, start: float, stop: float) -> tuple[float, float]:
        """Return two places along the plot as fractions of it."""
        return max(0.0, start / max(self.count, 1)), min(1.0, stop / max(self.count, 1))

    def rule(self, value: float, style: str, name: str = "") -> str:
        """Draw a horizontal line, named at its right end."""
        y = self.y(value)
        text = f'<text class="rule-name" x="100%" y="{y - 4}">{escape(name)}</text>' if name else ""
        return f'<line class="{style}" x1="0" x2="100%" y1="{y}" y2="{y}"/>{text}'

    def hints(self, texts: Mapping[int, str]) -> str:
        """Let the pointer ask each volume's column for its text; in a long run, of neighbours the one that says most."""
        step = -(-self.count // _POINTED) or 1
        width = f"{100 * step / max(self.count, 1):.2f}%"
        groups: dict[int, str] = {}
        for volume, text in texts.items():
            groups[volume // step] = max(groups.get(volume // step, ""), text, key=len)
        rects = (
            f'<rect x="{100 * group * step / max(self.count, 1):.2f}%" y="{TOP}" width="{width}" '
            f'height="{self.height + RAIL}"><title>{escape(text)}</title></rect>'
            for group, text in groups.items()
        )
        return f'<g class="hints">{"".join(rects)}</g>'

    def drawn(
        self,
        key: str,
        title: str,
        desc: str,
        layers: Sequence[str],
        *,
        repetition_time: float,
        unit: str = "",
        names: Mapping[float, str] | None = None,
    ) -> str:
        """Put the layers between the axes; `key` is unique in the page, `title` and `desc` are for those who listen.

        Where there are `names`, they stand at the left in place of the scale's numbers.
        """
        total = TOP + self.height + RAIL + LABELS
        marks = list(names or {}) if names is not None else self.scale.ticks()
        named = names if names is not None else {mark: number(mark) for mark in marks}
        longest = max(map(len, named.values()), default=0)
        wide = _NARROW if longest < 10 else min(12 + 7 * longest, _WIDEST)
        grid = "".join(self.rule(mark, "grid") for mark in marks)
        labels = "".join(f'<text x="{wide - 6}" y="{self.y(mark) + 4}">{escape(named[mark])}</text>' for mark in marks)
        seconds = "min:s" if math.isfinite(repetition_time) else ""
        return (
            f'<div class="chart{" named" if wide > _NARROW else ""}">'
            f'<svg class="scale" width="{wide}" height="{total}" aria-hidden="true">'
            f'<text x="{wide - 6}" y="10">{escape(unit)}</text>{labels}'
            f'<text x="{wide - 20}" y="{total - 18}">volume</text><text x="{wide - 20}" y="{total - 4}">{seconds}</text></svg>'
            f'<svg class="field" width="100%" height="{total}" role="img" aria-labelledby="{key}-t {key}-d">'
            f'<title id="{key}-t">{escape(title)}</title><desc id="{key}-d">{escape(desc)}</desc>'
            f"{grid}{''.join(layers)}{self._time_axis(total, repetition_time)}</svg></div>"
        )

    def _time_axis(self, total: int, repetition_time: float) -> str:
        marks = [mark for mark in ticks(0, max(self.count - 1, 1), 7) if mark == int(mark) and mark < max(self.count, 1)]
        out = [f'<line class="axis" x1="0" x2="100%" y1="{TOP + self.height}" y2="{TOP + self.height}"/>']
        for place, mark in enumerate(marks):
            style = "tick odd" if place % 2 else "tick"  # every other one is left out where there is little room
            out.append(f'<text class="{style}" x="{self.x(mark)}" y="{total - 18}">{mark:.0f}</text>')
            if math.isfinite(repetition_time):
                out.append(f'<text class="{style}" x="{self.x(mark)}" y="{total - 4}">{clock(mark * repetition_time)}</text>')
        return "".join(out)

    def _fine(self, value: float) -> str:
        return f"{_FINE * (1 - self.scale.fraction(value)):.0f}"

    def _stretched(self, content: str) -> str:
        return (
            f'<svg class="stretched" x="0" y="{TOP}" width="100%" height="{self.height}" '
            f'viewBox="0 0 {max(self.count, 1)} {_FINE}" preserveAspectRatio="none">{content}</svg>'
        )


def _along(left: float, right: float) -> str:
    return f'x="{100 * left:.2f}%" width="{100 * (right - left):.2f}%"'
