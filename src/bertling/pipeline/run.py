"""A recipe's run: its stages in the order in which results flow from one to the next.

    data -> corpus -> teacher -> initialize -> general -> masked-lm -> augment -> soft-targets
         -> intermediate -> prediction -> baseline -> evaluate -> report

(``export`` will stand before report.)
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from bertling.pipeline import (
    augmentation,
    corpus,
    distillation,
    measurement,
    preparation,
    publishing,
    soft_targets,
)
from bertling.pipeline.context import Context
from bertling.pipeline.fit import check_fit
from bertling.pipeline.preflight import announce
from bertling.pipeline.processes import Processes, process_set_up
from bertling.pipeline.run_folder import claimed, clear_disk_errors
from bertling.recipe.schema import Recipe
from bertling.report import write_report
from bertling.results import Results
from bertling.results_of_attention import attention_of_run
from bertling.results_of_exports import exports_of_run
from bertling.training.interruption import interruptible


def run(
    recipe: Recipe,
    *,
    console: Console | None = None,
    stages_from: Sequence[Path] = (),
    teacher_caches: Path | None = None,
) -> Results:
    """Run a recipe's stages, skip those that are done and unchanged, and go on with one that was killed.

    Under torchrun all processes train together, each on its share of the batches, and the first does the
    rest; the run folder must be on a disk that all of them see.

    Args:
        recipe: what to run; its run folder is ``recipe.folder``.
        console: where progress goes; default: the terminal.
        stages_from: run folders of other recipes, whose finished stages are taken where they are the same.
        teacher_caches: folder of teacher caches for several runs, which stays; default: one in the run
            folder, which goes when the student is trained.

    Returns:
        What stands in ``RUN/results.json``.

    Raises:
        BertlingError: what went wrong, and what to do. Finished stages and whole checkpoints stay.
        Interrupted: Ctrl-C or SIGTERM. A stage that trains takes a checkpoint first, unless it is one of
            several processes, which would wait for each other.
    """
    processes = Processes()
    claim = claimed(recipe) if processes.first else nullcontext(recipe.folder)
    with (
        claim as folder,
        process_set_up(recipe),
        clear_disk_errors(recipe.folder),
        interruptible() as interruption,
    ):
        shown = (console or Console()) if processes.first else Console(quiet=True)
        context = Context(
            recipe, folder, shown, processes, interruption=interruption, teacher_caches=teacher_caches
        )
        if stages_from and processes.first:
            context.stages.take_from([other / "stages" for other in stages_from])
        check_fit(context)
        preparation.prepare_data(context)
        if not recipe.teacher.trains:  # and is refused, where it is no good, before a corpus is read
            preparation.prepare_teachers(context)
        if processes.first:
            announce(context)
        corpus.prepare_corpus(context)
        if recipe.teacher.trains:
            preparation.prepare_teachers(context)
        preparation.initialize_student(context)
        distillation.distil_general(context)
        if "general" in context.stages.done and processes.first:
            publishing.publish_general(context)
        augmentation.augment(context)
        soft_targets.prepare_soft_targets(context)
        distillation.distil(context)
        if processes.first and teacher_caches is None:
            shutil.rmtree(context.teacher_caches, ignore_errors=True)
        results = measurement.evaluate(context)
        if processes.first:
            publishing.publish(context, results)
            if recipe.report:
                write_report(
                    results,
                    folder / "report.html",
                    attention=attention_of_run(folder),
                    exports=exports_of_run(folder),
                )
        processes.wait()
        return results
