"""Saved models on labelled sets: all figures of a task, whoever trained the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertling.data.examples import Examples
from bertling.data.glue import read_glue_devs
from bertling.data.loading import read_examples
from bertling.data.tokenized_examples import tokenize_examples
from bertling.errors import DataError, ModelError
from bertling.evaluation.answers import answer_questions
from bertling.evaluation.metrics import score
from bertling.evaluation.scores import predict_logits, predictions
from bertling.models.task_model import load_task_model
from bertling.models.teacher import load_tokenizer, teacher_outputs
from bertling.results import Evaluation, SetFigures
from bertling.tasks import GLUE, Task


def default_length(task: Task) -> int:
    """The paper's length limits: 64 tokens for single texts, 128 for pairs. For questions, 384."""
    if task.question_answering:
        return 384
    return 64 if task.text_pair is None else 128


def evaluate_model(
    model: str,
    data: Path,
    task: Task,
    *,
    labels: Sequence[str] | None = None,
    max_length_tokens: int | None = None,
    stride_tokens: int | None = None,
    batch_size: int = 64,
) -> Evaluation:
    """Score a saved classifier of texts or words, a regressor, a model that answers questions, or an encoder.

    An encoder's answer to a pair of texts is the cosine of their embeddings.

    Args:
        model: folder, hub name or ``package:NAME``; its tokenizer is read from there as well.
        data: a file with the task's columns; or, for a GLUE task, its folder with the development sets.
        task: its columns, labels and metrics.
        labels: names of the model's outputs, in its order, where its config.json has none, or others than the
            task; default: as it says.
        max_length_tokens: longer texts are cut; default: 64, and 128 for pairs. Contexts of questions come in
            windows; default: 384.
        stride_tokens: that neighbouring windows share; default: a third.
        batch_size: texts at a time.

    Raises:
        DataError: data that cannot be used.
        ModelError: no such model, weights that are missing, or outputs that are not the task's classes.
    """
    length = max_length_tokens or default_length(task)
    unnamed = task.labels or task.regression or task.question_answering
    named = None if unnamed else list(labels or teacher_outputs(model))
    sets = labelled_sets(data, task, label_names=named)
    names = next(iter(sets.values())).label_names
    judged = load_task_model(model, task, label_names=names, new_head=False, outputs=labels)
    tokenizer = load_tokenizer(model)
    measured = []
    for name, examples in sets.items():
        answers = answer(
            judged,
            tokenizer,
            examples,
            task,
            max_length_tokens=length,
            stride_tokens=stride_tokens,
            batch_size=batch_size,
        )
        references, names = examples.label_array(), examples.label_names
        metrics = (task.metric, *task.further_metrics)
        figures = {metric: score(metric, answers, references, label_names=names) for metric in metrics}
        measured.append(SetFigures(name=name, examples=len(examples), figures=figures))
    return Evaluation(model=model, task=task.name, max_length_tokens=length, sets=measured)


def answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Examples,
    task: Task,
    *,
    max_length_tokens: int,
    batch_size: int,
    stride_tokens: int | None = None,
) -> npt.NDArray[Any]:
    """A model's answers, (N,): class ids in the order of its outputs, or numbers for a regression; cosines.

    Of labelled words (N, W), of several labels (N, C), as `predictions` gives them; of questions (N,), as
    `answer_questions` does.

    Raises:
        ModelError: logits that are NaN or infinite, which answer nothing.
    """
    tokens = tokenize_examples(
        tokenizer,
        examples,
        max_length_tokens=max_length_tokens,
        stride_tokens=stride_tokens,
        apart=task.sentence_embeddings,
    )
    if task.question_answering:
        assert examples.text_pairs is not None
        return answer_questions(
            model,
            tokenizer,
            tokens,
            examples.text_pairs,
            unanswerable=task.unanswerable,
            batch_size=batch_size,
        )
    logits = predict_logits(model, tokenizer, tokens, batch_size=batch_size)
    # Words that were cut off have no answer; of a text that has none at all, more than that is wrong.
    unanswered = np.asarray((~np.isfinite(logits)).any(-1))
    if wrong := int((unanswered.all(1) if task.word_labels else unanswered).sum()):
        raise ModelError(
            f"{model.name_or_path}: NaN or infinite outputs for {wrong:,} of {len(logits):,} texts. Look for "
            "a training run that diverged, or for weights in half precision that overflow"
        )
    return predictions(logits, regression=task.regression, multi_label=task.multi_label)


def labelled_sets(data: Path, task: Task, *, label_names: list[str] | None) -> dict[str, Examples]:
    """Labelled sets by their names: a file with the task's columns, or a GLUE task's folder."""
    if not data.is_dir():
        return {data.name: read_examples(data, task, label_names=label_names)}
    if GLUE.get(task.name) != task:
        raise DataError(
            f"{data} is a folder, and the task {task.name} is none of GLUE's: give a file with the columns "
            f"{', '.join(filter(None, (task.text, task.text_pair, task.label)))}"
        )
    return read_glue_devs(data, task.name)
