"""benchmarks/fidelity_picture.py on results that are made up, and the picture in the documentation."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bertling.report.numbers import TIMES

ROOT = Path(__file__).parents[2]
SCORES = {
    "sst2": {"kd": [0.70, 0.74], "tinybert": [0.82, 0.80], "mlm": [0.60, 0.64], "pkd": [0.75, 0.75]},
    "cola": {"tinybert": [0.30, 0.32], "mlm": [-0.02, 0.0]},
}
TEACHERS = {"sst2": [0.83, 0.85], "cola": [0.40, 0.38]}
INTERVALS = {"kd": (0.05, 0.13), "mlm": (0.10, 0.28), "teacher": (-0.06, 0.01)}  # pkd has none yet
PROGRAM = """
import runpy, sys
runpy.run_path(sys.argv[0], run_name="__main__")
assert not {"torch", "transformers"} & set(sys.modules), "a picture needs no measurement"
"""


def draw(results: Path, svg: Path) -> str:
    program = PROGRAM.replace("sys.argv[0]", repr(str(ROOT / "benchmarks" / "fidelity_picture.py")), 1)
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    subprocess.run([sys.executable, "-c", program, str(results), str(svg)], check=True, env=environment)
    return svg.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("picture")
    rows = [
        {
            "task": task,
            "method": method,
            "student": "small",
            "seed": 42 + index,
            "metric": "accuracy" if task == "sst2" else "matthews",
            "score": score,
            "teacher_score": TEACHERS[task][index],
            "budget": {"evaluation_examples": 872},
        }
        for task, methods in SCORES.items()
        for method, scores in methods.items()
        for index, score in enumerate(scores)
    ]
    differences = [
        {"task": "sst2", "method": "tinybert", "than": than, "seeds": 2, "difference_interval": list(bounds)}
        for than, bounds in INTERVALS.items()
    ]
    report = {"environment": {}, "rows": rows, "differences": differences}
    (folder / "fidelity.json").write_text(json.dumps(report))
    return draw(folder / "fidelity.json", folder / "fidelity.svg")


def panels(svg: str) -> list[ElementTree.Element]:
    """The groups of the panels."""
    plain = re.sub(r' xmlns="[^"]*"', "", svg)
    return ElementTree.fromstring(plain).findall("g")


def texts(panel: ElementTree.Element, css: str) -> list[str]:
    return [node.text or "" for node in panel.iter("text") if css in (node.get("class") or "").split()]


def unit(panel: ElementTree.Element) -> tuple[float, float]:
    """Where 0 lies, and how wide 1 is, by the ticks."""
    ticks = [
        (float((node.text or "").replace("\N{MINUS SIGN}", "-")), float(node.get("x", "")))
        for node in panel.iter("text")
        if node.get("class") == "tick x"
    ]
    (low, left), (high, right) = ticks[0], ticks[-1]
    width = (right - left) / (high - low)
    return left - low * width, width


def lines(panel: ElementTree.Element) -> list[ElementTree.Element]:
    return [node for node in panel.iter("g") if (node.get("class") or "").startswith("mark")]


def test_each_task_has_a_panel_with_its_methods_from_the_best_to_the_worst(drawn: str) -> None:
    first, second = panels(drawn)
    assert texts(first, "name")[:4] == ["tinybert", "pkd", "kd", "mlm"]
    assert texts(first, "head") == ["SST-2"]
    assert texts(second, "head") == ["CoLA"]
    assert texts(first, "axis-name") == ["872 examples, 2 seeds", "accuracy times 100"]
    assert [line.get("class") for line in lines(second)] == ["mark student", "mark yardstick"]


def test_every_seed_is_a_dot_and_their_mean_a_ring_in_its_place(drawn: str) -> None:
    panel = panels(drawn)[0]
    zero, one = unit(panel)
    for line, method in zip(lines(panel), ("tinybert", "pkd", "kd", "mlm"), strict=True):
        circles = list(line.iter("circle"))
        found = [(float(circle.get("cx", "")) - zero) / one for circle in circles]
        scores = [100 * score for score in SCORES["sst2"][method]]
        assert found == pytest.approx([sum(scores) / 2, *scores], abs=0.1)
        assert [circle.get("class") for circle in circles] == ["hollow", None, None]


def test_whiskers_are_intervals_of_differences_around_the_means(drawn: str) -> None:
    first, second = panels(drawn)
    zero, one = unit(first)
    ends = {}
    for line, method in zip(lines(first), ("tinybert", "pkd", "kd", "mlm"), strict=True):
        for path in line.iter("path"):
            left, right = re.fullmatch(
                r"M([\d.]+) [\d.]+m0 -4v8m0 -4H([\d.]+)m0 -4v8", path.get("d", "")
            ).groups()  # type: ignore[union-attr]
            ends[method] = [(float(x) - zero) / one for x in (left, right)]
    # Of tinybert from its teacher, 84; of the others from tinybert, 81.
    assert ends == {
        "tinybert": pytest.approx([78, 85], abs=0.1),
        "kd": pytest.approx([68, 76], abs=0.1),
        "mlm": pytest.approx([53, 71], abs=0.1),
    }
    assert not [path for line in lines(second) for path in line.iter("path")], "nothing is made up"


def test_the_teacher_and_the_yardstick_are_marked_with_their_shares(drawn: str) -> None:
    first, second = panels(drawn)
    zero, one = unit(first)
    levels = [node for node in first.iter("path") if (node.get("class") or "").startswith("level")]
    found = [(float(re.findall(r"[\d.]+", node.get("d", ""))[0]) - zero) / one for node in levels]
    assert found == pytest.approx([84, 0.96 * 84, 62, 1.09 * 62], abs=0.1)
    assert texts(first, "teacher") == ["teacher", f"0.96 {TIMES} teacher"]
    # A share of a score below zero means nothing.
    assert texts(second, "yardstick") == ["mlm", "mlm"]


def test_names_of_marks_do_not_cover_each_other(drawn: str) -> None:
    for panel in panels(drawn):
        taken: list[tuple[float, float, str]] = []
        for node in panel.iter("text"):
            if node.get("text-anchor") == "middle":
                half = len(node.text or "") * 3.6
                middle = float(node.get("x", ""))
                assert 0 <= middle - half < middle + half <= 420
                taken.append((middle - half, middle + half, node.get("y", "")))
        assert len(taken) >= 3
        for index, (left, right, height) in enumerate(taken):
            assert not any(
                height == other and left < end and start < right for start, end, other in taken[index + 1 :]
            )


def test_the_file_stands_alone_in_light_and_dark(drawn: str) -> None:
    assert drawn.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "prefers-color-scheme: dark" in drawn
    assert "fill: var(--paper)" in drawn
    assert not re.search(r"@import|url\(|href|src=", drawn)
    assert "SST-2: tinybert 81.0, pkd 75.0, kd 72.0, mlm 62.0; teacher 84.0" in drawn


def test_the_documentation_shows_the_results_that_are_committed(tmp_path: Path) -> None:
    svg = draw(ROOT / "benchmarks" / "results" / "fidelity.json", tmp_path / "fidelity.svg")
    shown = (ROOT / "docs" / "images" / "fidelity.svg").read_text(encoding="utf-8")
    assert shown == svg, "draw it again: python benchmarks/fidelity_picture.py (benchmarks/README.md)"
