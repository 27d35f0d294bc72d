"""A run's teachers as one: a single model, or several whose predictions are averaged.

N examples, C classes, W words of the longest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertling.data.examples import Examples
from bertling.evaluation.latency import question_answerer, text_classifier, text_embedder
from bertling.evaluation.scores import predict_logits
from bertling.evaluation.size import model_size, parameter_count
from bertling.models.student import shape_of
from bertling.pipeline.context import Context
from bertling.pipeline.soft_targets import average
from bertling.pipeline.teachers import task_teachers


def answering(
    context: Context, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> Callable[[str, str | None], object]:
    """A function that has a model answer one text, or a question on its context, for ``measure_latency``.

    For sentence embeddings it embeds the first text of a pair, since texts are mostly embedded one by one.
    """
    length = context.recipe.data.max_length_tokens
    if context.task.sentence_embeddings:
        return text_embedder(model, tokenizer, length)
    if context.task.question_answering:
        return question_answerer(
            model, tokenizer, max_length_tokens=length, stride_tokens=context.stride_tokens
        )
    return text_classifier(model, tokenizer, length)


class Panel:
    """The recipe's teachers, whose stages are done; at least one.

    Attributes:
        models: in the recipe's order, each with the head that it teaches with.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._teachers = task_teachers(context.recipe)
        self._folders = [context.model_of(teacher.stage) for teacher in self._teachers]
        self.models = [context.classifier(folder, new_head=False) for folder in self._folders]
        self._readers = [
            answering(context, model, context.tokenizer_of(teacher))
            for model, teacher in zip(self.models, self._teachers, strict=True)
        ]

    def logits(self, examples: Examples) -> npt.NDArray[np.float32]:
        """(N, C), or (N, W, C) of words, as `predict_logits` gives them."""
        said = [
            predict_logits(
                model,
                self._context.tokenizer_of(teacher),
                self._context.tokenized(examples, teacher=teacher),
                batch_size=self._context.recipe.evaluate.batch_size,
            )
            for model, teacher in zip(self.models, self._teachers, strict=True)
        ]
        return average(self._context, said)

    def answer(self, text: str, text_pair: str | None) -> object:
        """Answer one text with each of the models in turn, which is what takes time."""
        return [read(text, text_pair) for read in self._readers]

    @property
    def sizes(self) -> dict[str, Any]:
        """Parameters and bytes of all models; layers and width of a single one. Fields of a `ModelResult`."""
        sizes: dict[str, Any] = {
            "parameters": sum(parameter_count(model) for model in self.models),
            "size_bytes": sum(model_size(Path(folder)) for folder in self._folders),
        }
        if len(self.models) == 1:
            shape = shape_of(self.models[0].config)
            sizes |= {"layers": shape.layers, "width": shape.width}
        return sizes
