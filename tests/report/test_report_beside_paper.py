"""Where the run's models stand among the paper's, without a browser."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from bertling.report import render_report
from bertling.report.beside_paper import view_beside_paper
from bertling.results import Results


def described(chart: str) -> dict[str, tuple[float, float]]:
    """What a screen reader says: the models, each with its share in percent and how many times."""
    found = re.search(r"<desc[^>]*>(.*?)</desc>", chart)
    assert found
    lines = (re.fullmatch(r"(.*): (.*)% at (.*) times", line) for line in found[1].split("; "))
    return {line[1]: (float(line[2]), float(line[3])) for line in lines if line}


def test_every_model_stands_at_its_share_and_its_cost(results: Results) -> None:
    made = view_beside_paper(results)
    assert made
    assert made.by_speed
    assert results.teacher
    assert results.baseline
    teacher, size, speed = results.teacher, described(made.by_size), described(made.by_speed)
    for name, model in (("This student", results.student), ("Its baseline", results.baseline)):
        share = 100 * model.score / teacher.score
        smaller = (teacher.parameters or math.nan) / (model.parameters or math.nan)
        faster = (teacher.latency_ms_p50 or math.nan) / (model.latency_ms_p50 or math.nan)
        assert size[name] == pytest.approx((share, smaller), rel=0.01)
        assert speed[name] == pytest.approx((share, faster), rel=0.01)
    for chart in (size, speed):
        assert chart["Teacher"] == pytest.approx((100, 1))
        assert len(chart) == 9
    # 77.0 of 79.5 with 14.5 of 109 million parameters
    assert size["TinyBERT4"] == pytest.approx((96.9, 7.52))
    assert speed["TinyBERT4"] == pytest.approx((96.9, 9.4))


def test_the_section_is_on_the_page(results: Results) -> None:
    assert '<h2 id="beside-paper">' in render_report(results)


@pytest.mark.parametrize(
    "student",
    [{"parameters": None}, {"parameters": 0}, {"score": -0.2}, {"score": math.nan}, {"score": 1e300}],
)
def test_a_student_that_has_no_place_leaves_the_section_out(
    results: Results, student: dict[str, Any]
) -> None:
    changed = results.model_copy(update={"student": results.student.model_copy(update=student)})
    assert view_beside_paper(changed) is None
    assert '<h2 id="beside-paper">' not in render_report(changed)


@pytest.mark.parametrize("teacher", [None, {"score": 0.0}, {"score": math.nan}])
def test_a_teacher_without_a_score_above_zero_leaves_the_section_out(
    results: Results, teacher: dict[str, Any] | None
) -> None:
    known = None if teacher is None or results.teacher is None else results.teacher.model_copy(update=teacher)
    assert view_beside_paper(results.model_copy(update={"teacher": known})) is None


@pytest.mark.parametrize("latency", [None, 0.0, -1.0, math.inf, 1e-300])
def test_without_latency_there_is_the_chart_of_sizes_alone(results: Results, latency: float | None) -> None:
    student = results.student.model_copy(update={"latency_ms_p50": latency})
    made = view_beside_paper(results.model_copy(update={"student": student}))
    assert made
    assert made.by_speed is None
    assert "TinyBERT4" in made.by_size
