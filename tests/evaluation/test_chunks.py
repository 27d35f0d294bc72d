"""Chunk F1 with conlleval's rules, and the other metrics of words and several labels."""

from __future__ import annotations

import numpy as np
import pytest

from bertling.errors import DataError, ShapeError
from bertling.evaluation.bootstrap import resampled_means
from bertling.evaluation.chunks import chunk_counts, chunk_counts_by_type, chunk_f1
from bertling.evaluation.constant import compare_with_constant
from bertling.evaluation.metrics import score
from bertling.evaluation.scores import predictions, probabilities
from bertling.evaluation.yardsticks import majority_labels, majority_of_words

TAGS = ["B-NP", "I-NP", "B-VP", "I-VP", "O", "E-NP", "S-NP"]


def ids(*sentences: str) -> np.ndarray:
    rows = [[TAGS.index(tag) if tag != "?" else -1 for tag in sentence.split()] for sentence in sentences]
    table = np.full((len(rows), max(map(len, rows))), -100)
    for row, tags in zip(table, rows, strict=True):
        row[: len(tags)] = tags
    return table


@pytest.mark.parametrize(
    ("predicted", "right", "counts"),
    [
        ("B-NP I-NP O B-VP", "B-NP I-NP O B-VP", (2, 2, 2)),
        ("B-NP O O B-VP", "B-NP I-NP O B-VP", (1, 2, 2)),  # too short a chunk is wrong
        ("B-NP B-NP O O", "B-NP I-NP O O", (0, 2, 1)),  # two chunks for one
        ("B-NP I-NP I-NP O", "B-NP I-NP B-NP O", (0, 1, 2)),
        ("B-VP I-VP O O", "B-NP I-NP O O", (0, 1, 1)),  # the right words, another type
        ("I-NP I-NP O O", "B-NP I-NP O O", (1, 1, 1)),  # an I alone begins a chunk, as in conlleval
        ("B-NP I-VP O O", "B-NP B-VP O O", (2, 2, 2)),  # and so does one of another type
        ("I-NP O I-NP O", "B-NP O B-NP O", (2, 2, 2)),
        ("O O O O", "B-NP I-NP O O", (0, 0, 1)),
        ("B-NP E-NP S-NP S-NP", "B-NP I-NP B-NP B-NP", (3, 3, 3)),  # BIOES
        ("B-NP ? O O", "B-NP I-NP O O", (0, 1, 1)),  # a word without an answer is outside
    ],
)
def test_chunks_count_as_in_conlleval(predicted: str, right: str, counts: tuple[int, int, int]) -> None:
    assert chunk_counts(ids(predicted), ids(right), TAGS) == counts


def test_the_end_of_a_sentence_ends_a_chunk_and_what_is_predicted_behind_it_is_not_read() -> None:
    right = ids("B-NP I-NP", "I-NP O O")
    predicted = ids("B-NP I-NP", "I-NP O O")
    predicted[0, 2] = TAGS.index("I-NP")
    assert chunk_counts(predicted, right, TAGS) == (2, 2, 2)


def reference_chunks(tags: list[str]) -> set[tuple[int, int, str]]:
    """Written another way: walk over the words, close and open chunks."""
    chunks: set[tuple[int, int, str]] = set()
    begun: int | None = None
    kind = ""
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, now = tag.partition("-")
        if begun is not None and (prefix in ("O", "B", "S") or now != kind or tags[place - 1][0] in "ES"):
            chunks.add((begun, place - 1, kind))
            begun = None
        if begun is None and prefix != "O":
            begun, kind = place, now
    return chunks


def test_random_tags_give_the_counts_of_a_plain_reference() -> None:
    random = np.random.default_rng(0)
    right, predicted = (random.integers(len(TAGS), size=(200, 9)) for _ in range(2))
    sets = [
        [
            {(row, *chunk) for chunk in reference_chunks([TAGS[tag] for tag in tags])}
            for row, tags in enumerate(side)
        ]
        for side in (predicted, right)
    ]
    ours, theirs = (set().union(*side) for side in sets)
    assert chunk_counts(predicted, right, TAGS) == (len(ours & theirs), len(ours), len(theirs))
    by_type = {
        kind: tuple(sum(chunk[-1] == kind for chunk in side) for side in (ours & theirs, ours, theirs))
        for kind in ("NP", "VP")
    }
    assert chunk_counts_by_type(predicted, right, TAGS) == by_type


