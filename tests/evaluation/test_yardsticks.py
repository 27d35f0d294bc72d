from __future__ import annotations

import numpy as np
import pytest

from bertling.errors import DataError, ShapeError
from bertling.evaluation.yardsticks import majority_class, tfidf_cosine, tfidf_linear_model

TEXTS = [
    "the lamp glows warm",
    "a warm lamp by the bed",
    "lamp and candle glow",
    "the boat sails north",
    "a boat in the harbour",
    "sails and boat and sea",
]
LABELS = [0, 0, 0, 1, 1, 1]


def test_majority_class_predicts_the_most_frequent_class_for_every_test_text() -> None:
    yardstick = majority_class([2, 0, 2, 1], test_count=3, regression=False)

    assert yardstick.predictions.tolist() == [2, 2, 2]
    assert np.issubdtype(yardstick.predictions.dtype, np.integer)
    assert yardstick.predict("any text", None) == 2
    assert yardstick.parameters is None
    assert yardstick.size_bytes is None


def test_majority_class_takes_the_smallest_id_on_a_tie() -> None:
    assert majority_class([3, 1, 3, 1], test_count=1, regression=False).predictions.tolist() == [1]


def test_majority_class_predicts_the_mean_for_regression() -> None:
    yardstick = majority_class([1.0, 2.0, 4.5], test_count=2, regression=True)

    assert yardstick.predictions.tolist() == [2.5, 2.5]


def test_majority_class_refuses_an_empty_training_set() -> None:
    with pytest.raises(DataError, match="no training labels"):
        majority_class([], test_count=2, regression=False)


def test_tfidf_learns_the_words_of_each_class_and_predicts_one_text_like_many() -> None:
    test = ["a candle glows", "north in the harbour", "the warm lamp"]
    yardstick = tfidf_linear_model(TEXTS, None, LABELS, test, None, regression=False, seed=1)

    assert yardstick.predictions.shape == (3,)
    assert yardstick.predictions.tolist() == [0, 1, 0]
    assert [yardstick.predict(text, None) for text in test] == [0, 1, 0]


def test_tfidf_counts_the_coefficients_of_every_class_and_the_bytes_of_all_it_needs() -> None:
    texts = ["red", "red", "blue", "blue", "é", "é"]
    yardstick = tfidf_linear_model(texts, None, [0, 0, 1, 1, 2, 2], ["red"], None, regression=False, seed=1)

    terms, classes = 3, 3  # of one word each, so there are no word pairs
    assert yardstick.parameters == classes * (terms + 1)
    assert yardstick.size_bytes == 8 * (classes * (terms + 1) + terms) + len("redblue") + 2  # é has two bytes


def test_tfidf_on_pairs_sees_what_the_two_texts_share() -> None:
    words = [f"word{index}" for index in range(40)]
    first = [f"{word} {other}" for word, other in zip(words, reversed(words), strict=True)]
    same, shifted = first[:20], first[20:] + first[:20]
    train, pairs = [*first[:20], *first[:20]], [*same, *shifted[:20]]
    yardstick = tfidf_linear_model(
        train,
        pairs,
        [1] * 20 + [0] * 20,
        [words[3], words[3]],
        [words[3], words[30]],
        regression=False,
        seed=1,
    )

    assert yardstick.predictions.tolist() == [1, 0]
    assert yardstick.predict(words[3], words[3]) == 1


def test_tfidf_fits_numbers_for_regression() -> None:
    scores = [5.0, 4.0, 4.5, 0.5, 1.0, 0.0]
    yardstick = tfidf_linear_model(TEXTS, None, scores, ["lamp", "boat"], None, regression=True, seed=1)

    assert yardstick.predictions.shape == (2,)
    assert yardstick.predictions[0] > np.mean(scores) > yardstick.predictions[1]
    assert yardstick.predict("lamp", None) == pytest.approx(yardstick.predictions[0])
    assert isinstance(yardstick.predict("lamp", None), float)


def test_tfidf_drops_terms_that_occur_once_when_there_are_many_texts() -> None:
    texts = [f"{'lamp' if index % 2 else 'boat'} once{index}" for index in range(1000)]
    labels = [index % 2 for index in range(1000)]
    yardstick = tfidf_linear_model(texts, None, labels, ["lamp"], None, regression=False, seed=1)

    assert yardstick.parameters == 2 + 1
    assert yardstick.predictions.tolist() == [1]


def test_tfidf_gives_the_same_for_the_same_seed() -> None:
    runs = [
        tfidf_linear_model(TEXTS, None, LABELS, ["lamp", "sea"], None, regression=False, seed=7)
        for _ in range(2)
    ]

    assert np.array_equal(runs[0].predictions, runs[1].predictions)


def test_tfidf_refuses_one_class() -> None:
    with pytest.raises(DataError, match="at least two classes"):
        tfidf_linear_model(TEXTS, None, [1] * 6, ["lamp"], None, regression=False, seed=1)


def test_tfidf_refuses_texts_without_words() -> None:
    with pytest.raises(DataError, match="no vocabulary"):
        tfidf_linear_model(["...", "!"], None, [0, 1], ["lamp"], None, regression=False, seed=1)


def test_tfidf_refuses_lists_that_do_not_fit_together() -> None:
    with pytest.raises(ShapeError, match="6 texts but 5 training labels"):
        tfidf_linear_model(TEXTS, None, LABELS[:5], ["lamp"], None, regression=False, seed=1)
    with pytest.raises(ShapeError, match="1 texts but 2 second test texts"):
        tfidf_linear_model(TEXTS, TEXTS, LABELS, ["lamp"], ["boat", "sea"], regression=False, seed=1)
    with pytest.raises(ShapeError, match="the training set has second texts and the test set has none"):
        tfidf_linear_model(TEXTS, TEXTS, LABELS, ["lamp"], None, regression=False, seed=1)


def test_the_cosine_of_tfidf_is_larger_the_rarer_the_words_that_two_texts_share() -> None:
    pairs = ["the warm lamp glows", "the sails", "nothing of it"]
    yardstick = tfidf_cosine(TEXTS, TEXTS, [TEXTS[0]] * 3, pairs)

    assert yardstick.predictions.shape == (3,)
    assert yardstick.predictions[0] == pytest.approx(1.0)
    assert 0.0 < yardstick.predictions[1] < 0.5
    assert yardstick.predictions[2] == 0.0
    assert yardstick.predict(TEXTS[0], pairs[1]) == pytest.approx(yardstick.predictions[1])
    assert yardstick.parameters is None
    with pytest.raises(ShapeError, match="second test texts"):
        tfidf_cosine(TEXTS, TEXTS, TEXTS, pairs)
