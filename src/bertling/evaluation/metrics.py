"""A task's score, one number, and what is reported beside it, computed with scikit-learn and scipy.

N examples; W words of the longest, C labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from bertling.errors import DataError, ShapeError
from bertling.evaluation.answer_scores import answer_score
from bertling.evaluation.chunks import chunk_f1
from bertling.tasks import OF_ANSWERS, OF_NUMBERS, OF_SEVERAL, OF_UNANSWERABLE, Metric


def score(
    metric: Metric,
    predictions: np.ndarray,
    references: np.ndarray,
    *,
    label_names: Sequence[str] | None = None,
) -> float:
    """The score of ``predictions`` against ``references``, as a fraction: 0 to 1, correlations -1 to 1.

    - accuracy: the share of equal class ids.
    - f1: of class 1 where every class id is 0 or 1, as for MRPC and QQP; with any other class id the
      unweighted mean over the classes that occur (macro). 0 where precision and recall are both 0.
    - matthews: Matthews correlation, also over more than two classes; 0 where one side is constant.
    - spearman: rank correlation, ties at their mean rank. Where one side is constant it is not defined,
      and counts as 0: a constant says nothing about the order.
    - pearson: linear correlation; 0 where one side is constant.
    - chunk_f1: of whole chunks or named entities, see `bertling.evaluation.chunks`.
    - micro_f1, macro_f1: of several labels, over all of them or the mean of each label's; 0 for a label that
      neither side has.
    - of answers to questions: see `bertling.evaluation.answer_scores`.

    Args:
        metric: which score.
        predictions: (N,) class ids as integers; for spearman and pearson numbers. Of words (N, W), negative
            where there is no answer, which is wrong; of several labels (N, C), 0 or 1. Of questions (N,) of
            `PREDICTED`.
        references: the same kind and shape; negative behind the last word of a sentence. Of questions (N,)
            lists of the texts that are right.
        label_names: of the classes, in their order, for chunk_f1.

    Raises:
        ShapeError: not of the metric's shape, or not of equal shapes, or empty.
        DataError: an unknown metric, class ids that are not integers, numbers that are not finite, or tags
            that make no chunks.
    """
    if metric not in get_args(Metric):
        raise DataError(f"unknown metric {metric!r}; choose one of {', '.join(get_args(Metric))}")
    if metric in (*OF_ANSWERS, *OF_UNANSWERABLE):
        return answer_score(metric, predictions, references)
    if metric not in _SCORES or (metric == "accuracy" and references.ndim == 2):
        return _of_tables(metric, predictions, references, label_names)
    if predictions.ndim != 1 or predictions.shape != references.shape or predictions.size == 0:
        raise ShapeError(
            f"got predictions of shape {predictions.shape} and references of shape {references.shape}; "
            f"{metric} needs one value for each of N examples, (N,) and (N,) with N above 0. "
            "Logits of shape (N, C) have to go through argmax first"
        )
    for name, values in (("predictions", predictions), ("references", references)):
        if metric in OF_NUMBERS:
            _require_finite(metric, name, values)
        elif not np.issubdtype(values.dtype, np.integer):
            raise DataError(f"got {name} of type {values.dtype}; {metric} needs class ids, as integers")
    return _SCORES[metric](predictions, references)


def _of_tables(
    metric: Metric, predictions: np.ndarray, references: np.ndarray, label_names: Sequence[str] | None
) -> float:
    if references.ndim != 2 or predictions.shape != references.shape or not references.size:
        raise ShapeError(
            f"got predictions of shape {predictions.shape} and references of shape {references.shape}; "
            f"{metric} of words or several labels needs equal ones, (N, W) or (N, C)"
        )
    if metric in OF_SEVERAL:
        average = metric.removesuffix("_f1")
        return float(f1_score(references, predictions, average=average, zero_division=0.0))
    if metric == "chunk_f1":
        if label_names is None:
            raise DataError("chunk_f1 reads the tags' names; pass label_names=")
        return chunk_f1(predictions, references, label_names)
    words = references >= 0
    return float((predictions[words] == references[words]).mean())


def _require_finite(metric: Metric, name: str, values: np.ndarray) -> None:
    if not np.issubdtype(values.dtype, np.number):
        raise DataError(f"got {name} of type {values.dtype}; {metric} needs numbers")
    if count := int(np.count_nonzero(~np.isfinite(values))):
        raise DataError(
            f"{count} of {values.size} {name} are NaN or infinite; {metric} needs finite numbers. "
            "Look for a model that diverged, or for missing labels in the data"
        )


def _accuracy(predictions: np.ndarray, references: np.ndarray) -> float:
    return float(accuracy_score(references, predictions))


def _f1(predictions: np.ndarray, references: np.ndarray) -> float:
    binary = bool(np.isin(predictions, (0, 1)).all() and np.isin(references, (0, 1)).all())
    average = "binary" if binary else "macro"
    return float(f1_score(references, predictions, average=average, zero_division=0.0))


def _matthews(predictions: np.ndarray, references: np.ndarray) -> float:
    if _is_constant(predictions) or _is_constant(references):
        return 0.0  # scikit-learn gives 0 as well, but warns where both are constant
    return float(matthews_corrcoef(references, predictions))


def _spearman(predictions: np.ndarray, references: np.ndarray) -> float:
    if _is_constant(predictions) or _is_constant(references):
        return 0.0
    return float(spearmanr(predictions, references).statistic)


def _pearson(predictions: np.ndarray, references: np.ndarray) -> float:
    if _is_constant(predictions) or _is_constant(references):
        return 0.0
    # float32 of many examples adds up to too little
    return float(pearsonr(predictions.astype(np.float64), references.astype(np.float64)).statistic)


def _is_constant(values: np.ndarray) -> bool:
    return bool((values == values[0]).all())


_SCORES: dict[Metric, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "matthews": _matthews,
    "spearman": _spearman,
    "pearson": _pearson,
}
