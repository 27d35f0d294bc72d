from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
import pytest

from bertling.errors import DataError, ShapeError
from bertling.evaluation.metrics import score
from bertling.tasks import Metric


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def numbers(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_accuracy_is_the_share_of_equal_classes() -> None:
    assert score("accuracy", ids(0, 1, 2, 2), ids(0, 1, 2, 0)) == 0.75


def test_f1_of_two_classes_is_that_of_class_1() -> None:
    # class 1: 2 found of 3, 2 right of 4 -> precision 1/2, recall 2/3
    predictions, references = ids(1, 1, 1, 1, 0, 0), ids(1, 1, 0, 0, 1, 0)
    assert score("f1", predictions, references) == pytest.approx(2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))


def test_f1_treats_the_two_classes_differently() -> None:
    predictions, references = ids(0, 1, 1, 1), ids(0, 0, 1, 1)
    assert score("f1", predictions, references) == pytest.approx(0.8)
    assert score("f1", 1 - predictions, 1 - references) == pytest.approx(2 / 3)


def test_f1_of_more_classes_is_the_mean_over_classes() -> None:
    # class 0: 1, class 1: 2/3, class 2: 0 (never predicted)
    assert score("f1", ids(0, 0, 1, 1), ids(0, 0, 1, 2)) == pytest.approx((1 + 2 / 3 + 0) / 3)


@pytest.mark.parametrize("predictions", [ids(0, 0), ids(1, 0)])
def test_f1_without_a_positive_reference_is_zero(predictions: np.ndarray) -> None:
    assert score("f1", predictions, ids(0, 0)) == 0.0


def test_matthews_of_a_hand_counted_table() -> None:
    # 3 true positives, 2 true negatives, 1 false positive, 2 false negatives
    predictions = ids(1, 1, 1, 0, 0, 1, 0, 0)
    references = ids(1, 1, 1, 0, 0, 0, 1, 1)
    assert score("matthews", predictions, references) == pytest.approx((3 * 2 - 1 * 2) / sqrt(4 * 5 * 3 * 4))


def test_matthews_of_the_opposite_is_minus_one() -> None:
    assert score("matthews", ids(0, 1, 1), ids(1, 0, 0)) == pytest.approx(-1.0)


@pytest.mark.parametrize("references", [ids(0, 1, 1), ids(1, 1, 1), ids(0, 0, 0)])
def test_matthews_of_one_predicted_class_is_zero(references: np.ndarray) -> None:
    assert score("matthews", ids(1, 1, 1), references) == 0.0


def test_spearman_sees_ranks_only() -> None:
    assert score("spearman", numbers(1, 10, 100), numbers(0.1, 0.2, 0.3)) == pytest.approx(1.0)
    # ranks 1 2 3 4 against 2 1 4 3: 1 - 6 * 4 / (4 * 15)
    assert score("spearman", numbers(1, 2, 3, 4), numbers(2, 1, 4, 3)) == pytest.approx(0.6)


def test_spearman_gives_ties_their_mean_rank() -> None:
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5
    assert score("spearman", numbers(1, 2, 2, 3), numbers(1, 2, 3, 4)) == pytest.approx(4.5 / sqrt(4.5 * 5))


@pytest.mark.parametrize(
    ("predictions", "references"), [((2, 2, 2), (1, 2, 3)), ((1, 2, 3), (2, 2, 2)), ((1,), (1,))]
)
def test_spearman_of_a_constant_is_zero(predictions: Sequence[float], references: Sequence[float]) -> None:
    assert score("spearman", numbers(*predictions), numbers(*references)) == 0.0


@pytest.mark.parametrize(
    ("predictions", "references"),
    [
        (ids(0, 1), ids(0, 1, 1)),
        (ids(), ids()),
        (np.zeros((2, 3), dtype=np.int64), ids(0, 1)),
        (np.zeros((2, 1, 1), dtype=np.int64), np.zeros((2, 1, 1), dtype=np.int64)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(predictions: np.ndarray, references: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="one value for each"):
        score("accuracy", predictions, references)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "matthews"])
def test_classes_must_be_integers(metric: Metric) -> None:
    with pytest.raises(DataError, match=r"predictions of type float32.*integers"):
        score(metric, numbers(0, 1), ids(0, 1))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_must_be_finite(bad: float) -> None:
    with pytest.raises(DataError, match="1 of 3 references are NaN or infinite"):
        score("spearman", numbers(1, 2, 3), numbers(1, bad, 3))


def test_pearson_sees_distances_and_a_constant_is_zero() -> None:
    assert score("pearson", numbers(1, 2, 3), numbers(10, 20, 30)) == pytest.approx(1.0)
    # Deviations (-2, -1, 0, 3) and (-1.5, -0.5, 0.5, 1.5): 8 / sqrt(14 * 5)
    assert score("pearson", numbers(0, 1, 2, 5), numbers(1, 2, 3, 4)) == pytest.approx(8 / sqrt(70))
    assert score("pearson", numbers(1, 1, 1), numbers(1, 2, 3)) == 0.0
    with pytest.raises(DataError, match="pearson needs finite numbers"):
        score("pearson", numbers(1, 2), numbers(1, float("nan")))


def test_spearman_refuses_what_is_not_a_number() -> None:
    with pytest.raises(DataError, match="needs numbers"):
        score("spearman", np.array(["1", "2"]), numbers(1, 2))


def test_an_unknown_metric_names_the_known_ones() -> None:
    with pytest.raises(DataError, match="accuracy, f1, matthews, spearman"):
        score("bleu", ids(0), ids(0))  # type: ignore[arg-type]
