"""Exact match and F1 of answers."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bertling.errors import DataError, ShapeError
from bertling.evaluation.answer_scores import (
    Predicted,
    answer_f1,
    answer_words,
    each_answer,
    exact_match,
    given_texts,
    predicted,
)
from bertling.evaluation.answer_yardsticks import most_overlap, no_answer, overlapping_sentence
from bertling.evaluation.bootstrap import resampled_means
from bertling.evaluation.constant import compare_with_constant
from bertling.evaluation.metrics import score
from bertling.tasks import Metric


def right(*answers: list[str]) -> npt.NDArray[np.object_]:
    made = np.empty(len(answers), dtype=object)
    for place, texts in enumerate(answers):
        made[place] = texts
    return made


def answers(*rows: tuple[str, float]) -> Predicted:
    texts, odds = zip(*rows, strict=True)
    return predicted(texts, np.asarray(odds))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Norman conquest", ["norman", "conquest"]),
        ("an  apple,\ta pear.", ["apple", "pear"]),
        ("U.S. $5-million", ["us", "5million"]),
        ("theatre and Anna", ["theatre", "and", "anna"]),  # articles are whole words
        ("the", []),
        ("«Ça»", ["«ça»"]),  # punctuation is that of ASCII alone
    ],
)
def test_words_are_compared_without_case_punctuation_and_articles(text: str, words: list[str]) -> None:
    assert answer_words(text) == words


@pytest.mark.parametrize(
    ("text", "gold", "exact", "f1"),
    [
        ("The Normans", ["normans"], 1.0, 1.0),
        ("in the 10th century", ["10th century", "10th and 11th centuries"], 0.0, 0.8),
        ("Denmark and Norway", ["Denmark, Iceland and Norway"], 0.0, 2 * 1 * 0.75 / 1.75),
        ("red red blue", ["red green"], 0.0, 2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2)),  # a word counts once
        ("Rollo", ["William"], 0.0, 0.0),
        ("", [], 1.0, 1.0),
        ("Rollo", [], 0.0, 0.0),
        ("", ["Rollo"], 0.0, 0.0),
        ("", ["the", "Rollo"], 0.0, 0.0),  # a right answer that has no word left does not count
        ("a", ["the"], 1.0, 1.0),
    ],
)
def test_known_values_of_an_answer(text: str, gold: list[str], exact: float, f1: float) -> None:
    assert exact_match(text, gold) == exact
    assert answer_f1(text, gold) == pytest.approx(f1)


def test_no_answer_is_given_where_its_odds_are_above_zero() -> None:
    found = answers(("Rollo", -1.0), ("Rollo", 0.0), ("Rollo", 0.1))
    assert given_texts(found) == ["Rollo", "Rollo", ""]
    gold = right(["Rollo"], [], [])
    assert score("answer_f1", found, gold) == pytest.approx(2 / 3)
    assert score("exact_match", found, gold) == pytest.approx(2 / 3)
    assert score("has_answer_f1", found, gold) == 1.0
    assert score("no_answer_f1", found, gold) == 0.5
    assert score("no_answer_f1", found[:1], gold[:1]) == 0.0
    # With a threshold between -1 and 0 all three are right.
    assert score("best_answer_f1", found, gold) == 1.0


def test_equal_odds_are_not_parted_by_a_threshold() -> None:
    found = answers(("Rollo", 0.5), ("Rollo", 0.5))
    assert score("best_exact_match", found, right(["Rollo"], [])) == 0.5


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("best", "of"), [("best_answer_f1", answer_f1), ("best_exact_match", exact_match)])
def test_the_best_threshold_is_found_as_by_trying_all(best: Metric, of: Any, seed: int) -> None:
    chance = random.Random(seed)
    words = ["red", "green", "blue", "the", "red green"]
    gold = right(*([chance.choice(words) for _ in range(chance.randrange(3))] for _ in range(12)))
    found = answers(*((chance.choice(words), chance.randrange(-3, 4) / 2) for _ in range(12)))
    tried = [
        np.mean(
            [
                of("" if odds > threshold else text, texts)
                for text, odds, texts in zip(found["text"], found["null_odds"], gold, strict=True)
            ]
        )
        for threshold in [-np.inf, *found["null_odds"]]
    ]
    assert score(best, found, gold) == pytest.approx(max(tried))


def test_what_is_no_answer_is_refused() -> None:
    with pytest.raises(DataError, match="answers are of"):
        score("answer_f1", np.zeros(2), right([], []))
    with pytest.raises(ShapeError, match=r"\(1,\).*\(2,\)"):
        score("answer_f1", answers(("a", 0.0)), right([], []))


def test_resamples_of_answers_vary_around_the_score() -> None:
    gold = right(*[["red"], ["blue"], [], ["red"]] * 10)
    systems = {"a": [answers(*[("red", -1.0)] * 40)], "b": [answers(*[("red", 1.0)] * 40)]}
    means = resampled_means("answer_f1", systems, [gold], resamples=200)
    for name, expected in (("a", 0.5), ("b", 0.25)):
        assert means[name].mean() == pytest.approx(expected, abs=0.03)
        assert means[name].std() > 0.02


def test_a_model_is_compared_with_no_answer_at_all() -> None:
    gold = right(*[["red"], []] * 20)
    good = compare_with_constant("answer_f1", answers(*[("red", -1.0), ("red", 1.0)] * 20), gold, seed=0)
    assert (good.score, good.constant_score, good.chance) == (1.0, 0.5, 0.0)
    silent = compare_with_constant("answer_f1", answers(*[("red", 1.0)] * 40), gold, seed=0)
    assert (silent.score, silent.chance) == (0.5, 1.0)


def test_yardsticks_answer_nothing_or_the_sentence_of_most_overlap() -> None:
    context = "Rollo came first. Who led the Normans of Rouen? William led them! It rained."
    assert overlapping_sentence("Who led the Normans?", context) == "Who led the Normans of Rouen?"
    assert overlapping_sentence("Did it snow?", context) == "It rained."
    assert overlapping_sentence("Xyz?", context) == "Rollo came first."
    plain = most_overlap(["Did it rain?"], [context]).predictions
    assert each_answer("answer_f1", plain, right(["rained"])).tolist() == [pytest.approx(2 / 3)]
    assert score("answer_f1", no_answer(2).predictions, right([], ["rained"])) == 0.5
