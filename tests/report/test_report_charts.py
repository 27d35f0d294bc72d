from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from bertling.report.charts import (
    LETTER,
    Level,
    Line,
    Point,
    Spoken,
    line_chart,
    linear_scale,
    log_ticks,
    nice_ticks,
    scatter_chart,
)
from bertling.report.curves import MOST_POINTS, view_stages
from bertling.report.diagram import Tie, layer_diagram
from bertling.results import HistoryPoint, Results

SPOKEN = Spoken("chart", "A title", "A description")


def drawn(*lines: Line) -> ElementTree.Element:
    return ElementTree.fromstring(line_chart(lines, SPOKEN, x_label="step", y_label="loss"))


def line(*values: float, label: str = "loss", thin: bool = False) -> Line:
    return Line(label, 0, tuple((float(step), value) for step, value in enumerate(values, start=1)), thin)


def nodes(svg: ElementTree.Element, css: str) -> list[ElementTree.Element]:
    return [node for node in svg.iter() if css in node.get("class", "").split()]


def texts(svg: ElementTree.Element, css: str) -> list[str]:
    return [node.text or "" for node in nodes(svg, css)]


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 97), (-0.3, 0.2), (41.2, 43.9), (0, 22_500), (3e-7, 6e-7), (1e8, 9e8)]
)
def test_nice_ticks_are_few_even_and_inside(low: float, high: float) -> None:
    ticks = nice_ticks(low, high, 6)
    steps = [after - before for before, after in pairwise(ticks)]
    mantissa = steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-9)
    assert 3 <= len(ticks) <= 6
    assert low - 1e-9 * abs(low) <= ticks[0] <= ticks[-1] <= high * (1 + 1e-9)
    assert steps == pytest.approx([steps[0]] * len(steps))
    assert min(abs(mantissa - nice) for nice in (1, 2, 5)) < 1e-6


