"""Dot plots as SVG: a line for each name, a dot for each run and their mean, and values marked across all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bertling.report.charts import LETTER, RIGHT, TOP, WIDTH, Kind, Scale, linear_scale

NAMES = 116
"""left of the dots, where the lines' names stand"""
_ROW = 26
_BELOW = 42
_HEAD = 17
"""height of a mark's name"""


@dataclass(frozen=True, slots=True)
class DotRow:
    """A line of the plot: dots, a ring for their mean, and an interval as a whisker."""

    name: str
    kind: Kind
    dots: tuple[float, ...]
    mean: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A value that is marked across all lines, and named above them."""

    name: str
    value: float
    kind: Kind


def dot_lines(rows: Sequence[DotRow], marks: Sequence[Mark], *, label: str) -> tuple[Markup, float]:
    """The plot, as wide as every chart, and its height.

    All values are finite, and in the unit that ``label`` names. A mark's name stands above its line, higher
    up where names would cover each other.
    """
    values = [value for row in rows for value in (*row.dots, row.mean, *(row.interval or ()))]
    values += [mark.value for mark in marks]
    margin = (max(values) - min(values)) * 0.04
    x = linear_scale(min(values) - margin, max(values) + margin, NAMES, WIDTH - RIGHT - 8)
    named = _named(marks, x)
    top = TOP + _HEAD * max((step for _, step in named), default=0)
    bottom = top + _ROW * len(rows)
    parts = [_axis(x, top, bottom, label)]
    for mark, (_, step) in zip(marks, named, strict=True):
        parts.append(
            Markup('<path class="level {}" d="M{:.1f} {}V{}"/>').format(
                mark.kind, x(mark.value), top - _HEAD * step, bottom
            )
        )
    for index, row in enumerate(rows):
        parts.append(_line(row, x, top + _ROW * (index + 0.5)))
    for mark, (middle, step) in zip(marks, named, strict=True):
        parts.append(
            Markup('<text class="name {}" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                mark.kind, middle, top - 6 - _HEAD * step, mark.name
            )
        )
    return Markup("").join(parts), bottom + _BELOW


def _named(marks: Sequence[Mark], x: Scale) -> list[tuple[float, int]]:
    """Where the middle of each mark's name stands, and how many names above the lowest."""
    taken: list[list[tuple[float, float]]] = []
    places = []
    for mark in marks:
        half = len(mark.name) * LETTER / 2
        middle = min(max(x(mark.value), half), WIDTH - half)
        low, high = middle - half, middle + half
        free = (
            step
            for step, others in enumerate(taken)
            if all(high < left or right < low for left, right in others)
        )
        step = next(free, len(taken))
        if step == len(taken):
            taken.append([])
        taken[step].append((low, high))
        places.append((middle, step))
    return places


def _axis(x: Scale, top: float, bottom: float, label: str) -> Markup:
    parts = [
        Markup(
            '<path class="rule" d="M{at:.1f} {top}V{bottom}"/>'
            '<text class="tick x" x="{at:.1f}" y="{y}">{text}</text>'
        ).format(at=x(value), top=top, bottom=bottom, y=bottom + 18, text=x.tick_text(value))
        for value in x.ticks
    ]
    parts.append(
        Markup('<text class="axis-name end" x="{}" y="{}">{}</text>').format(
            x.end, bottom + _BELOW - 5, label
        )
    )
    return Markup("").join(parts)


def _line(row: DotRow, x: Scale, y: float) -> Markup:
    dots = Markup("").join(
        Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(x(value), y) for value in row.dots
    )
    whisker = Markup("")
    if row.interval is not None:
        low, high = map(x, row.interval)
        whisker = Markup('<path class="whisker" d="M{:.1f} {:.1f}m0 -4v8m0 -4H{:.1f}m0 -4v8"/>').format(
            low, y, high
        )
    return Markup(
        '<text class="name {kind}" x="{names}" y="{base:.1f}" text-anchor="end">{name}</text>'
        '<g class="mark {kind}">{whisker}'
        '<circle class="hollow" cx="{mean:.1f}" cy="{y:.1f}" r="5.5"/>{dots}</g>'
    ).format(
        kind=row.kind,
        names=NAMES - 12,
        base=y + 4,
        name=row.name,
        whisker=whisker,
        dots=dots,
        mean=x(row.mean),
        y=y,
    )
