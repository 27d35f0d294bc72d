"""Run a recipe in several variants that share their finished stages, and write what each one scored.

    python benchmarks/recipe.py sst2 --set data.folder=FOLDER \\
        --variant prune --variant random,student.initialization=random --json benchmarks/results/sst2.json

A variant is a name and the settings that make it. All variants run in the recipe's own run folder, one after
the other, so that the stages that they have in common (the teacher) run once.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from bertling.evaluation.environment import describe_environment
from bertling.pipeline import run
from bertling.recipe import load_recipe
from bertling.results import ModelResult, Results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides")
    parser.add_argument("--variant", action="append", required=True, metavar="NAME[,SECTION.KEY=VALUE...]")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()

    environment = describe_environment(threads=torch.get_num_threads()).model_dump()
    rows: list[dict[str, Any]] = []
    for variant in arguments.variant:
        name, *settings = variant.split(",")
        results = run(load_recipe(arguments.recipe, [*arguments.overrides, *settings]), console=Console())
        rows += rows_of(name, results)
        arguments.json.write_text(json.dumps({"environment": environment, "rows": rows}, indent=1) + "\n")


def rows_of(case: str, results: Results) -> list[dict[str, Any]]:
    """Score, size and latency of student and baseline against the teacher's, and what the run cost."""
    assert results.teacher is not None
    rows = [_row(f"{results.name}, {case}", "teacher_score", results.teacher.score, results.teacher.metric)]
    for role, model in (("student", results.student), ("baseline", results.baseline)):
        if model is not None:
            rows += _compared(f"{results.name}, {case}", role, model, results.teacher)
    for name, plain in results.yardsticks.items():
        rows.append(_row(f"{results.name}, {case}", f"{name}_score", plain.score, plain.metric))
    rows += [
        _row(f"{results.name}, {case}", f"{stage}_wall", seconds, "s")
        for stage, seconds in results.wall_seconds.items()
    ]
    rows.append(_row(f"{results.name}, {case}", "whole_wall", sum(results.wall_seconds.values()), "s"))
    return rows


def _compared(case: str, role: str, model: ModelResult, teacher: ModelResult) -> list[dict[str, Any]]:
    rows = [
        _row(case, f"{role}_score", model.score, model.metric, teacher.score, model.score / teacher.score)
    ]
    for figure, unit, mine, theirs in (
        ("parameters", "parameters", model.parameters, teacher.parameters),
        ("size", "bytes", model.size_bytes, teacher.size_bytes),
        ("latency_p50", "ms", model.latency_ms_p50, teacher.latency_ms_p50),
    ):
        if mine and theirs:
            rows.append(_row(case, f"{role}_{figure}", mine, unit, theirs, theirs / mine))
    return rows


def _row(
    case: str,
    figure: str,
    value: float,
    unit: str,
    reference: float | None = None,
    ratio: float | None = None,
) -> dict[str, Any]:
    row: dict[str, Any] = {"case": case, "figure": figure, "value": value, "unit": unit}
    return row if reference is None else row | {"reference": reference, "ratio": ratio}


if __name__ == "__main__":
    main()
