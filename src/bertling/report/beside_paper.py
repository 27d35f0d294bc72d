"""The run's models among the paper's: the share of its teacher's score each keeps, how much cheaper it is.

Scores of different tasks cannot share an axis; shares of a teacher's score can, roughly.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from bertling.report.charts import Point, Spoken, scatter_chart
from bertling.results import ModelResult, Results

# Jiao et al. 2020, table 1: the system, times as fast as BERT-base, millions of parameters, and the average
# of the GLUE test tasks.
_TEACHER_PARAMETERS, _TEACHER_SCORE = 109.0, 79.5
_PAPER = (
    ("TinyBERT4", 9.4, 14.5, 77.0),
    ("BERT-tiny", 9.4, 14.5, 70.2),
    ("BERT4-PKD", 3.0, 52.2, 72.6),
    ("DistilBERT4", 3.0, 52.2, 71.9),
    ("DistilBERT6", 2.0, 67.0, 76.8),
    ("TinyBERT6", 2.0, 67.0, 79.4),
)


@dataclass(frozen=True, slots=True)
class BesidePaper:
    """Both charts; the one by speed is None where no latency was measured."""

    by_size: Markup
    by_speed: Markup | None


def view_beside_paper(results: Results) -> BesidePaper | None:
    """Draw the charts; None where the student's share of its teacher's score or size is not known."""
    smaller = _points(results, "parameters")
    if smaller is None:
        return None
    faster = _points(results, "latency_ms_p50")
    return BesidePaper(
        _chart("beside-size", "size", smaller, "times fewer parameters, log scale"),
        None if faster is None else _chart("beside-speed", "speed", faster, "times as fast, log scale"),
    )


def _points(results: Results, cost: str) -> list[Point] | None:
    teacher = results.teacher
    student = _place(results.student, teacher, cost)
    if teacher is None or student is None:
        return None
    points = [Point("This student", "student", *student)]
    if results.baseline and (baseline := _place(results.baseline, teacher, cost)):
        points.append(Point("Its baseline", "baseline", *baseline))
    points.append(Point("Teacher", "teacher", 1.0, 100.0))
    for name, speed, parameters, score in _PAPER:
        times = _TEACHER_PARAMETERS / parameters if cost == "parameters" else speed
        points.append(Point(name, "yardstick", times, 100 * score / _TEACHER_SCORE))
    return points


def _place(model: ModelResult, teacher: ModelResult | None, cost: str) -> tuple[float, float] | None:
    """How many times cheaper than the teacher, and the percentage of its score kept, if they can be drawn."""
    if teacher is None or not teacher.score > 0:
        return None
    ours, theirs = getattr(model, cost), getattr(teacher, cost)
    kept = model.score / teacher.score
    if not ours or not theirs or not 0 < kept < 2 or not 1e-9 < theirs / ours < 1e9:
        return None
    return theirs / ours, 100 * kept


def _chart(key: str, what: str, points: list[Point], x_label: str) -> Markup:
    described = "; ".join(f"{point.label}: {point.y:.1f}% at {point.x:.3g} times" for point in points)
    return scatter_chart(
        points,
        [],
        Spoken(key, f"Share of the teacher's score against {what}, with the paper's models", described),
        x_label=x_label,
        y_label="Share of the teacher's score, %",
    )