@pytest.mark.parametrize(("low", "high"), [(0.3, 150), (1, 1000), (2.1, 4.8), (1e-9, 1e12), (0.9, 11)])
def test_log_ticks_are_at_least_two_and_inside(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 12
    assert all(low * 0.999 <= tick <= high * 1.001 for tick in ticks)


@pytest.mark.parametrize("value", [0.0, 0.5, -3.0, 1e-12])
def test_a_scale_of_one_value_has_room_around_it(value: float) -> None:
    scale = linear_scale(value, value, 0.0, 100.0)
    assert 0 < scale(value) < 100


def test_y_is_logarithmic_only_beyond_a_decade() -> None:
    assert texts(drawn(line(0.4, 1.0, 3.9)), "y") == ["0", "1", "2", "3", "4"]
    assert texts(drawn(line(0.5, 2.0, 5.5)), "y") == ["0.5", "1", "2", "5"]
    assert texts(drawn(line(0.2, 3.0, 30.0)), "y") == ["0.2", "0.5", "1", "2", "5", "10", "20"]
    assert "0" in texts(drawn(line(0.0, 3.0, 30.0)), "y"), "zero has no logarithm"


def test_a_line_breaks_where_a_value_is_not_finite() -> None:
    svg = drawn(line(1.0, 2.0, math.nan, math.inf, 3.0, 4.0))
    (path,) = nodes(svg, "line")
    data = path.get("d", "")
    assert data.count("M") == 2
    assert data.count(",") == 4
    assert "nan" not in data
    assert "inf" not in data


def test_lines_without_any_finite_value_give_an_empty_chart() -> None:
    svg = drawn(line(math.nan, math.nan))
    assert texts(svg, "name") == []
    assert texts(svg, "x")


def test_the_names_of_lines_that_end_together_stay_apart() -> None:
    svg = drawn(*(line(2.0, 1.0 + 0.001 * index, label=f"term {index}") for index in range(5)))
    heights = sorted(float(node.get("y", "")) for node in nodes(svg, "name"))
    assert len(heights) == 5
    assert all(after - before >= 15.9 for before, after in pairwise(heights))
    assert heights[-1] < 225


def test_higher_values_are_drawn_higher_and_inside_the_canvas() -> None:
    svg = drawn(line(5.0, 4.0, 3.0))
    (path,) = nodes(svg, "line")
    points = [tuple(map(float, pair.split(","))) for pair in path.get("d", "").lstrip("M").split()]
    assert points == sorted(points), "to the right, y grows downwards"
    assert all(0 <= x <= 420 and 0 <= y <= 260 for x, y in points)


def test_labels_in_charts_are_escaped() -> None:
    svg = scatter_chart(
        [Point("<script>&", "student", 3.0, 90.0)],
        [Level("<i>level</i>", 50.0)],
        Spoken("chart", "<b>", "<u>"),
        x_label="<x>",
        y_label="<y>",
    )
    names = texts(ElementTree.fromstring(svg), "name")
    assert names == ["<script>&", "<i>level</i>"]
    assert not re.search(r"<(script|i|b|u|x|y)\b", svg)


def test_the_names_in_a_crowded_scatter_do_not_cover_each_other() -> None:
    points = [
        Point(f"a model {index}", "yardstick", 5.0 + 0.05 * index, 80.0 + 0.5 * index, 7.0)
        for index in range(4)
    ]
    svg = ElementTree.fromstring(
        scatter_chart(points, [Level("a level", 50.0)], SPOKEN, x_label="ms", y_label="score")
    )
    boxes = []
    for node in nodes(svg, "name"):
        width = 7.0 * len(node.text or "")
        left = (
            float(node.get("x", ""))
            - {"start": 0.0, "middle": width / 2, "end": width}[node.get("text-anchor", "")]
        )
        boxes.append((left, float(node.get("y", "")) - 11, left + width, float(node.get("y", ""))))
    for index, a in enumerate(boxes):
        assert a[0] > 0
        assert a[2] < 420
        for b in boxes[index + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_a_name_that_does_not_fit_to_the_right_of_its_point_stands_to_the_left() -> None:
    points = [Point("left", "student", 1.0, 80.0), Point("a long name at the right", "teacher", 90.0, 90.0)]
    svg = ElementTree.fromstring(scatter_chart(points, [], SPOKEN, x_label="ms", y_label="score"))
    assert [node.get("text-anchor") for node in nodes(svg, "name")] == ["start", "end"]


def test_a_uniform_layer_map_is_level_and_a_tie_without_losses_is_dashed() -> None:
    ties = [
        Tie("embedding", "embedding", ()),
        Tie("layer 1", "layer 2", ("hidden",)),
        Tie("layer 2", "layer 4", ("hidden",)),
    ]
    svg = ElementTree.fromstring(layer_diagram(ties, SPOKEN, teacher_layers=4, student_layers=2))
    paths = [(node.get("class"), node.get("d", "")) for node in svg.iter("path")]
    assert [css for css, _ in paths] == ["tie idle", "tie", "tie"]
    for _, data in paths:
        heights = re.findall(r"-?[\d.]+ (-?[\d.]+)(?=[C H])", data)
        assert len(set(heights)) == 1
    boxes = ["".join(node.itertext()) for node in svg.iter("g")]
    teacher = ["embedding", "layer 1", "layer 2", "layer 3", "layer 4", "logits"]
    assert boxes == [*teacher, "embedding", "layer 1", "layer 2", "logits"]


def test_a_diagram_ends_in_what_the_models_say_and_its_boxes_are_wide_enough_for_it() -> None:
    ties = [Tie("text embedding", "text embedding", ("prediction",))]
    drawn = layer_diagram(ties, SPOKEN, teacher_layers=4, student_layers=2, output="text embedding")
    svg = ElementTree.fromstring(drawn)
    boxes = ["".join(node.itertext()) for node in svg.iter("g")]
    assert (boxes[5], boxes[-1]) == ("text embedding", "text embedding")
    widths = {float(node.get("width", "")) for node in svg.iter("rect")}
    assert len(widths) == 1
    assert min(widths) > len("text embedding") * LETTER
    (path,) = (node.get("d", "") for node in svg.iter("path"))
    assert path.startswith(f"M{min(widths) + 1:g} ")  # where the box ends


def point(step: int, terms: dict[str, float]) -> HistoryPoint:
    return HistoryPoint(
        step=step,
        epoch=step / 10,
        tokens=100 * step,
        loss=1.0,
        learning_rate=1e-4,
        gradient_norm=None,
        terms=terms,
    )


def test_the_layers_of_a_term_are_thin_and_their_sum_is_thick() -> None:
    history = [
        point(step, {"hidden.1": 1.0 * step, "hidden.2": 2.0 * step, "embedding": 5.0}) for step in (1, 2, 3)
    ]
    (stage,) = view_stages({"intermediate": history}, {})
    lines = {(line.label, line.thin): [value for _, value in line.points] for line in stage.lines}
    assert lines == {
        ("embedding", False): [5, 5, 5],
        ("hidden", False): [3, 6, 9],
        ("hidden, layer 1", True): [1, 2, 3],
        ("hidden, layer 2", True): [2, 4, 6],
    }
    assert len({line.color for line in stage.lines}) == 2


def test_a_long_history_is_thinned_to_means_and_says_so() -> None:
    history = [point(step, {"labels": float(step)}) for step in range(1, 4 * MOST_POINTS + 1)]
    (stage,) = view_stages({"teacher": history}, {})
    (only,) = stage.lines
    assert len(only.points) == MOST_POINTS
    assert only.points[0] == (4.0, 2.5)
    assert "mean of 4 logged ones" in stage.caption


def test_stages_that_logged_nothing_have_no_chart(results: Results) -> None:
    names = [stage.name for stage in view_stages({**results.histories, "evaluate": []}, {})]
    assert names == ["teacher", "general", "intermediate", "prediction", "baseline"]
