"""Texts with their labels: what loading produces, augmentation grows and training reads."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bertling.errors import DataError, ShapeError
from bertling.files import whole_file

LABEL_NAMES_KEY = b"bertling.label_names"
"""of a parquet file's metadata"""
UNLABELLED = -100
"""the label of a token that has none, and behind a sentence's last word: what torch's losses leave out"""
_ANSWERS = pa.list_(pa.struct([("text", pa.string()), ("start", pa.int64())]))


class Answer(NamedTuple):
    """A part of a context: its text, and the character, from 0, that it starts at."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Examples:
    """Examples of a task, in order.

    Attributes:
        texts: the (first) text of each example; of labelled words, these with single spaces between them.
        text_pairs: the second text of each, or None for single texts.
        labels: class ids (indices in ``label_names``), or numbers for regression, or None if unlabelled; or
            a list of class ids for each example, one for each of its words, or of the labels that it has.
        label_names: the classes' names, or None for regression or unlabelled examples.
        words: of each example, where words have labels; else None.
        soft_labels: of each example a probability for each class, in the order of ``label_names``, or one
            number for a regression; None where the data has none. There may be no ``labels`` beside them.
        answers: of each question, that ``texts`` then are, the answers that its context, the second text,
            holds: all are right, and none means that it has no answer; else None.
        groups: of each question, what is not parted when a part is held out, such as its article; None: its
            context.

    Raises:
        ShapeError: the lists differ in length, a class id has no name, or answers have no contexts.
    """

    texts: list[str]
    text_pairs: list[str] | None
    labels: list[int] | list[float] | list[list[int]] | None
    label_names: list[str] | None
    words: list[list[str]] | None = None
    soft_labels: list[list[float]] | None = None
    answers: list[list[Answer]] | None = None
    groups: list[str] | None = None

    def __post_init__(self) -> None:
        for name, values in (
            ("text_pairs", self.text_pairs),
            ("labels", self.labels),
            ("words", self.words),
            ("soft_labels", self.soft_labels),
            ("answers", self.answers),
            ("groups", self.groups),
        ):
            if values is not None and len(values) != len(self.texts):
                raise ShapeError(
                    f"{len(self.texts)} texts but {len(values)} {name}: expected one for each text"
                )
        if self.answers is not None and self.text_pairs is None:
            raise ShapeError("answers without contexts: expected these as text_pairs")
        if self.label_names is not None:
            if self.labels is None and self.soft_labels is None:
                raise ShapeError("label_names without labels: expected None for unlabelled examples")
            if wrong := self._class_ids() - set(range(len(self.label_names))):
                raise ShapeError(
                    f"class id {min(wrong)} has no name: expected 0 to {len(self.label_names) - 1} "
                    f"for the label names {self.label_names}"
                )

        if self.words is not None and self.labels is not None:
            for words, labels in zip(self.words, cast("list[list[int]]", self.labels), strict=True):
                if len(words) != len(labels):
                    raise ShapeError(
                        f"{len(words)} words but {len(labels)} labels: expected one for each word"
                    )

    def __len__(self) -> int:
        return len(self.texts)

    def _class_ids(self) -> set[int]:
        if self.word_labels or self.multi_label:
            return {label for labels in cast("list[list[int]]", self.labels) for label in labels}
        return set(cast("list[int]", self.labels or []))

    @property
    def labelled(self) -> bool:
        """Whether it is known what is right, and not only what a black box says."""
        return self.labels is not None or self.answers is not None

    @property
    def regression(self) -> bool:
        """Whether the labels are numbers to predict."""
        return self.labels is not None and self.label_names is None

    @property
    def word_labels(self) -> bool:
        """Whether each word has a label."""
        return self.words is not None

    @property
    def multi_label(self) -> bool:
        """Whether a text has any number of labels."""
        return (
            self.words is None and bool(self.labels) and isinstance(cast("list[Any]", self.labels)[0], list)
        )

    def label_array(self) -> npt.NDArray[Any]:
        """The labels as metrics read them.

        Returns:
            (N,) class ids or numbers; (N, W) class ids of words, -100 behind the last; or (N, C), 1 for each
            of several labels that a text has and 0 for the others. Of questions (N,) lists of the answers'
            texts.

        Raises:
            ShapeError: there are no labels.
        """
        if self.answers is not None:
            texts = np.empty(len(self), dtype=object)
            for place, answers in enumerate(self.answers):
                texts[place] = [answer.text for answer in answers]
            return texts
        if self.labels is None:
            raise ShapeError("the examples have no labels: expected labelled ones")
        if self.word_labels:
            rows = cast("list[list[int]]", self.labels)
            words = np.full((len(rows), max(map(len, rows))), UNLABELLED, dtype=np.int64)
            for row, labels in zip(words, rows, strict=True):
                row[: len(labels)] = labels
            return words
        if self.multi_label:
            assert self.label_names is not None
            chosen = np.zeros((len(self), len(self.label_names)), dtype=np.int64)
            for row, labels in zip(chosen, cast("list[list[int]]", self.labels), strict=True):
                row[labels] = 1
            return chosen
        return np.asarray(self.labels)

    def draw(self, count: int, *, seed: int) -> Examples:
        """A random sample of ``count`` examples without replacement, in order; all if there are fewer."""
        if count >= len(self):
            return self
        return self.take(sorted(random.Random(seed).sample(range(len(self)), count)))

    def take(self, rows: Sequence[int]) -> Examples:
        """The examples at these places, in this order."""
        return Examples(
            texts=[self.texts[row] for row in rows],
            text_pairs=None if self.text_pairs is None else [self.text_pairs[row] for row in rows],
            labels=None if self.labels is None else cast("list[int]", [self.labels[row] for row in rows]),
            label_names=self.label_names,
            words=None if self.words is None else [self.words[row] for row in rows],
            soft_labels=None if self.soft_labels is None else [self.soft_labels[row] for row in rows],
            answers=None if self.answers is None else [self.answers[row] for row in rows],
            groups=None if self.groups is None else [self.groups[row] for row in rows],
        )

    def save(self, path: Path) -> None:
        """Write a parquet file; ``path`` holds either what it held before or the whole new file."""
        columns = {"text": pa.array(self.texts, pa.string())}
        if self.text_pairs is not None:
            columns["text_pair"] = pa.array(self.text_pairs, pa.string())
        if self.labels is not None:
            kind = pa.float64() if self.regression else pa.int64()
            listed = self.word_labels or self.multi_label
            columns["label"] = pa.array(self.labels, pa.list_(kind) if listed else kind)
        if self.words is not None:
            columns["words"] = pa.array(self.words, pa.list_(pa.string()))
        if self.soft_labels is not None:
            columns["soft_label"] = pa.array(self.soft_labels, pa.list_(pa.float64()))
        if self.answers is not None:
            rows = [[answer._asdict() for answer in answers] for answers in self.answers]
            columns["answers"] = pa.array(rows, _ANSWERS)
        if self.groups is not None:
            columns["group"] = pa.array(self.groups, pa.string())
        table = pa.table(columns).replace_schema_metadata({LABEL_NAMES_KEY: json.dumps(self.label_names)})
        with whole_file(path) as partial:
            pq.write_table(table, partial)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            DataError: no such file, or one that ``save`` did not write.
        """
        try:
            with pq.ParquetFile(path) as file:
                table = file.read()
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read as saved examples: {error}") from error
        metadata = table.schema.metadata or {}
        if LABEL_NAMES_KEY not in metadata:
            raise DataError(
                f"{path} was not written by Examples.save: read a data set of your own with read_examples"
            )
        columns = table.to_pydict()
        answers = columns.get("answers")
        return cls(
            texts=columns["text"],
            text_pairs=columns.get("text_pair"),
            labels=columns.get("label"),
            label_names=json.loads(metadata[LABEL_NAMES_KEY]),
            words=columns.get("words"),
            soft_labels=columns.get("soft_label"),
            answers=answers and [[Answer(**answer) for answer in row] for row in answers],
            groups=columns.get("group"),
        )
