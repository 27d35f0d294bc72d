"""Runs of several GLUE tasks with one general student, and the paper's average over them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path

import torch
from rich.console import Console

from bertling.evaluation.environment import describe_environment
from bertling.files import write_whole
from bertling.pipeline.processes import is_first
from bertling.pipeline.run import run
from bertling.recipe.schema import Recipe
from bertling.results import ModelResult, Results
from bertling.results_across_runs import GlueResults, GlueRow
from bertling.tasks import AVERAGED

RESULTS = "glue.json"


def run_glue(recipes: Mapping[str, Recipe], root: Path, *, console: Console | None = None) -> GlueResults:
    """Run the recipes of several tasks, one after the other.

    A stage that is the same as that of a run before is taken from there: the corpus and the general student
    are made once. Run again after a kill, it goes on.

    Args:
        recipes: task -> recipe, each with a run folder of its own; as `bertling.recipe.glue.glue_recipes`
            gives them.
        root: where ``glue.json`` is written, after each task.
        console: where progress goes; default: the terminal.

    Returns:
        What stands in ``ROOT/glue.json``.

    Raises:
        BertlingError: as `run` does; what is finished stays.
    """
    shown = console or Console()
    finished: dict[str, Results] = {}
    for task, recipe in recipes.items():
        shown.print(f"[bold]{task}[/bold]", highlight=False)
        before = [recipes[other].folder for other in finished]
        finished[task] = run(recipe, console=shown, stages_from=before)
        # A task that fails later on costs none of what is known.
        results = _results(finished, threads=recipe.threads)
        if is_first():
            write_whole(root / RESULTS, results.model_dump_json(indent=1))
    return results


def glue_average(models: Mapping[str, ModelResult]) -> tuple[list[str], float | None]:
    """The mean over those of the paper's nine numbers that are there, and their names.

    The numbers are the tasks' scores, MNLI's matched and mismatched both; WNLI is none of them (Table 1).

    Args:
        models: task -> the model's figures.

    Returns:
        names as in `bertling.tasks.AVERAGED`, in its order, and their mean; None where there are none.
    """
    scores = {task: model.score for task, model in models.items()}
    for task, model in models.items():
        scores |= {f"{task} ({name})": score for name, score in model.further_sets.items()}
    names = [name for name in AVERAGED if name in scores]
    return names, statistics.mean(scores[name] for name in names) if names else None


def _results(finished: Mapping[str, Results], *, threads: int | None) -> GlueResults:
    # A GLUE folder has no columns of soft labels, so there is always a model that teaches.
    teachers = {task: results.teacher for task, results in finished.items() if results.teacher}
    names, teacher = glue_average(teachers)
    _, student = glue_average({task: results.student for task, results in finished.items()})
    return GlueResults(
        rows=[
            GlueRow(
                task=task,
                metric=results.student.metric,
                evaluation_examples=results.data.evaluation_examples,
                teacher=teachers[task],
                student=results.student,
                retention=results.score_retention,
                speedup=results.speedup,
            )
            for task, results in finished.items()
        ],
        averaged=names,
        teacher_average=teacher,
        student_average=student,
        retention=student / teacher if student is not None and teacher and teacher > 0 else None,
        environment=describe_environment(threads=threads or torch.get_num_threads()),
    )
