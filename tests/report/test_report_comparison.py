from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bertling.report import numbers, render_comparison, write_comparison
from bertling.report.comparison import dot_plot
from bertling.results import Environment
from bertling.results_across_runs import ComparisonResults, ComparisonRow


def row(method: str, scores: list[float], difference: float | None = None) -> ComparisonRow:
    mean = sum(scores) / len(scores)
    return ComparisonRow(
        method=method,
        scores=scores,
        mean=mean,
        spread=0.004 if len(scores) > 1 else None,
        difference=difference,
        difference_low=None if difference is None else difference - 0.01,
        difference_high=None if difference is None else difference + 0.01,
        retention=mean / 0.9,
        parameters=7_500_000,
        latency_ms_p50=1.93,
        speedup=3.9,
        steps={"general": 300, "prediction": 1600},
        tokens={"general": 1_000_000, "prediction": 70_000},
        seconds=754.0,
    )


RESULTS = ComparisonResults(
    name="mine <b>",
    task="sst2",
    metric="accuracy",
    seeds=[42, 43],
    evaluation_examples=872,
    teacher_scores=[0.91, 0.89],
    teacher_parameters=22_700_000,
    resamples=1000,
    rows=[row("tinybert", [0.85, 0.86]), row("kd", [0.84, 0.83], -0.0199)],
    environment=Environment(
        date="2026-01-02",
        commit=None,
        cpu="a CPU",
        cores=2,
        threads=1,
        memory_bytes=1,
        accelerator=None,
        python="3.11",
        versions={},
    ),
)


def test_the_page_shows_every_method_with_its_figures_and_refers_to_nothing_outside() -> None:
    page = render_comparison(RESULTS)
    text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    for shown in (
        "85.5 ± 0.4",
        "95.0%",
        "-2.0 (-3.0 to -1.0)".replace("-", numbers.MINUS),
        "7.50 M",
        f"3.9{numbers.TIMES}",
        "general 300, prediction 1,600",
    ):
        assert shown in text
    assert "Against tinybert" in text
    assert "mine &lt;b&gt;" in page
    assert not re.search(r"https?:|src=|@import", page)


def test_the_plot_has_a_dot_for_each_seed_and_mean_in_their_places() -> None:
    svg = ElementTree.fromstring(str(dot_plot(RESULTS)))
    circles = [(float(dot.attrib["cx"]), float(dot.attrib["r"])) for dot in svg.iter("circle")]
    assert [size for _, size in circles] == [5.5, 2.5, 2.5] * 2
    at = [x for x, _ in circles]
    assert at[1] < at[0] < at[2]
    assert at[0] == pytest.approx((at[1] + at[2]) / 2, abs=0.1)
    (teacher,) = (
        float(line.attrib["d"].split()[0][1:])
        for line in svg.iter("path")
        if line.get("class") == "level yardstick"
    )
    assert teacher > max(at)
    assert "tinybert: 85.5; kd: 83.5; teacher: 90.0" in str(dot_plot(RESULTS))


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    single = RESULTS.model_copy(update={"seeds": [42], "rows": [row("kd", [0.8])], "teacher_scores": [0.8]})
    write_comparison(single, tmp_path / "comparison.html")
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert "one seed" in page
    assert "±" not in page


def test_an_interval_reads_with_signs() -> None:
    assert numbers.interval(0.012, -0.003, 0.026) == f"+1.2 ({numbers.MINUS}0.3 to +2.6)"
    assert numbers.interval(None, None, None) == ""


def test_students_of_a_black_box_stand_without_a_teacher() -> None:
    rows = [entry.model_copy(update={"speedup": None, "retention": None}) for entry in RESULTS.rows]
    alone = RESULTS.model_copy(update={"teacher_scores": [], "teacher_parameters": 0, "rows": rows})
    page = render_comparison(alone)
    assert "The teacher" not in page
    assert ">teacher</text>" not in dot_plot(alone)
    assert ">teacher</text>" in dot_plot(RESULTS)
