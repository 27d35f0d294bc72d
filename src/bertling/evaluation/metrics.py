"""A task's score, one number, and what is reported beside it, computed with scikit-learn and scipy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from bertling.errors import DataError, ShapeError
from bertling.tasks import OF_NUMBERS, Metric


def score(metric: Metric, predictions: np.ndarray, references: np.ndarray) -> float:
    """The score of ``predictions`` against ``references``, as a fraction: 0 to 1, correlations -1 to 1.

    - accuracy: the share of equal class ids.
    - f1: of class 1 where every class id is 0 or 1, as for MRPC and QQP; with any other class id the
      unweighted mean over the classes that occur (macro). 0 where precision and recall are both 0.
    - matthews: Matthews correlation, also over more than two classes; 0 where one side is constant.
    - spearman: rank correlation, ties at their mean rank. Where one side is constant it is not defined,
      and counts as 0: a constant says nothing about the order.
    - pearson: linear correlation; 0 where one side is constant.

    Args:
        metric: which score.
        predictions: (N,) class ids as integers; for spearman and pearson numbers.
        references: (N,) the same kind.

    Raises:
        ShapeError: not one-dimensional, not of equal length, or empty.
        DataError: an unknown metric, class ids that are not integers, or numbers that are not finite.
    """
    if metric not in _SCORES:
        raise DataError(f"unknown metric {metric!r}; choose one of {', '.join(_SCORES)}")
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