def test_f1_is_the_harmonic_mean_and_0_where_nothing_is_right() -> None:
    assert chunk_f1(ids("B-NP O B-VP"), ids("B-NP I-NP B-VP"), TAGS) == pytest.approx(2 * 1 / (2 + 2))
    assert chunk_f1(ids("O O"), ids("B-NP O"), TAGS) == 0.0
    assert score("chunk_f1", ids("B-NP O"), ids("B-NP O"), label_names=TAGS) == 1.0


def test_tags_that_make_no_chunks_are_refused() -> None:
    with pytest.raises(DataError, match=r"got 'NN', 'VB'.*metric = 'accuracy'"):
        chunk_f1(np.zeros((1, 2), int), np.zeros((1, 2), int), ["NN", "VB", "O"])
    with pytest.raises(DataError, match="label_names="):
        score("chunk_f1", ids("O"), ids("O"))


def test_accuracy_of_words_counts_words_and_no_answer_is_wrong() -> None:
    assert score("accuracy", ids("O ? B-NP", "O"), ids("O O O", "O")) == pytest.approx(2 / 4)


def test_f1_of_several_labels() -> None:
    predicted = np.asarray([[1, 0, 0], [1, 1, 0]])
    right = np.asarray([[1, 0, 0], [0, 1, 0]])
    assert score("micro_f1", predicted, right) == pytest.approx(2 * 2 / (3 + 2))
    assert score("macro_f1", predicted, right) == pytest.approx((2 / 3 + 1 + 0) / 3)
    with pytest.raises(ShapeError, match=r"\(2, 3\).*\(2, 2\)"):
        score("micro_f1", predicted, right[:, :2])


def test_logits_of_words_and_of_several_labels_are_answered() -> None:
    words = np.asarray([[[0.0, 2.0], [np.nan, np.nan]]], dtype=np.float32)
    assert predictions(words, regression=False).tolist() == [[1, -1]]
    several = np.asarray([[0.1, -3.0], [-1.0, -1.0]], dtype=np.float32)
    assert predictions(several, regression=False, multi_label=True).tolist() == [[1, 0], [0, 0]]
    assert probabilities(several, multi_label=True)[0, 1] == pytest.approx(1 / (1 + np.exp(3.0)))


def test_a_word_gets_the_class_that_it_mostly_had_and_an_unseen_one_that_of_most_words() -> None:
    plain = majority_of_words([["a", "b", "a"], ["a", "b"]], [[1, 2, 1], [0, 2]], [["a", "c"], ["b"]])
    assert plain.predictions.tolist() == [[1, 1], [2, -100]]


def test_every_text_gets_the_labels_of_more_than_half_of_the_training_texts() -> None:
    assert (
        majority_labels([[0, 1], [1], [1, 2]], label_count=3, test_count=2).predictions.tolist()
        == [[0, 1, 0]] * 2
    )
    assert majority_labels([[0], [2], [2], [], []], label_count=3, test_count=1).predictions.tolist() == [
        [0, 0, 1]
    ]


def test_a_teacher_of_words_is_compared_with_one_tag_for_all_of_them() -> None:
    right = ids(*["B-NP I-NP O O"] * 40)
    good = compare_with_constant("chunk_f1", right.copy(), right, seed=0, label_names=TAGS)
    assert (good.score, good.chance) == (1.0, 0.0)
    assert good.constant_score == 0.0
    constant = np.full_like(right, TAGS.index("O"))
    bad = compare_with_constant("accuracy", constant, right, seed=0)
    assert (bad.score, bad.constant_score, bad.chance) == (0.5, 0.5, 1.0)


def test_a_teacher_of_several_labels_is_compared_with_the_best_constant() -> None:
    right = np.tile([[1, 1, 0], [1, 0, 0]], (30, 1))
    constant = compare_with_constant("micro_f1", np.tile([1, 0, 0], (60, 1)), right, seed=0)
    assert constant.constant_score == pytest.approx(2 * 60 / (60 + 90))
    assert constant.chance == 1.0
    assert compare_with_constant("micro_f1", right, right, seed=0).chance == 0.0


def test_students_of_words_are_resampled_by_sentences() -> None:
    right = ids(*["B-NP I-NP O", "B-VP O O"] * 10)
    worse = right.copy()
    worse[::2, 0] = TAGS.index("O")
    means = resampled_means("chunk_f1", {"a": [right], "b": [worse]}, [right], label_names=TAGS, resamples=50)
    assert (means["a"] == 1.0).all()
    assert (means["b"] < 1.0).all()
    assert means["b"].std() > 0
