"""Whether a model is better than one answer for all texts, beyond chance.

N examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from bertling.evaluation.answer_scores import each_answer, predicted
from bertling.evaluation.metrics import score
from bertling.tasks import OF_ANSWERS, OF_NUMBERS, OF_SEVERAL, Metric

_RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class AgainstConstant:
    """A model against the constant answer that scores best, which for accuracy is the majority class.

    Attributes:
        score: the model's.
        constant_score: that of the constant; 0 for correlations.
        chance: fraction of resamples of the examples in which the model scores no better.
    """

    score: float
    constant_score: float
    chance: float


def compare_with_constant(
    metric: Metric,
    predictions: np.ndarray,
    references: np.ndarray,
    *,
    seed: int,
    label_names: Sequence[str] | None = None,
) -> AgainstConstant:
    """Score a model and the best constant, on the examples and on 200 resamples of them (paired bootstrap).

    A ``chance`` of at most 0.05 is a one-sided test at that level: the model is better.

    Args:
        metric: the task's.
        predictions: (N,) class ids, or numbers for a correlation of numbers; as for `score`. The constants of
            several labels are each of them alone, and all that more than half of the texts have; that of
            questions is no answer.
        references: the same kind.
        seed: of the resamples.
        label_names: for the metric chunk_f1.

    Raises:
        ShapeError, DataError: as `score` does.
    """
    of = partial(score, metric, label_names=label_names)
    best = max(_constants(metric, references), key=lambda answers: of(answers, references))
    resamples = np.random.default_rng(seed).integers(len(references), size=(_RESAMPLES, len(references)))
    gains: npt.NDArray[Any]
    if metric in OF_ANSWERS:
        gains = each_answer(metric, predictions, references) - each_answer(metric, best, references)
        no_better = gains[resamples].sum(1) <= 0
    elif (
        metric == "accuracy" and references.ndim == 1
    ):  # which is a mean: no need to go through all of scikit-learn 400 times
        gains = (predictions == references).astype(int) - (best == references)
        no_better = gains[resamples].sum(1) <= 0
    else:
        no_better = np.asarray(
            [
                of(predictions[rows], references[rows]) <= of(best[rows], references[rows])
                for rows in resamples
            ]
        )
    return AgainstConstant(of(predictions, references), of(best, references), float(no_better.mean()))


def _constants(metric: Metric, references: npt.NDArray[np.generic]) -> list[npt.NDArray[np.generic]]:
    if metric in OF_ANSWERS:
        return [predicted([""] * len(references), np.inf)]
    if metric in OF_SEVERAL:
        kinds = [*np.eye(references.shape[1], dtype=np.int64), (references.mean(0) > 0.5).astype(np.int64)]
        return [np.broadcast_to(answer, references.shape) for answer in kinds]
    if metric in OF_NUMBERS:
        return [np.full_like(references, references[0])]  # it is 0 for all of them, and they may be many
    answers = np.unique(references)
    if references.ndim == 2:
        answers = answers[answers >= 0]
    return [np.full_like(references, answer) for answer in answers]
