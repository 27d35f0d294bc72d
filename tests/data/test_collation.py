from __future__ import annotations

import numpy as np
import pytest
import torch
from tests import tiny
from transformers import PreTrainedTokenizerFast

from bertling.data.collation import PadToLongest
from bertling.data.examples import UNLABELLED
from bertling.data.tokenization import tokenize
from bertling.errors import DataError


def test_examples_are_padded_to_the_longest() -> None:
    tokenizer = tiny.tokenizer()
    texts = tokenize(tokenizer, ["w0", "w1 w2 w3"], ["w4", "w5"], labels=[1, 0])
    batch = PadToLongest(tokenizer)([texts[0], texts[1]])
    assert {name: values.tolist() for name, values in batch.items()} == {
        "input_ids": [[2, 5, 3, 9, 3, 0, 0], [2, 6, 7, 8, 3, 10, 3]],
        "attention_mask": [[1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 1]],
        "token_type_ids": [[0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 1, 1]],
        "labels": [1, 0],
    }
    assert {values.dtype for values in batch.values()} == {torch.int64}


def test_the_padding_is_the_tokenizer_s() -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.pad_token = "w97"
    batch = PadToLongest(tokenizer)([{"input_ids": [7, 8]}, {"input_ids": np.asarray([9], dtype=np.int32)}])
    assert batch["input_ids"].tolist() == [[7, 8], [9, 102]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch.keys() == {"input_ids", "attention_mask"}


def test_a_padding_token_among_the_real_ones_is_attended_to() -> None:
    batch = PadToLongest(tiny.tokenizer())([{"input_ids": [2, 0, 3]}, {"input_ids": [2]}])
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("labels", "dtype"), [([np.float32(0.5), np.float32(2)], torch.float32), ([np.int64(1)] * 2, torch.int64)]
)
def test_labels_and_weights_are_one_an_example(labels: list[float], dtype: torch.dtype) -> None:
    examples = [
        {"input_ids": [2, 3], "labels": label, "example_weight": weight}
        for label, weight in zip(labels, (1.0, 0.0), strict=True)
    ]
    batch = PadToLongest(tiny.tokenizer())(examples)
    assert batch["labels"].dtype == dtype
    assert batch["labels"].tolist() == labels
    assert batch["example_weight"].tolist() == [1.0, 0.0]


def test_a_tokenizer_without_padding_is_refused() -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tiny.tokenizer().backend_tokenizer)
    with pytest.raises(DataError, match="has no padding token"):
        PadToLongest(tokenizer)


def test_packed_blocks_bring_what_keeps_their_texts_apart() -> None:
    examples = [
        {"input_ids": [2, 7, 3, 2, 3], "piece_lengths": [3, 2], "example_weight": 1.0},
        {"input_ids": [2, 8, 3], "piece_lengths": [3], "example_weight": 0.0},
    ]
    batch = PadToLongest(tiny.tokenizer())(examples)
    assert {name: values.tolist() for name, values in batch.items()} == {
        "input_ids": [[2, 7, 3, 2, 3], [2, 8, 3, 0, 0]],
        "attention_mask": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
        "piece_ids": [[1, 1, 1, 2, 2], [1, 1, 1, 0, 0]],
        "position_ids": [[0, 1, 2, 0, 1], [0, 1, 2, 0, 0]],
        "piece_tokens": [[0, 1, 2], [3, 4, -1], [5, 6, 7]],
        "example_weight": [1.0, 1.0, 0.0],
    }


def test_labels_of_tokens_are_padded_with_what_losses_leave_out() -> None:
    examples = [
        {"input_ids": [2, 7, 3], "labels": np.array([-100, 9, -100])},
        {"input_ids": [2, 3], "labels": np.array([4, 5])},
    ]
    batch = PadToLongest(tiny.tokenizer())(examples)
    assert batch["labels"].tolist() == [[-100, 9, -100], [4, 5, UNLABELLED]]


def test_labels_of_tokens_in_packed_blocks_are_those_of_their_texts() -> None:
    examples = [
        {"input_ids": [2, 7, 3, 2, 3], "piece_lengths": [3, 2], "labels": np.array([1, 2, 3, 4, 5])},
        {"input_ids": [2, 8, 3], "piece_lengths": [3], "labels": np.array([6, 7, 8])},
    ]
    batch = PadToLongest(tiny.tokenizer())(examples)
    assert batch["labels"].tolist() == [[1, 2, 3], [4, 5, UNLABELLED], [6, 7, 8]]
