"""Comparisons share what they have in common, keep the budget, are resumed, and add up."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tests import tiny
from tests.pipeline import words

from bertling.cli import main
from bertling.pipeline.comparison import compare
from bertling.pipeline.predictions import read_predictions
from bertling.recipe.load import dump_recipe
from bertling.results import read_results
from bertling.results_across_runs import ComparisonResults

QUICK = ("baseline=none", "report=none", "general.epochs=1", "teacher.accept_weak=true")
METHODS = ["kd", "none", "mlm"]


def test_a_comparison_shares_stages_keeps_the_budget_goes_on_and_adds_up(
    task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = words.read(task, *QUICK)
    console = Console(file=io.StringIO(), width=200)
    results = compare(recipe, METHODS, seeds=2, console=console)
    root = task / "run-comparison"
    assert ComparisonResults.model_validate_json((root / "comparison.json").read_text()) == results
    assert [row.method for row in results.rows] == METHODS
    assert results.seeds == [42, 43]

    # 64 texts in batches of 16, two epochs in each of the recipe's task stages
    assert [row.steps for row in results.rows] == [
        {"general": 3, "prediction": 16},
        {"prediction": 16},
        {"general": 3, "prediction": 16},
    ]

    first = results.rows[0]
    assert (first.difference, first.difference_low, first.difference_high) == (None, None, None)
    for row in results.rows:
        runs = [root / f"{row.method}-seed{seed}" for seed in (42, 43)]
        written = [read_results(run / "results.json") for run in runs]
        assert row.scores == [run.student.score for run in written]
        assert row.mean == pytest.approx(sum(row.scores) / 2)
        assert row.spread == pytest.approx(abs(row.scores[0] - row.scores[1]) / 2**0.5)
        assert row.retention == pytest.approx(sum(run.score_retention or 0 for run in written) / 2)
        assert row.parameters == written[0].student.parameters
        for run, kept in zip(runs, written, strict=True):
            answers = read_predictions(run)
            assert list(answers) == ["label", "teacher", "student"]
            assert kept.teacher
            assert np.mean(answers["student"] == answers["label"]) == pytest.approx(kept.student.score)
            assert np.mean(answers["teacher"] == answers["label"]) == pytest.approx(kept.teacher.score)
        if row is not first:
            assert row.difference == pytest.approx(row.mean - first.mean)
            assert row.difference is not None
            assert row.difference_low is not None
            assert row.difference_high is not None
            assert row.difference_low <= row.difference <= row.difference_high

    assert isinstance(console.file, io.StringIO)
    ran = [line.split() for line in console.file.getvalue().splitlines()]
    assert ran.count(["corpus", "starts"]) == 1
    # One masked-LM pretraining for both methods that have it, and the same start for all three.
    for stage in ("teacher", "initialize", "general"):
        assert ran.count([stage, "starts"]) == 2
    page = (root / "comparison.html").read_text()
    assert all(method in page for method in METHODS)

    # What is done is not done again.
    monkeypatch.setattr(
        "bertling.pipeline.stages.Stages._finish", lambda *_: pytest.fail("a stage ran again")
    )
    assert compare(recipe, METHODS, seeds=2, console=Console(file=io.StringIO())).rows == results.rows


def test_the_command_prints_the_table(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = task / "small.toml"
    recipe.write_text(dump_recipe(words.read(task, *words.SMALL)))
    assert main(["compare", str(recipe), "--methods", "kd", "recipe"]) == 0
    printed = capsys.readouterr().out
    assert "one seed; difference to kd" in " ".join(printed.split())
    assert str(task / "run-comparison" / "comparison.html") in printed
    assert main(["compare", str(recipe), "--methods", "kd", "distill"]) == 2
    assert "methods: got kd, distill" in capsys.readouterr().err


def test_distilbert_learns_from_a_teacher_s_guesses_where_it_has_a_head(task: Path) -> None:
    overrides = (*words.SMALL[1:], "intermediate=none", "general.max_steps=2", "method=distilbert")
    without = words.run(words.read(task, *overrides))
    assert "has no masked-LM head: soft_masked_lm is left out" in without.printed
    assert set(without.results.histories["general"][-1].terms) == {"cosine.2", "masked_lm"}
    tiny.masked_lm(layers=4, dropout=0.1).save_pretrained(task / "teacher")
    with_head = words.run(words.read(task, *overrides, f"output={task / 'other'}"))
    terms = with_head.results.histories["general"][-1].terms
    assert set(terms) == {"cosine.2", "masked_lm", "soft_masked_lm"}
    assert all(value > 0 for value in terms.values())
    assert "left out" not in with_head.printed
