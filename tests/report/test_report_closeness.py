"""The report's section on how near the layers are, without a browser."""

from __future__ import annotations

import math

import pytest
from tests.report.nearness import closeness, row
from tests.report.page_reader import Reader

from bertling.report import render_report
from bertling.results import LayerCloseness, Results


@pytest.fixture
def compared(results: Results) -> Results:
    return results.model_copy(update={"closeness": closeness()})


def section(results: Results) -> Reader:
    page = render_report(results)
    return Reader(page.split('aria-labelledby="closeness"')[1].split("</section>")[0])


def test_each_layer_has_its_figures_for_student_and_baseline(compared: Results) -> None:
    text = section(compared).text
    expected = [
        "layer 4 and layer 12 0.951 0.901 0.703 0.662 0.612 0.0600 0.0650 0.234",
        "embedding 0.951 0.901 0.703 0.662 0.612 \N{EN DASH} \N{EN DASH} \N{EN DASH}",
        "student baseline constant student baseline student baseline uniform",
        "The baseline learned from labels alone",
        "layer 2, head 12: 0.115",
    ]
    assert [sentence for sentence in expected if sentence not in text] == []


def test_every_head_is_a_cell_of_the_grids(compared: Results) -> None:
    reader = section(compared)
    assert sum(tag == "rect" for tag, _ in reader.elements) == 2 * 4 * 12


def test_without_a_baseline_nothing_is_said_of_one(compared: Results) -> None:
    alone = compared.model_copy(update={"closeness": {"student": compared.closeness["student"]}})
    text = section(alone).text
    assert "aseline" not in text
    assert "layer 4 and layer 12 0.951 0.703 0.662 0.0600 0.234" in text


def test_a_run_without_figures_has_no_section(results: Results) -> None:
    assert 'id="closeness"' not in render_report(results)
    nothing = results.model_copy(update={"closeness": {"student": []}})
    assert 'id="closeness"' not in render_report(nothing)


@pytest.mark.parametrize(
    "rows",
    [
        [row(1), row(3)],
        [row(1), row(2, heads=5)],
        [row(1, heads=0)],
        [row(1).model_copy(update={"head_nats": [math.nan], "cosine": math.inf, "cka": None})],
        [row(0)],
    ],
    ids=["a layer is missing", "other numbers of heads", "no heads", "no numbers", "the embedding alone"],
)
def test_figures_that_make_no_grid_are_listed_without_one(
    results: Results, rows: list[LayerCloseness]
) -> None:
    odd = results.model_copy(update={"closeness": {"student": rows, "baseline": []}})
    reader = section(odd)
    assert sum(tag == "tr" for tag, _ in reader.elements) == 2 + len(rows)
    assert not any(tag == "svg" for tag, _ in reader.elements)
