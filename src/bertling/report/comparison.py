"""The page of a comparison: methods as a dot plot and a table."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from bertling.report import numbers
from bertling.report.charts import RIGHT, TOP, WIDTH, Scale, Spoken, linear_scale, svg_frame
from bertling.report.html import render_page, write_page
from bertling.results_across_runs import ComparisonResults, ComparisonRow

_NAMES = 150
"""left of the dots, where the methods' names stand"""
_ROW = 26
_BELOW = 42


@dataclass(frozen=True, slots=True)
class RowView:
    """A line of the table, as text."""

    method: str
    score: str
    kept: str
    difference: str
    parameters: str
    latency: str
    speedup: str
    budget: str
    duration: str


def render_comparison(results: ComparisonResults) -> str:
    """The comparison as one HTML page that refers to nothing outside itself."""
    return render_page(
        "comparison.html.j2",
        results=results,
        first=results.rows[0].method,
        teacher=numbers.score(_teacher(results)),
        teacher_parameters=numbers.parameters(results.teacher_parameters),
        examples=numbers.count(results.evaluation_examples, "example"),
        seeds=numbers.count(len(results.seeds), "seed"),
        rows=[_row(row) for row in results.rows],
        plot=dot_plot(results),
    )


def write_comparison(results: ComparisonResults, path: Path) -> None:
    """Write the page to ``path``, whole or not at all.

    Raises:
        OSError: the folder is missing or cannot be written to.
    """
    write_page(render_comparison(results), path)


def dot_plot(results: ComparisonResults) -> Markup:
    """A line for each method: a small dot for each seed, a large one for their mean; the teacher dashed."""
    teacher = None if (score := _teacher(results)) is None else 100 * score
    values = [100 * score for row in results.rows for score in row.scores]
    values += [] if teacher is None else [teacher]
    margin = (max(values) - min(values)) * 0.04
    x = linear_scale(min(values) - margin, max(values) + margin, _NAMES, WIDTH - RIGHT - 8)
    bottom = TOP + _ROW * len(results.rows)
    parts = [_axis(x, bottom, f"{results.metric} times 100")]
    if teacher is not None:
        parts.append(
            Markup(
                '<path class="level" d="M{x:.1f} {top}V{bottom}"/>'
                '<text class="name yardstick" x="{x:.1f}" y="{y}" text-anchor="middle">teacher</text>'
            ).format(x=x(teacher), top=TOP, bottom=bottom, y=TOP - 6)
        )
    for index, row in enumerate(results.rows):
        parts.append(_dots(row, x, TOP + _ROW * (index + 0.5), first=index == 0))
    described = [f"{row.method}: {100 * row.mean:.1f}" for row in results.rows]
    described += [] if teacher is None else [f"teacher: {teacher:.1f}"]
    spoken = Spoken("methods", f"{results.metric} of each method", "; ".join(described))
    return svg_frame(spoken, bottom + _BELOW, Markup("").join(parts))


def _teacher(results: ComparisonResults) -> float | None:
    return statistics.mean(results.teacher_scores) if results.teacher_scores else None


def _axis(x: Scale, bottom: float, label: str) -> Markup:
    parts = [
        Markup(
            '<path class="rule" d="M{at:.1f} {top}V{bottom}"/>'
            '<text class="tick x" x="{at:.1f}" y="{y}">{text}</text>'
        ).format(at=x(value), top=TOP, bottom=bottom, y=bottom + 18, text=x.tick_text(value))
        for value in x.ticks
    ]
    parts.append(
        Markup('<text class="axis-name end" x="{}" y="{}">{}</text>').format(
            x.end, bottom + _BELOW - 5, label
        )
    )
    return Markup("").join(parts)


def _dots(row: ComparisonRow, x: Scale, y: float, *, first: bool) -> Markup:
    kind = "student" if first else "baseline"
    seeds = Markup("").join(
        Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(x(100 * score), y) for score in row.scores
    )
    return Markup(
        '<text class="name {kind}" x="{names}" y="{base:.1f}" text-anchor="end">{method}</text>'
        '<g class="mark {kind}"><g opacity="0.6">{seeds}</g>'
        '<circle cx="{mean:.1f}" cy="{y:.1f}" r="5.5"/></g>'
    ).format(
        kind=kind, names=_NAMES - 12, base=y + 4, method=row.method, seeds=seeds, mean=x(100 * row.mean), y=y
    )


def _row(row: ComparisonRow) -> RowView:
    spread = "" if row.spread is None else f" ± {100 * row.spread:.1f}"
    steps = (f"{stage} {count:,}" for stage, count in row.steps.items())
    return RowView(
        method=row.method,
        score=numbers.score(row.mean) + spread,
        kept=numbers.percent(row.retention),
        difference=numbers.interval(row.difference, row.difference_low, row.difference_high),
        parameters=numbers.parameters(row.parameters),
        latency=numbers.significant(row.latency_ms_p50),
        speedup=numbers.ratio(row.speedup),
        budget=", ".join(steps),
        duration=numbers.duration(row.seconds),
    )
