"""The page of a comparison: methods as a dot plot and a table."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from bertling.report import numbers
from bertling.report.charts import Spoken, svg_frame
from bertling.report.dots import DotRow, Mark, dot_lines
from bertling.report.html import render_page, write_page
from bertling.results_across_runs import ComparisonResults, ComparisonRow


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
    """A line for each method: a dot for each seed, a ring for their mean; the teacher dashed."""
    teacher = None if (score := _teacher(results)) is None else 100 * score
    rows = [
        DotRow(
            row.method,
            "baseline" if index else "student",
            tuple(100 * score for score in row.scores),
            100 * row.mean,
        )
        for index, row in enumerate(results.rows)
    ]
    marks = [] if teacher is None else [Mark("teacher", teacher, "yardstick")]
    body, height = dot_lines(rows, marks, label=f"{results.metric} times 100")
    described = [f"{row.name}: {row.mean:.1f}" for row in rows]
    described += [f"{mark.name}: {mark.value:.1f}" for mark in marks]
    spoken = Spoken("methods", f"{results.metric} of each method", "; ".join(described))
    return svg_frame(spoken, height, body)


def _teacher(results: ComparisonResults) -> float | None:
    return statistics.mean(results.teacher_scores) if results.teacher_scores else None


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
