"""One training stage: arguments from a recipe's section, resume, history, the model saved."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, TrainerCallback, TrainingArguments

from bertling.data.tokenization import TokenRows
from bertling.errors import BatchMemoryError, NonFiniteLossError
from bertling.evaluation.metrics import score
from bertling.files import write_whole
from bertling.models.masking import RowMasking
from bertling.objectives.objective import Objective
from bertling.pipeline.context import Context
from bertling.pipeline.judging import answer
from bertling.pipeline.stages import Clock, scratch
from bertling.pipeline.teacher_caching import cached
from bertling.pipeline.teachers import TaskTeacher
from bertling.recipe.training_sections import (
    DistillationSection,
    GeneralSection,
    ScoredSection,
    TrainingSection,
)
from bertling.results import HistoryPoint
from bertling.training.arguments import emulates_bfloat16, training_arguments
from bertling.training.checkpoints import delete_other_checkpoints, last_whole_checkpoint
from bertling.training.early_stopping import EarlyStopping
from bertling.training.progress import ProgressLine
from bertling.training.teacher_cache import SoftTargets, TeacherCache
from bertling.training.trainer import DistillationTrainer

VALIDATION = "validation.json"
"""a stage's validation scores, where it stops early"""
_SECTION_KEYS = (
    "epochs",
    "max_steps",
    "batch_size",
    "accumulation_steps",
    "learning_rate",
    "warmup_fraction",
    "weight_decay",
    "max_gradient_norm",
    "precision",
    "compile",
    "checkpoint_steps",
    "log_steps",
)


def train(
    context: Context,
    folder: Path,
    clock: Clock,
    section: TrainingSection,
    *,
    student: PreTrainedModel,
    objective: Objective,
    dataset: TokenRows,
    teacher: PreTrainedModel | SoftTargets | None = None,
    masking: RowMasking | None = None,
    prepare: Callable[[], None] | None = None,
    reader: TaskTeacher | None = None,
) -> None:
    """Train ``student`` in a stage's folder and leave ``model/`` and ``history.json`` there.

    With patience also ``validation.json``, and the model is that of the best epoch. All processes of the run
    take part; the first writes.

    Args:
        context: the run.
        folder: the stage's working folder; checkpoints lie there until the stage is done.
        clock: of the stage.
        section: settings.
        student, objective, dataset, teacher, masking: as for DistillationTrainer.
        prepare: called before the first step, not when a checkpoint is taken up.
        reader: whose tokenizer the data set was made with; default: the student's.

    Raises:
        NonFiniteLossError: with the stage's name.
        BatchMemoryError: a batch is too large.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint has been taken.
    """
    stage = folder.name.removesuffix(".partial")
    checkpoints = scratch(folder) / "checkpoints"
    progress = ProgressLine(context.console)
    arguments = training_arguments(
        checkpoints,
        report_to=context.recipe.report_to,
        seed=context.recipe.seed,
        **{key: getattr(section, key) for key in _SECTION_KEYS} | _budget(section, dataset),
    )
    guide: PreTrainedModel | TeacherCache | None = teacher
    # What it shows of texts in which other tokens are hidden each epoch cannot be kept.
    if isinstance(teacher, PreTrainedModel) and masking is None and isinstance(section, DistillationSection):
        guide = cached(
            context,
            folder,
            section,
            teacher=teacher,
            objective=objective,
            dataset=dataset,
            passes=_passes(arguments, len(dataset)),
            device=arguments.device,
        )
    stopping = _early_stopping(context, section, student, reader, scratch(folder) / "validation")
    with _tensorboard_in(context.folder / "logs" / stage):
        trainer = DistillationTrainer(
            student,
            objective,
            teacher=guide,
            args=arguments,
            train_dataset=dataset,
            tokenizer=context.tokenizer_of(reader) if reader else context.tokenizer,
            masking=masking,
            callbacks=[progress, _NoteTime(clock), *filter(None, [stopping])],
        )
    if section.precision == "bfloat16" and emulates_bfloat16():
        context.console.print(
            f"{'':>14}this processor has no bfloat16 instructions: "
            "precision = 'float32' is many times faster here"
        )
    checkpoint = context.processes.from_first(lambda: _last_checkpoint(checkpoints))
    if checkpoint is None and prepare is not None:
        prepare()
    # Several processes would have to agree on the step; they end at once.
    alone = context.processes.count == 1
    try:
        with context.interruption.after_a_checkpoint() if alone else nullcontext() as checkpoint_first:
            if checkpoint_first:
                trainer.add_callback(checkpoint_first)
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except NonFiniteLossError as error:
        raise NonFiniteLossError(f"stage {stage}: {error}") from error
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise BatchMemoryError(
                f"stage {stage}: no memory left for a batch of {section.batch_size} examples of up to "
                f"{int(dataset.lengths.max())} tokens. Lower batch_size in the stage's section, and raise "
                "accumulation_steps as much, which leaves a step what it is; or lower max_length_tokens"
            ) from error
        raise
    finally:
        progress.close()
    if context.processes.first:
        if stopping:
            stopping.restore_best()
            validation = [point.model_dump() for point in stopping.points]
            write_whole(folder / VALIDATION, json.dumps(validation, indent=1))
        context.save(student, folder / "model", tokenizer_of=reader.model if reader else None)
        history = [point.model_dump() for point in history_points(trainer.state.log_history)]
        write_whole(folder / "history.json", json.dumps(history, indent=1))


