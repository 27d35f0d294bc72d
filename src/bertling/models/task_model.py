"""A saved model with the head that a task asks for."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel

from bertling.models.sentences import load_sentence_encoder
from bertling.models.teacher import load_classifier
from bertling.tasks import Task


def load_task_model(
    name: str,
    task: Task,
    *,
    label_names: Sequence[str] | None,
    new_head: bool,
    outputs: Sequence[str] | None = None,
) -> PreTrainedModel:
    """A classifier, a regressor, a model of words or of answers; for embeddings an encoder without a head.

    Args:
        name: folder, hub name or ``package:NAME``.
        task: which of these.
        label_names, new_head, outputs: as for `load_classifier`; an encoder has none of them.

    Raises:
        ModelError: as `load_classifier` and `load_sentence_encoder` do.
    """
    if task.sentence_embeddings:
        return load_sentence_encoder(name)
    return load_classifier(
        name,
        label_names=label_names,
        new_head=new_head,
        regression=task.regression,
        word_labels=task.word_labels,
        multi_label=task.multi_label,
        question_answering=task.question_answering,
        outputs=outputs,
    )
