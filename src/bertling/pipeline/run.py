"""A recipe's run: its stages in the order in which results flow from one to the next.

    data -> corpus -> teacher -> initialize -> general -> masked-lm -> augment
         -> intermediate -> prediction -> baseline -> evaluate -> report

(``export`` will stand before report.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from rich.console import Console
from transformers.utils import logging

from bertling.pipeline import augmentation, corpus, distillation, measurement, preparation, publishing
from bertling.pipeline.context import Context
from bertling.pipeline.fit import check_fit
from bertling.pipeline.processes import Processes
from bertling.pipeline.run_folder import claimed
from bertling.recipe.schema import Recipe
from bertling.report import write_report
from bertling.results import Results


def run(recipe: Recipe, *, console: Console | None = None, stages_from: Path | None = None) -> Results:
    """Run a recipe's stages, skip those that are done and unchanged, and go on with one that was killed.

    Under torchrun all processes train together, each on its share of the batches, and the first does the
    rest; the run folder must be on a disk that all of them see.

    Args:
        recipe: what to run; its run folder is ``recipe.folder``.
        console: where progress goes; default: the terminal.
        stages_from: run folder of another recipe, whose finished stages are taken into a new run folder, as
            far as they are the same.

    Returns:
        What stands in ``RUN/results.json``.

    Raises:
        BertlingError: what went wrong, and what to do. Finished stages and whole checkpoints stay.
    """
    processes = Processes()
    claim = claimed(recipe) if processes.first else nullcontext(recipe.folder)
    with claim as folder, _process_set_up(recipe):
        shown = (console or Console()) if processes.first else Console(quiet=True)
        context = Context(recipe, folder, shown, processes)
        if stages_from and processes.first:
            context.stages.take_from(stages_from / "stages")
        check_fit(context)
        preparation.prepare_data(context)
        corpus.prepare_corpus(context)
        preparation.prepare_teacher(context)
        preparation.initialize_student(context)
        distillation.distil_general(context)
        if recipe.general and processes.first:
            publishing.publish_general(context)
        augmentation.augment(context)
        distillation.distil(context)
        results = measurement.evaluate(context)
        if processes.first:
            publishing.publish(context, results)
            if recipe.report:
                write_report(results, folder / "report.html")
        processes.wait()
        return results


@contextmanager
def _process_set_up(recipe: Recipe) -> Iterator[None]:
    """The recipe's threads, and none of transformers' bars and warnings, which nobody can act on."""
    threads, bars, verbosity = (
        torch.get_num_threads(),
        logging.is_progress_bar_enabled(),
        logging.get_verbosity(),
    )
    torch.set_num_threads(recipe.threads or threads)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
