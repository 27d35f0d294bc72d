"""Ablations share what they have in common, and are resumed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from tests.pipeline import words

from bertling import pipeline
from bertling.cli import main
from bertling.pipeline.ablation import ablate
from bertling.recipe.load import dump_recipe
from bertling.results import Results
from bertling.results_across_runs import AblationResults

QUICK = ("baseline=none", "report=none", "general.epochs=1", "intermediate.epochs=1", "prediction.epochs=1")


def test_an_ablation_shares_stages_goes_on_and_adds_up(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = words.read(task, *QUICK)
    console = Console(file=io.StringIO(), width=200)
    results = ablate(recipe, seeds=2, console=console)
    names = [row.name for row in results.rows]
    assert names[:3] == ["full", "no general stage", "no intermediate stage"]
    assert len(names) == 9
    assert results.seeds == [42, 43]
    root = task / "run-ablation"
    assert AblationResults.model_validate_json((root / "ablation.json").read_text()) == results
    full = results.rows[0]
    assert (full.change, full.change_standard_error) == (0, 0)
    for row in results.rows:
        changes = [score - whole for score, whole in zip(row.scores, full.scores, strict=True)]
        assert row.change == pytest.approx(sum(changes) / 2)
        assert row.change_standard_error == pytest.approx(abs(changes[0] - changes[1]) / 2)
        folder = root / f"{row.name.replace(' ', '-')}-seed43"
        written = Results.model_validate_json((folder / "results.json").read_text())
        assert written.student.score == row.scores[1]

    assert isinstance(console.file, io.StringIO)
    ran = [line.split() for line in console.file.getvalue().splitlines()]
    assert ran.count(["teacher", "starts"]) == 2
    assert ran.count(["corpus", "starts"]) == 1
    # the whole recipe's, and those without one of three state losses
    assert ran.count(["general", "starts"]) == 2 * 4

    # What is done is not done again.
    monkeypatch.setattr(
        "bertling.pipeline.stages.Stages._finish", lambda *_: pytest.fail("a stage ran again")
    )
    assert ablate(recipe, seeds=2, console=Console(file=io.StringIO())).rows == results.rows


def test_the_command_prints_the_table(
    task: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = task / "small.toml"
    recipe.write_text(dump_recipe(words.read(task, *words.SMALL)))
    assert main(["ablate", str(recipe), "--seeds", "1"]) == 0
    printed = capsys.readouterr().out
    assert "no prediction loss" in printed
    assert "one seed" in printed
    assert str(task / "run-ablation" / "ablation.json") in printed
    assert main(["ablate", str(recipe), "--seeds", "0"]) == 2


def test_stages_are_taken_as_far_as_they_are_the_same(task: Path) -> None:
    first = words.run(words.read(task, *words.SMALL))
    other = words.read(task, *words.SMALL, f"output={task / 'other'}", "prediction.learning_rate=1e-3")
    console = Console(file=io.StringIO(), width=200)
    pipeline.run(other, console=console, stages_from=[first.folder])
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("taken from another run") == 3
    before = words.contents(first.folder)
    pipeline.run(
        words.read(task, *words.SMALL, f"output={task / 'other'}", "teacher.learning_rate=1e-3"),
        console=console,
        stages_from=[first.folder],
    )
    assert words.contents(first.folder) == before
