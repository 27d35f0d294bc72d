"""Labels of words: CoNLL files and columns of lists, and which token carries a word's label."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests import tiny

from bertling.data.collation import PadToLongest
from bertling.data.examples import Examples
from bertling.data.loading import read_examples
from bertling.data.tokenization import JoinedTexts
from bertling.data.tokenized_examples import tokenize_examples
from bertling.data.word_tokenization import tokenize_words
from bertling.errors import DataError, ShapeError
from bertling.tasks import Task

TASK = Task("chunks", "words", label="labels", metric="chunk_f1", word_labels=True)
CONLL = """w1 N B-A
w2 V I-A
w3 N O

-DOCSTART- -X- O

w4\tN  B-A


w5 V O
"""


def conll(folder: Path, text: str = CONLL) -> Path:
    path = folder / "sentences.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_conll_columns_are_sentences_with_the_first_column_as_words_and_the_last_as_labels(
    tmp_path: Path,
) -> None:
    read = read_examples(conll(tmp_path), TASK)
    assert read.words == [["w1", "w2", "w3"], ["w4"], ["w5"]]
    assert read.label_names == ["B-A", "I-A", "O"]
    assert read.labels == [[0, 1, 2], [0], [2]]
    assert read.texts == ["w1 w2 w3", "w4", "w5"]
    assert read.word_labels


def test_conll_columns_are_chosen_by_number(tmp_path: Path) -> None:
    speech = Task("speech", "1", label="2", word_labels=True)
    assert read_examples(conll(tmp_path), speech).label_names == ["N", "V"]
    with pytest.raises(DataError, match=r"no column '4'.*Give 1 to 3"):
        read_examples(conll(tmp_path), Task("speech", "1", label="4", word_labels=True))


def test_lines_with_other_columns_are_refused_with_their_numbers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 columns: line 2"):
        read_examples(conll(tmp_path, "w1 N O\nw2 N\n\nw3 N B-A\n"), TASK)
    with pytest.raises(DataError, match="a single column"):
        read_examples(conll(tmp_path, "w1\nw2\n"), TASK)


def test_lists_in_jsonl_are_read_with_labels_as_words_or_numbers(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"words": ["w1", "w2"], "labels": [1, 0]}, {"words": ["w3"], "labels": [1]}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = read_examples(path, TASK)
    assert read.label_names == ["0", "1"]
    assert read.labels == [[1, 0], [1]]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"words": ["w1", "w2"], "labels": ["O"]}, "2 words but 1 labels"),
        ({"words": [], "labels": []}, "'words' is empty"),
        ({"words": "w1", "labels": ["O"]}, "'words' is no list"),
        ({"words": ["w1"], "labels": None}, "'labels' is missing"),
        ({"words": [" "], "labels": ["O"]}, "empty word"),
        ({"words": ["w1"], "labels": [None]}, "empty label"),
    ],
)
def test_rows_that_are_no_labelled_words_are_refused(
    tmp_path: Path, row: dict[str, object], problem: str
) -> None:
    path = tmp_path / "rows.jsonl"
    good = {"words": ["w1", "w2"], "labels": ["O", "B-A"]}
    path.write_text("".join(json.dumps(entry) + "\n" for entry in (good, row)))
    with pytest.raises(DataError, match=rf"{problem}.*: line 2"):
        read_examples(path, TASK)


def test_a_label_that_the_training_set_does_not_have_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"unknown label 'I-A': line 1"):
        read_examples(conll(tmp_path), TASK, label_names=["B-A", "O"])


def test_saved_examples_come_back_with_words_and_labels(tmp_path: Path) -> None:
    read = read_examples(conll(tmp_path), TASK)
    read.save(tmp_path / "saved.parquet")
    assert Examples.load(tmp_path / "saved.parquet") == read
    assert read.take([2, 0]).words == [["w5"], ["w1", "w2", "w3"]]


def test_words_and_labels_of_other_numbers_are_refused() -> None:
    with pytest.raises(ShapeError, match="2 words but 1 labels"):
        Examples(["w1 w2"], None, [[0]], ["a", "b"], [["w1", "w2"]])


def test_the_label_array_is_padded_behind_the_last_word(tmp_path: Path) -> None:
    read = read_examples(conll(tmp_path), TASK)
    assert read.label_array().tolist() == [[0, 1, 2], [0, -100, -100], [2, -100, -100]]


def test_a_words_label_stands_at_its_first_piece_alone() -> None:
    # "w1x0" is one word of two pieces, w1 and ##x0
    rows = tokenize_words(tiny.tokenizer(), [["w1x0", "w2"], ["w3"]], labels=[[1, 0], [1]])
    assert rows[0]["labels"].tolist() == [-100, 1, -100, 0, -100]
    assert rows[0]["word_starts"].tolist() == [-1, 0, -1, 1, -1]
    batch = PadToLongest(tiny.tokenizer())([rows[0], rows[1]])
    assert batch["labels"].tolist() == [[-100, 1, -100, 0, -100], [-100, 1, -100, -100, -100]]
    assert batch["input_ids"].shape == (2, 5)


def test_long_texts_are_cut_and_counted_and_their_words_still_counted() -> None:
    rows = tokenize_words(
        tiny.tokenizer(), [["w1", "w2", "w3", "w4"], ["w5"]], labels=[[0, 1, 0, 1], [1]], max_length_tokens=4
    )
    assert rows.truncated == 1
    assert rows[0]["labels"].tolist() == [-100, 0, 1, -100]
    assert rows.word_counts is not None
    assert rows.word_counts.tolist() == [4, 1]


def test_joined_sets_keep_the_labels_of_their_tokens() -> None:
    parts = [
        tokenize_words(tiny.tokenizer(), [["w1"]], labels=[[0]]),
        tokenize_words(tiny.tokenizer(), [["w2", "w3"]], labels=[[1, 0]]),
    ]
    joined = JoinedTexts(parts)
    assert joined[1]["labels"].tolist() == [-100, 1, 0, -100]
    assert joined.word_counts is not None
    assert joined.word_counts.tolist() == [1, 2]


def test_examples_are_tokenised_by_their_kind_of_labels() -> None:
    words = Examples(["w1x0"], None, [[1]], ["a", "b"], [["w1x0"]])
    several = Examples(["w1", "w2"], None, [[0, 2], []], ["a", "b", "c"])
    tokens = tokenize_examples(tiny.tokenizer(), words, max_length_tokens=8)
    assert tokens[0]["labels"].tolist() == [-100, 1, -100, -100]
    tokens = tokenize_examples(tiny.tokenizer(), several, max_length_tokens=8)
    batch = PadToLongest(tiny.tokenizer())([tokens[0], tokens[1]])
    assert batch["labels"].tolist() == [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    assert batch["labels"].is_floating_point()


def test_real_chunks_are_read_and_every_word_has_its_label(shared_data: Path) -> None:
    read = read_examples(
        shared_data / "chunking" / "test.txt", Task("c", "words", label="labels", word_labels=True)
    )
    assert len(read) == 2012
    tags = read.label_array()
    assert int((tags >= 0).sum()) == 47377
    assert read.label_names is not None
    assert int((tags == read.label_names.index("B-NP")).sum()) == 12422
    assert np.asarray([len(words) for words in read.words or []]).sum() == 47377
