"""Runs of a recipe under several methods, and how their students compare."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console

from bertling.evaluation.bootstrap import resampled_means
from bertling.evaluation.environment import describe_environment
from bertling.files import write_whole
from bertling.pipeline.predictions import read_predictions
from bertling.pipeline.processes import is_first
from bertling.pipeline.variants import VariantRun, run_variants
from bertling.recipe.comparison import COMPARISON, comparison
from bertling.recipe.schema import Recipe
from bertling.recipe.variants import variants_folder
from bertling.report import write_comparison
from bertling.results_across_runs import ComparisonResults, ComparisonRow

RESAMPLES = 1000
_TRAIN_THE_STUDENT = ("general", "intermediate", "prediction")


def compare(
    recipe: Recipe, methods: Sequence[str], *, seeds: int = 1, console: Console | None = None
) -> ComparisonResults:
    """Run the recipe under each method, with several seeds, and compare the students on the reported set.

    Every run has a folder of its own beside the recipe's, ``FOLDER-comparison/METHOD-seedN``; stages that are
    the same run once. Run again after a kill, it goes on.

    Args:
        recipe: names teacher, student, data, stages and their budgets.
        methods: as for `bertling.recipe.comparison.comparison`; the others are compared with the first.
        seeds: so many, counted from the recipe's own.
        console: where progress goes; default: the terminal.

    Returns:
        What stands in ``FOLDER-comparison/comparison.json``; ``comparison.html`` beside it shows it.

    Raises:
        RecipeError: a method that there is not, or that cannot run with this recipe.
        BertlingError: as `run` does; what is finished stays.
    """
    variants = comparison(recipe, methods)
    root = variants_folder(recipe, COMPARISON)
    chosen = range(recipe.seed, recipe.seed + seeds)
    runs = run_variants(variants, root, seeds=chosen, console=console or Console())
    first = runs[methods[0]]
    answers = {method: [read_predictions(run.recipe.folder) for run in done] for method, done in runs.items()}
    resampled = resampled_means(
        first[0].results.student.metric,
        {method: [table["student"] for table in tables] for method, tables in answers.items()},
        [table["label"] for table in answers[methods[0]]],
        label_names=first[0].results.data.label_names,
        resamples=RESAMPLES,
        seed=recipe.seed,
    )
    results = ComparisonResults(
        name=recipe.name,
        task=first[0].results.task,
        metric=first[0].results.student.metric,
        seeds=list(chosen),
        evaluation_examples=first[0].results.data.evaluation_examples,
        teacher_scores=[run.results.teacher.score for run in first if run.results.teacher],
        teacher_parameters=(teacher.parameters or 0) if (teacher := first[0].results.teacher) else 0,
        resamples=RESAMPLES,
        rows=[
            _row(method, done, None if done is first else first, resampled[method] - resampled[methods[0]])
            for method, done in runs.items()
        ],
        environment=describe_environment(threads=recipe.threads or torch.get_num_threads()),
    )
    if is_first():
        write_whole(root / "comparison.json", results.model_dump_json(indent=1))
        write_comparison(results, root / "comparison.html")
    return results


def _row(
    method: str,
    runs: list[VariantRun],
    first: list[VariantRun] | None,
    differences: npt.NDArray[Any],
) -> ComparisonRow:
    measured = [run.results for run in runs]
    scores = [results.student.score for results in measured]
    kept = [results.score_retention for results in measured]
    speedups = [results.speedup for results in measured if results.speedup is not None]
    low, high = np.percentile(differences, (2.5, 97.5)).tolist()
    mean = statistics.mean(scores)
    # The seed changes neither shape nor budget.
    last = measured[0]
    trained = [stage for stage in _TRAIN_THE_STUDENT if last.histories.get(stage)]
    return ComparisonRow(
        method=method,
        scores=scores,
        mean=mean,
        spread=statistics.stdev(scores) if len(scores) > 1 else None,
        difference=mean - statistics.mean(run.results.student.score for run in first) if first else None,
        difference_low=low if first else None,
        difference_high=high if first else None,
        retention=None if None in kept else statistics.mean(value for value in kept if value is not None),
        parameters=last.student.parameters or 0,
        latency_ms_p50=statistics.median(results.student.latency_ms_p50 or 0.0 for results in measured),
        speedup=statistics.median(speedups) if speedups else None,
        steps={stage: last.histories[stage][-1].step for stage in trained},
        tokens={stage: last.histories[stage][-1].tokens for stage in trained},
        seconds=statistics.mean(
            sum(results.wall_seconds[stage] for stage in trained) for results in measured
        ),
    )
