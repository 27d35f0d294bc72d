"""Plain methods to compare a model with: the most frequent class, and TF-IDF with a linear model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from bertling.data.examples import UNLABELLED
from bertling.errors import DataError, ShapeError

# The best of 1, 4 and 10, over two seeds, on the validation part of the docstrings data (1,450 a class).
_INVERSE_REGULARIZATION = 4.0
_ENOUGH_TEXTS = 1000  # from here on a term must occur in two of them


@dataclass(frozen=True, slots=True)
class Yardstick:
    """A plain method, fitted to the training set.

    Attributes:
        predictions: (N,) for the test texts: class ids, or numbers for regression; as `score` takes them.
        parameters: coefficients and intercepts; None for a constant.
        size_bytes: coefficients, intercepts and IDF weights as they are (float64), and the vocabulary in
            UTF-8; None for a constant.
        predict: (text, second text or None) -> class id or number; for timing one text at a time.
    """

    predictions: np.ndarray
    parameters: int | None
    size_bytes: int | None
    predict: Callable[[str, str | None], int | float]


def majority_class(
    train_labels: Sequence[int] | Sequence[float], *, test_count: int, regression: bool
) -> Yardstick:
    """The most frequent class of the training set (the smallest id on a tie); for regression the mean.

    Raises:
        DataError: there are no training labels.
    """
    if not train_labels:
        raise DataError("majority_class got no training labels: expected at least one")
    constant = float(np.mean(train_labels)) if regression else int(np.bincount(train_labels).argmax())
    return Yardstick(np.full(test_count, constant), None, None, lambda text, text_pair: constant)


def tfidf_cosine(
    train_texts: Sequence[str],
    train_pairs: Sequence[str],
    test_texts: Sequence[str],
    test_pairs: Sequence[str],
) -> Yardstick:
    """The cosine of the TF-IDF vectors of two texts: words that they share, rare ones more; learns no labels.

    How rare words are is taken from all texts of the training set.

    Raises:
        ShapeError: numbers of texts and second texts differ.
        DataError: the training set has no words.
    """
    no_labels = range(len(train_texts))  # are read
    _require_equal_lengths(train_texts, train_pairs, no_labels, test_texts, test_pairs)
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+")
    _fit_vocabulary(vectorizer, [*train_texts, *train_pairs])

    def cosines(texts: Sequence[str], pairs: Sequence[str]) -> np.ndarray:
        # both have unit length
        first, second = vectorizer.transform(texts), vectorizer.transform(pairs)
        return np.asarray(first.multiply(second).sum(axis=1)).reshape(-1)

    def predict(text: str, text_pair: str | None) -> float:
        return float(cosines([text], [text_pair or ""])[0])

    return Yardstick(cosines(test_texts, test_pairs), None, None, predict)


def majority_of_words(
    train_words: Sequence[Sequence[str]],
    train_labels: Sequence[Sequence[int]],
    test_words: Sequence[Sequence[str]],
) -> Yardstick:
    """For each word the class that it mostly has in the training set; for an unseen one that of most words.

    That is the kind of baseline that the CoNLL shared tasks give. Ties go to the smallest class id.

    Returns:
        Predictions of shape (N, W), -100 behind the last word.

    Raises:
        DataError: there are no training labels.
    """
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    total: Counter[int] = Counter()
    for words, labels in zip(train_words, train_labels, strict=True):
        total.update(labels)
        for word, label in zip(words, labels, strict=True):
            counts[word][label] += 1
    if not total:
        raise DataError("majority_of_words got no training labels: expected at least one")
    usual = {word: _most_frequent(found) for word, found in counts.items()}
    otherwise = _most_frequent(total)
    answers = np.full((len(test_words), max(map(len, test_words))), UNLABELLED)
    for row, words in zip(answers, test_words, strict=True):
        row[: len(words)] = [usual.get(word, otherwise) for word in words]
    return Yardstick(answers, None, None, lambda text, text_pair: otherwise)


def majority_labels(train_labels: Sequence[Sequence[int]], *, label_count: int, test_count: int) -> Yardstick:
    """The labels that more than half of the training texts have; where there is none, the most frequent one.

    Returns:
        Predictions of shape (N, C), 0 or 1.

    Raises:
        DataError: there are no training labels.
    """
    counts = np.bincount([label for labels in train_labels for label in labels], minlength=label_count)
    if not counts.any():
        raise DataError("majority_labels got no training labels: expected at least one")
    usual = counts * 2 > len(train_labels)
    if not usual.any():
        usual = np.arange(label_count) == counts.argmax()
    answers = np.tile(usual.astype(np.int64), (test_count, 1))
    return Yardstick(answers, None, None, lambda text, text_pair: int(usual.argmax()))


def tfidf_linear_model(
    train_texts: Sequence[str],
    train_pairs: Sequence[str] | None,
    train_labels: Sequence[int] | Sequence[float],
    test_texts: Sequence[str],
    test_pairs: Sequence[str] | None,
    *,
    regression: bool,
    seed: int,
) -> Yardstick:
    """TF-IDF of words and word pairs, then logistic regression; for regression, ridge regression.

    Two texts share a vocabulary; the features are those of the first, those of the second, and the cosine
    between the two.

    Raises:
        ShapeError: numbers of texts, second texts and labels differ, or one set has second texts and the
            other has none.
        DataError: the training set has fewer than two classes, or no words.
    """
    _require_equal_lengths(train_texts, train_pairs, train_labels, test_texts, test_pairs)
    if not regression and len(set(train_labels)) < 2:
        raise DataError(f"the training labels are {sorted(set(train_labels))}: expected at least two classes")
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2),
        sublinear_tf=True,
        min_df=2 if len(train_texts) >= _ENOUGH_TEXTS else 1,
        token_pattern=r"\w+",
    )
    _fit_vocabulary(vectorizer, [*train_texts, *(train_pairs or [])])

    def features(texts: Sequence[str], pairs: Sequence[str] | None) -> csr_matrix:
        first = vectorizer.transform(texts)
        if pairs is None:
            return first
        second = vectorizer.transform(pairs)
        cosine = first.multiply(second).sum(axis=1).reshape(-1, 1)  # both have unit length
        return hstack([first, second, cosine], format="csr")

    # SAGA needs a fraction of the time of L-BFGS on sparse features of unit length.
    model = (
        Ridge(random_state=seed)
        if regression
        else LogisticRegression(C=_INVERSE_REGULARIZATION, solver="saga", max_iter=1000, random_state=seed)
    )
    model.fit(features(train_texts, train_pairs), np.asarray(train_labels))

    def predict(text: str, text_pair: str | None) -> int | float:
        pairs = None if text_pair is None else [text_pair]
        answer: int | float = model.predict(features([text], pairs))[0].item()
        return answer

    weights = [np.asarray(model.coef_), np.asarray(model.intercept_)]
    return Yardstick(
        predictions=model.predict(features(test_texts, test_pairs)),
        parameters=sum(array.size for array in weights),
        size_bytes=sum(array.nbytes for array in [*weights, vectorizer.idf_])
        + sum(len(term.encode()) for term in vectorizer.vocabulary_),
        predict=predict,
    )


def _most_frequent(counts: Counter[int]) -> int:
    return min(counts, key=lambda label: (-counts[label], label))


def _fit_vocabulary(vectorizer: TfidfVectorizer, texts: Sequence[str]) -> None:
    try:
        vectorizer.fit(texts)
    except ValueError as error:
        raise DataError(f"no vocabulary for TF-IDF in {len(texts)} training texts: {error}") from error


def _require_equal_lengths(
    train_texts: Sequence[str],
    train_pairs: Sequence[str] | None,
    train_labels: Sequence[int] | Sequence[float],
    test_texts: Sequence[str],
    test_pairs: Sequence[str] | None,
) -> None:
    if (train_pairs is None) != (test_pairs is None):
        with_pairs, without = ("test", "training") if train_pairs is None else ("training", "test")
        raise ShapeError(
            f"the {with_pairs} set has second texts and the {without} set has none: expected both or none"
        )
    for name, values, texts in (
        ("training labels", train_labels, train_texts),
        ("second training texts", train_pairs, train_texts),
        ("second test texts", test_pairs, test_texts),
    ):
        if values is not None and len(values) != len(texts):
            raise ShapeError(f"{len(texts)} texts but {len(values)} {name}: expected one for each text")
