from __future__ import annotations

import numpy as np
import pytest

from bertling.evaluation.bootstrap import Answers, resampled_means


def coin(share: float, *, count: int = 400, seed: int = 0) -> np.ndarray:
    """Answers to labels of 1, right with this probability."""
    return (np.random.default_rng(seed).random(count) < share).astype(np.int64)


LABELS = np.ones(400, dtype=np.int64)


def test_resamples_spread_as_the_standard_error_says() -> None:
    answers = coin(0.8)
    (means,) = resampled_means("accuracy", {"one": [answers]}, [LABELS], resamples=2000).values()
    share = answers.mean()
    assert means.shape == (2000,)
    assert means.mean() == pytest.approx(share, abs=0.002)
    assert means.std() == pytest.approx(np.sqrt(share * (1 - share) / 400), rel=0.06)


def test_systems_are_drawn_together() -> None:
    """Of two systems that differ on one example in a hundred the difference is surer than the scores."""
    one = coin(0.7)
    other = one.copy()
    other[:4] = 1 - other[:4]
    means = resampled_means("accuracy", {"one": [one], "other": [other], "same": [one]}, [LABELS])
    assert not (means["one"] - means["same"]).any()
    assert (means["one"] - means["other"]).std() < means["one"].std() / 3


def test_seeds_are_drawn_as_well() -> None:
    """Of two seeds, one right on all and one on half: a quarter of the draws has the good one twice."""
    answers: Answers = [LABELS, coin(0.5)]
    (means,) = resampled_means("accuracy", {"one": answers}, [LABELS, LABELS], resamples=800).values()
    assert (means == 1).mean() == pytest.approx(0.25, abs=0.05)
    assert (means < 0.6).mean() == pytest.approx(0.25, abs=0.05)


def test_seeds_with_test_sets_of_their_own_are_drawn_apart() -> None:
    small = np.ones(100, dtype=np.int64)
    answers: Answers = [coin(0.8), coin(0.8, count=100)]
    (means,) = resampled_means("accuracy", {"one": answers}, [LABELS, small], resamples=200).values()
    assert 0.7 < means.mean() < 0.9


def test_it_is_a_function_of_its_seed_and_works_for_correlations() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=50)
    guesses = truth + random.normal(size=50)
    drawn = [
        resampled_means("spearman", {"one": [guesses]}, [truth], resamples=20, seed=seed)["one"]
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert (drawn[0] > 0.3).all()