def _early_stopping(
    context: Context,
    section: TrainingSection,
    model: PreTrainedModel,
    reader: TaskTeacher | None,
    folder: Path,
) -> EarlyStopping | None:
    """What scores the model after each epoch, where the section has patience."""
    if not isinstance(section, ScoredSection) or section.patience is None:
        return None
    examples = context.validation
    assert examples is not None
    data, task = context.recipe.data, context.task

    def judge() -> float:
        answers = answer(
            model,
            context.tokenizer_of(reader) if reader else context.tokenizer,
            examples,
            task,
            max_length_tokens=data.max_length_tokens,
            stride_tokens=context.stride_tokens,
            batch_size=64,
        )
        return score(task.metric, answers, examples.label_array(), label_names=examples.label_names)

    return EarlyStopping(
        model,
        score=lambda: context.processes.from_first(judge),
        patience=section.patience,
        folder=folder,
        say=lambda message: context.console.print(f"{'':>14}{message}", soft_wrap=True),
    )


def _last_checkpoint(folder: Path) -> Path | None:
    """What to go on from; every other checkpoint is deleted."""
    checkpoint = last_whole_checkpoint(folder)
    delete_other_checkpoints(folder, checkpoint)
    return checkpoint


def _budget(section: TrainingSection, dataset: TokenRows) -> dict[str, float]:
    """A budget in tokens as passes over the data."""
    if isinstance(section, GeneralSection) and section.max_tokens:
        return {"epochs": section.max_tokens / int(dataset.lengths.sum())}
    return {}


def _passes(arguments: TrainingArguments, rows: int) -> float:
    """How often each row is seen."""
    if arguments.max_steps > 0:
        micro_batches = arguments.gradient_accumulation_steps * arguments.world_size
        return float(arguments.max_steps * arguments.train_batch_size * micro_batches / rows)
    return float(arguments.num_train_epochs)


@contextmanager
def _tensorboard_in(logs: Path) -> Iterator[None]:
    """Where a Trainer made here logs; the default lies among the checkpoints, which go with the scratch."""
    name = "TENSORBOARD_LOGGING_DIR"
    if name in os.environ:
        yield
        return
    os.environ[name] = str(logs)
    try:
        yield
    finally:
        del os.environ[name]


def history_points(log: list[dict[str, Any]]) -> list[HistoryPoint]:
    """The Trainer's log as typed points, terms sorted by name and layer; its closing summary is left out."""
    return [
        HistoryPoint(
            step=entry["step"],
            epoch=entry["epoch"],
            tokens=entry["tokens"],
            loss=entry["loss"],
            learning_rate=entry["learning_rate"],
            gradient_norm=entry.get("grad_norm"),
            # A checkpoint sorts them another way, attention.10 before attention.2.
            terms={
                key.removeprefix("term/"): entry[key]
                for key in sorted(entry, key=_term_and_layer)
                if key.startswith("term/")
            },
        )
        for entry in log
        if "loss" in entry
    ]


def _term_and_layer(key: str) -> tuple[str, int]:
    term, _, layer = key.partition(".")
    return term, int(layer or 0)


class _NoteTime(TrainerCallback):
    """A checkpoint is where a killed stage goes on from, so the time up to it counts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self._clock.note()
