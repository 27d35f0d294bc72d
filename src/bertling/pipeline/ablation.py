"""Runs of a recipe with each of its parts left out, and what each part turns out to be worth."""

from __future__ import annotations

import statistics

import torch
from rich.console import Console

from bertling.evaluation.environment import describe_environment
from bertling.files import write_whole
from bertling.pipeline.processes import is_first
from bertling.pipeline.variants import run_variants
from bertling.recipe.ablation import ABLATION, FULL, ablations
from bertling.recipe.schema import Recipe
from bertling.recipe.variants import variants_folder
from bertling.results_across_runs import AblationResults, AblationRow


def ablate(recipe: Recipe, *, seeds: int = 1, console: Console | None = None) -> AblationResults:
    """Run the recipe whole and with each stage and loss term left out, with several seeds.

    Every run has a folder of its own beside the recipe's, ``FOLDER-ablation/NAME-seedN``; stages that a run
    shares with one before are taken from there. Run again after a kill, it goes on.

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
    root = variants_folder(recipe, ABLATION)
    chosen = range(recipe.seed, recipe.seed + seeds)
    runs = run_variants(ablations(recipe), root, seeds=chosen, console=console)
    scores = {name: [run.results.student.score for run in done] for name, done in runs.items()}
    whole = [run.results for run in runs[FULL]]
    results = AblationResults(
        name=recipe.name,
        task=whole[0].task,
        metric=whole[0].student.metric,
        seeds=list(chosen),
        evaluation_examples=whole[0].data.evaluation_examples,
        teacher_scores=[results.teacher.score for results in whole if results.teacher],
        rows=[_row(name, values, scores[FULL]) for name, values in scores.items()],
        environment=describe_environment(threads=recipe.threads or torch.get_num_threads()),
    )
    if is_first():
        write_whole(root / "ablation.json", results.model_dump_json(indent=1))
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
