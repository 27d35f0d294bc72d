"""Pairs whose texts are encoded apart: a row of tokens for both, a row of a batch for each."""

from __future__ import annotations

import pytest
from tests import tiny

from bertling.data.collation import PadToLongest, calibration_batches
from bertling.data.examples import Examples
from bertling.data.tokenization import JoinedTexts, tokenize_corpus
from bertling.data.tokenized_examples import tokenize_examples

EXAMPLES = Examples(["w1 w2 w3", "w4"], ["w5", "w6 w7"], [2.5, 4.0], None)
FIRST = [[2, 6, 7, 8, 3], [2, 10, 3], [2, 9, 3], [2, 11, 12, 3]]
"""the four texts, each between [CLS] and [SEP]"""


def test_both_texts_of_a_pair_stand_in_its_row_each_with_its_own_special_tokens() -> None:
    rows = tokenize_examples(tiny.tokenizer(), EXAMPLES, max_length_tokens=8, apart=True)
    assert rows.apart
    assert not rows.packed
    assert not rows.segmented
    assert len(rows) == 2
    assert rows[0]["input_ids"].tolist() == FIRST[0] + FIRST[1]
    assert rows[0]["text_lengths"].tolist() == [5, 3]
    assert rows[1]["labels"] == 4.0
    assert rows.lengths.tolist() == [8, 7]
    assert rows.text_lengths.tolist() == [5, 3, 3, 4]


def test_each_text_has_the_limit_for_itself() -> None:
    rows = tokenize_examples(tiny.tokenizer(), EXAMPLES, max_length_tokens=4, apart=True)
    assert rows.text_lengths.tolist() == [4, 3, 3, 4]
    assert rows.truncated == 1


def test_a_batch_has_a_row_for_each_text_and_a_label_for_each_pair() -> None:
    rows = tokenize_examples(tiny.tokenizer(), EXAMPLES, max_length_tokens=8, apart=True)
    items = [{**rows[0], "example_weight": 1.0}, {**rows[1], "example_weight": 0.0}]
    batch = PadToLongest(tiny.tokenizer())(items)
    assert batch["input_ids"].tolist() == [row + [0] * (5 - len(row)) for row in FIRST]
    assert batch["attention_mask"].sum(1).tolist() == [5, 3, 3, 4]
    assert batch["labels"].tolist() == [2.5, 4.0]
    assert batch["example_weight"].tolist() == [1.0, 1.0, 0.0, 0.0]


def test_single_texts_may_stand_beside_pairs_and_leave_them_without_labels() -> None:
    pairs = tokenize_examples(tiny.tokenizer(), EXAMPLES, max_length_tokens=8, apart=True)
    joined = JoinedTexts([pairs, tokenize_corpus(tiny.tokenizer(), ["w8 w9"], max_length_tokens=8)])
    assert joined.apart
    batch = PadToLongest(tiny.tokenizer())([{**joined[row], "example_weight": 1.0} for row in (2, 0)])
    assert batch["input_ids"].tolist() == [[2, 13, 14, 3, 0], FIRST[0], [*FIRST[1], 0, 0]]
    assert batch["example_weight"].tolist() == [1.0, 1.0, 1.0]
    assert "labels" not in batch


@pytest.mark.parametrize("count", [1, 2])
def test_calibration_reads_both_texts_of_a_pair(count: int) -> None:
    rows = tokenize_examples(tiny.tokenizer(), EXAMPLES, max_length_tokens=8, apart=True)
    (batch,) = calibration_batches(rows, tiny.tokenizer(), count=count)
    assert batch["input_ids"].shape == (2 * count, 5)
    assert batch.keys() == {"input_ids", "attention_mask"}
