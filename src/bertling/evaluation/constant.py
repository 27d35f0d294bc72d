"""Whether a model is better than one answer for all texts, beyond chance.

N examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bertling.evaluation.metrics import score
from bertling.tasks import OF_NUMBERS, Metric

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
    metric: Metric, predictions: np.ndarray, references: np.ndarray, *, seed: int
) -> AgainstConstant:
    """Score a model and the best constant, on the examples and on 200 resamples of them (paired bootstrap).

    A ``chance`` of at most 0.05 is a one-sided test at that level: the model is better.

    Args:
        metric: the task's.
        predictions: (N,) class ids, or numbers for a correlation of numbers.
        references: (N,) the same kind.
        seed: of the resamples.

    Raises:
        ShapeError, DataError: as `score` does.
    """
    constants = [np.full_like(references, answer) for answer in np.unique(references)]
    if metric in OF_NUMBERS:
        constants = constants[:1]  # it is 0 for all of them, and they may be many
    best = max(constants, key=lambda answers: score(metric, answers, references))
    resamples = np.random.default_rng(seed).integers(len(references), size=(_RESAMPLES, len(references)))
    if metric == "accuracy":  # which is a mean: no need to go through all of scikit-learn 400 times
        gains = (predictions == references).astype(int) - (best == references)
        no_better = gains[resamples].sum(1) <= 0
    else:
        no_better = np.asarray(
            [
                score(metric, predictions[rows], references[rows])
                <= score(metric, best[rows], references[rows])
                for rows in resamples
            ]
        )
    return AgainstConstant(
        score(metric, predictions, references), score(metric, best, references), float(no_better.mean())
    )
