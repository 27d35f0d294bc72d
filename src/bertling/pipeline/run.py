"""A recipe's run: its stages in the order in which results flow from one to the next.

    data -> teacher -> initialize -> general -> intermediate -> prediction -> baseline -> evaluate -> report

(``augment`` will stand between general and intermediate, ``export`` before report.)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from rich.console import Console
from transformers.utils import logging

from bertling.errors import RunFolderError
from bertling.pipeline import distillation, measurement, preparation
from bertling.pipeline.context import Context
from bertling.pipeline.fit import check_fit
from bertling.pipeline.run_folder import claimed
from bertling.recipe.schema import Recipe
from bertling.report import write_report
from bertling.results import Results


def run(recipe: Recipe, *, console: Console | None = None) -> Results:
    """Run a recipe's stages, skip those that are done and unchanged, and go on with one that was killed.

    Args:
        recipe: what to run; its run folder is ``recipe.folder``.
        console: where progress goes; default: the terminal.

    Returns:
        What stands in ``RUN/results.json``.

    Raises:
        BertlingError: what went wrong, and what to do. Finished stages and whole checkpoints stay.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RunFolderError(
            "a run is one process for now, and this is one of several: start it without torchrun. "
            "DistillationTrainer itself works under torchrun"
        )
    with claimed(recipe) as folder, _process_set_up(recipe):
        context = Context(recipe, folder, console or Console())
        check_fit(context)
        preparation.prepare_data(context)
        preparation.prepare_teacher(context)
        preparation.initialize_student(context)
        distillation.distil(context)
        results = measurement.evaluate(context)
        measurement.publish(context, results)
        if recipe.report:
            write_report(results, folder / "report.html")
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
