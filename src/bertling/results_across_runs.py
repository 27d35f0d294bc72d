"""The typed results of several runs side by side: ablations, comparisons, GLUE. Imports no torch."""

from __future__ import annotations

from bertling.results import Environment, ModelResult, Result
from bertling.tasks import Metric


class AblationRow(Result):
    """A recipe with one thing left out, or whole.

    ``scores`` holds one for each seed, ``mean`` theirs; ``change`` is the mean difference to the whole recipe
    with the same seed, and ``change_standard_error`` that mean's, None for a single seed.
    """

    name: str
    scores: list[float]
    mean: float
    change: float
    change_standard_error: float | None


class AblationResults(Result):
    """``ablation.json``: what each part of a recipe is worth; the whole recipe is the first row."""

    name: str
    task: str
    metric: Metric
    seeds: list[int]
    evaluation_examples: int
    teacher_scores: list[float]
    """one for each seed; none where they are not known"""
    rows: list[AblationRow]
    environment: Environment


class ComparisonRow(Result):
    """A method's students, with several seeds.

    ``scores`` holds one for each seed, ``mean`` theirs and ``spread`` their standard deviation, None for a
    single seed. ``difference`` is the mean difference to the first method, and from ``difference_low`` to
    ``difference_high`` is its 95% interval in the paired bootstrap over examples and seeds; both None for the
    first method. ``retention`` is the mean share of the teacher's score, None where that is not above zero.
    ``latency_ms_p50`` and ``speedup`` are medians over the seeds. ``steps`` and ``tokens`` count those of
    each stage that trained the student, ``seconds`` is what these took, on average.
    """

    method: str
    scores: list[float]
    mean: float
    spread: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    retention: float | None
    parameters: int
    latency_ms_p50: float
    speedup: float | None
    steps: dict[str, int]
    tokens: dict[str, int]
    seconds: float


class ComparisonResults(Result):
    """``comparison.json``: methods with the same teacher, student, initialisation, data and budget."""

    name: str
    task: str
    metric: Metric
    seeds: list[int]
    evaluation_examples: int
    teacher_scores: list[float]
    """one for each seed; none where they are not known"""
    teacher_parameters: int
    resamples: int
    rows: list[ComparisonRow]
    """in the order that was asked for; the others are compared with the first"""
    environment: Environment


class GlueRow(Result):
    """A GLUE task: teacher and student on its development set.

    ``retention`` is the student's score over the teacher's, None where that is not above zero.
    """

    task: str
    metric: Metric
    evaluation_examples: int
    teacher: ModelResult
    student: ModelResult
    retention: float | None
    speedup: float | None


class GlueResults(Result):
    """``glue.json``: a row for each task that was run, and the averages over them.

    ``averaged`` names the numbers that the averages are of: all nine of the paper's, or those of them that
    are there; WNLI is none of them, MNLI counts twice. The averages are None where there are none.
    """

    rows: list[GlueRow]
    averaged: list[str]
    teacher_average: float | None
    student_average: float | None
    retention: float | None
    """student's average over the teacher's"""
    environment: Environment
