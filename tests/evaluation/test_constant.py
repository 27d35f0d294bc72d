from __future__ import annotations

import numpy as np
import pytest

from bertling.evaluation.constant import compare_with_constant
from bertling.tasks import Metric

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.permutation(np.repeat([0, 1], [140, 60]))


def noisy(labels: np.ndarray, share: float) -> np.ndarray:
    """Labels of which a share is turned round."""
    wrong = np.random.default_rng(1).random(len(labels)) < share
    return np.where(wrong, 1 - labels, labels)


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_a_good_model_is_better_than_any_constant(metric: Metric) -> None:
    compared = compare_with_constant(metric, noisy(LABELS, 0.1), LABELS, seed=0)
    assert compared.chance == 0.0
    assert compared.score > compared.constant_score


@pytest.mark.parametrize(
    ("metric", "answer", "constant"),
    # the majority class; class 1 for all, of precision 0.3 and recall 1; no correlation
    [("accuracy", 0, 0.7), ("accuracy", 1, 0.7), ("f1", 1, 2 * 0.3 / 1.3), ("matthews", 0, 0.0)],
)
def test_a_constant_is_no_better_than_the_best_constant(metric: Metric, answer: int, constant: float) -> None:
    compared = compare_with_constant(metric, np.full_like(LABELS, answer), LABELS, seed=0)
    assert compared.constant_score == pytest.approx(constant)
    assert compared.chance == 1.0


@pytest.mark.parametrize("metric", ["accuracy", "matthews"])
def test_labels_the_wrong_way_round_are_no_better(metric: Metric) -> None:
    assert compare_with_constant(metric, noisy(LABELS, 0.9), LABELS, seed=0).chance > 0.9


def test_a_useful_model_of_a_rare_class_is_seen_by_f1_and_not_by_accuracy() -> None:
    labels = np.repeat([0, 1], [490, 10])
    found = labels.copy()
    found[[0, 1, 2, 3, 490, 491, 492, 493]] = [1, 1, 1, 1, 0, 0, 0, 0]  # 6 of 10 found, 4 of 10 wrong
    assert compare_with_constant("f1", found, labels, seed=0).chance <= 0.01
    assert compare_with_constant("accuracy", found, labels, seed=0).chance > 0.05


def test_a_regression_needs_a_correlation_above_0() -> None:
    numbers = RANDOM.random(200)
    noise = RANDOM.random(200)
    assert compare_with_constant("spearman", numbers + noise, numbers, seed=0).chance == 0.0
    assert compare_with_constant("spearman", noise - numbers, numbers, seed=0).chance == 1.0
    assert compare_with_constant("spearman", np.zeros(200), numbers, seed=0).chance == 1.0
    assert compare_with_constant("spearman", numbers, numbers, seed=0).constant_score == 0.0


def test_about_a_twentieth_of_the_guessers_pass_at_the_level_of_5_percent() -> None:
    balanced = np.repeat([0, 1], 50)
    passed = 0
    for seed in range(60):
        guesses = np.random.default_rng(seed).integers(2, size=100)
        passed += compare_with_constant("accuracy", guesses, balanced, seed=seed).chance <= 0.05
    assert passed <= 9  # 3 expected
