"""Exports of a run's student, or of any saved model: which task, which examples, which score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from bertling.data.examples import Examples
from bertling.data.tokenized_examples import tokenize_examples
from bertling.errors import ExportError
from bertling.evaluation.environment import describe_environment
from bertling.evaluation.metrics import score
from bertling.evaluation.scores import predict_logits, predictions
from bertling.exporting.write import PRECISIONS, refuse_foreign, write_export
from bertling.files import digest_of_weights
from bertling.models.task_model import load_task_model
from bertling.models.teacher import load_tokenizer, teacher_outputs
from bertling.pipeline.judging import default_length, labelled_sets
from bertling.pipeline.students import RunStudent, student_of_run
from bertling.results_of_exports import Export, Precision
from bertling.tasks import Task


@dataclass(frozen=True, slots=True)
class _Source:
    model: str
    task: Task
    examples: Examples
    max_length_tokens: int
    output: Path


def export(
    source: str | Path,
    *,
    data: Path | None = None,
    task: Task | None = None,
    labels: Sequence[str] | None = None,
    max_length_tokens: int | None = None,
    output: Path | None = None,
    precisions: Sequence[Precision] = PRECISIONS,
    max_drop: float = 0.01,
    batch_size: int = 64,
) -> Export:
    """Export the student of a finished run, or a saved model, and check each precision against PyTorch.

    Args:
        source: run folder, or a trimmed student in one; or folder or hub name of a saved model, which needs
            ``data`` and ``task``.
        data: labelled examples to check on, a file with the task's columns or a GLUE task's folder; default:
            the set that the run reports.
        task: of a saved model; that of a run is its recipe's.
        labels: names of a saved model's outputs, where its config.json has none.
        max_length_tokens: longer texts are cut; default: the run's; 64, and 128 for pairs.
        output: folder to write, new or an earlier export; default: ``export`` in the source's folder.
        precisions: ``float32`` and ``int8``, for `bertling.Predictor`, and ``bfloat16``, for transformers.
        max_drop: an export whose score falls by more, as a fraction, is refused, and nothing is written.
        batch_size: texts at a time in PyTorch.

    Raises:
        ExportError: see `bertling.exporting.write.write_export`.
        DataError: no data, or data that cannot be used.
        ModelError: no such model, not one of the task, or a run without a student.
    """
    if not 0 <= max_drop < 1:
        raise ExportError(f"got max_drop = {max_drop}; expected a fraction from 0 to below 1, such as 0.01")
    student = student_of_run(source)
    found = (
        _of_run(student, data, output or Path(source) / "export")
        if student
        else _of_model(str(source), data, task, labels, output)
    )
    if found.task.question_answering:
        raise ExportError(
            f"{found.model} answers questions on a text, and exports are for labels of texts and words: "
            "serve it with transformers, from its own folder"
        )
    if found.task.sentence_embeddings:
        raise ExportError(
            f"{found.model} embeds texts, and exports are for labels of texts and words: load it with "
            "sentence-transformers, which can also write it as ONNX, or with AutoModel, from its own folder"
        )
    refuse_foreign(found.output)
    length = max_length_tokens or found.max_length_tokens
    examples, kind = found.examples, found.task
    model = load_task_model(
        found.model, kind, label_names=examples.label_names, new_head=False, outputs=labels
    )
    tokenizer = load_tokenizer(found.model)
    tokens = tokenize_examples(tokenizer, examples, max_length_tokens=length)
    references = examples.label_array()

    def logits_of(some: PreTrainedModel) -> npt.NDArray[np.float32]:
        return predict_logits(some, tokenizer, tokens, batch_size=batch_size)

    def score_of(logits: npt.NDArray[np.float32]) -> float:
        answers = predictions(logits, regression=kind.regression, multi_label=kind.multi_label)
        return score(kind.metric, answers, references, label_names=examples.label_names)

    return write_export(
        model,
        tokenizer,
        found.output,
        task=kind,
        examples=examples,
        logits_of=logits_of,
        score_of=score_of,
        environment=describe_environment(threads=torch.get_num_threads()),
        max_length_tokens=length,
        precisions=precisions,
        max_drop=max_drop,
        weights_digest=digest_of_weights(student.model) if student else None,
    )


def _of_run(student: RunStudent, data: Path | None, output: Path) -> _Source:
    model, task = str(student.model), student.task
    if data is None:
        examples = student.kept("test", instead="name labelled examples with --data")
    else:
        named = None if task.labels or task.regression else teacher_outputs(model)
        examples = next(iter(labelled_sets(data, task, label_names=named).values()))
    return _Source(model, task, examples, student.recipe.data.max_length_tokens, output)


def _of_model(
    model: str, data: Path | None, task: Task | None, labels: Sequence[str] | None, output: Path | None
) -> _Source:
    wanted = {"--data": data, "--task": task, "--output": output}
    if missing := [name for name, given in wanted.items() if given is None]:
        raise ExportError(
            f"{model} is no run folder (it has no recipe.toml), so it does not say all that is needed. Give "
            f"{', '.join(missing)}, or the folder of a run"
        )
    assert data is not None
    assert task is not None
    assert output is not None
    named = None if task.labels or task.regression else list(labels or teacher_outputs(model))
    examples = next(iter(labelled_sets(data, task, label_names=named).values()))
    return _Source(model, task, examples, default_length(task), output)
