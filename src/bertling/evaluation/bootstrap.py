"""How sure a difference between students is: the paired bootstrap (Efron and Tibshirani 1993, chapter 8).

S seeds, N examples, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bertling.evaluation.answer_scores import each_answer
from bertling.evaluation.metrics import score
from bertling.tasks import OF_ANSWERS, Metric

Answers = Sequence[npt.NDArray[np.generic]]
"""S times (N,), or (N, W) of words, (N, C) of several labels: one for each seed"""


def resampled_means(
    metric: Metric,
    predictions: Mapping[str, Answers],
    references: Answers,
    *,
    label_names: Sequence[str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, npt.NDArray[np.float64]]:
    """Mean scores over seeds, on seeds and examples drawn anew with replacement, the same for all systems.

    So the differences of two systems' values tell how much their mean difference depends on the examples of
    the test set and on the seeds of training. Seeds with equal references share one test set, and the draw
    of its examples.

    Args:
        metric: of the task.
        predictions: system -> what it says with each seed.
        references: what is right, for each seed.
        label_names: for the metric chunk_f1.
        resamples: R.
        seed: of the draws.

    Returns:
        system -> (R,).

    Raises:
        ShapeError, DataError: as `score` does.
    """
    random = np.random.default_rng(seed)
    seeds = len(references)
    if metric in OF_ANSWERS:  # a mean, and to compare words thousands of times would take hours
        predictions = {
            name: [each_answer(metric, *pair) for pair in zip(answers, references, strict=True)]
            for name, answers in predictions.items()
        }
    same = all(np.array_equal(references[0], other) for other in references)
    means = {name: np.empty(resamples) for name in predictions}
    for resample in range(resamples):
        drawn_seeds = random.integers(seeds, size=seeds)
        draws = [
            random.integers(len(labels), size=len(labels)) for labels in references[: 1 if same else None]
        ]
        for name, answers in predictions.items():
            scores = {
                run: _score(metric, answers[run][rows], references[run][rows], label_names)
                for run in set(drawn_seeds.tolist())
                for rows in [draws[0 if same else run]]
            }
            means[name][resample] = np.mean([scores[run] for run in drawn_seeds.tolist()])
    return means


def _score(
    metric: Metric,
    predictions: npt.NDArray[Any],
    references: npt.NDArray[Any],
    label_names: Sequence[str] | None,
) -> float:
    if metric in OF_ANSWERS:
        return float(predictions.mean())
    # What `score` checks costs far more than this, thousands of times over.
    if metric == "accuracy" and references.ndim == 1:
        return float((predictions == references).mean())
    return score(metric, predictions, references, label_names=label_names)
