"""Runs of a recipe with each of its parts left out, and what each part turns out to be worth."""

from __future__ import annotations

import statistics
from pathlib import Path

import torch
from rich.console import Console

from bertling.evaluation.environment import describe_environment
from bertling.pipeline.run import run
from bertling.pipeline.stages import write_atomically
from bertling.recipe.ablation import FULL, ablation_folder, ablations, placed
from bertling.recipe.schema import Recipe
from bertling.results import AblationResults, AblationRow, Results


def ablate(recipe: Recipe, *, seeds: int = 1, console: Console | None = None) -> AblationResults:
    """Run the recipe whole and with each stage and loss term left out, with several seeds.

    Every run has a folder of its own beside the recipe's, ``FOLDER-ablation/NAME-seedN``; stages that a run
    shares with the whole one of its seed are taken from there. Run again after a kill, it goes on.

    Args:
        recipe: what is taken apart.
        seeds: so many, counted from the recipe's own.
        console: where progress goes; default: the terminal.

    Returns:
        What stands in ``FOLDER-ablation/ablation.json``.

    Raises:
        BertlingError: as `run` does; what is finished stays.
    """
    console = console or Console()
    root = ablation_folder(recipe)
    scores: dict[str, list[float]] = {}
    teachers: list[float] = []
    last: Results | None = None
    whole: Path | None = None
    for seed in range(recipe.seed, recipe.seed + seeds):
        for name, changed in ablations(recipe).items():
            console.print(f"[bold]{name}, seed {seed}[/bold]", highlight=False)
            variant = placed(changed, root, name, seed=seed)
            last = run(variant, console=console, stages_from=whole)
            scores.setdefault(name, []).append(last.student.score)
            if name == FULL:
                whole = variant.folder
                teachers.append(last.teacher.score)
    assert last is not None
    results = AblationResults(
        name=recipe.name,
        task=last.task,
        metric=last.student.metric,
        seeds=list(range(recipe.seed, recipe.seed + seeds)),
        evaluation_examples=last.data.evaluation_examples,
        teacher_scores=teachers,
        rows=[_row(name, values, scores[FULL]) for name, values in scores.items()],
        environment=describe_environment(threads=recipe.threads or torch.get_num_threads()),
    )
    write_atomically(root / "ablation.json", results.model_dump_json(indent=1))
    return results


def _row(name: str, scores: list[float], full: list[float]) -> AblationRow:
    changes = [score - whole for score, whole in zip(scores, full, strict=True)]
    spread = statistics.stdev(changes) / len(changes) ** 0.5 if len(changes) > 1 else None
    return AblationRow(
        name=name,
        scores=scores,
        mean=statistics.mean(scores),
        change=statistics.mean(changes),
        change_standard_error=spread,
    )
