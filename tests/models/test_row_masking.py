from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests import tiny

from bertling.data.tokenization import TokenizedTexts
from bertling.errors import ModelError
from bertling.models.masking import RowMasking

TOKENIZER = tiny.tokenizer()
MASK = TOKENIZER.mask_token_id
LONG = {"input_ids": np.array([2, *range(5, 105), 3, 0], dtype=np.int32)}


def hidden(item: dict[str, Any] = LONG, *, row: int = 0, epoch: int = 0, seed: int = 0) -> dict[str, Any]:
    return RowMasking(TOKENIZER, seed=seed)(item, row=row, epoch=epoch)


def test_labels_are_the_tokens_that_stood_there_and_nothing_else_changes() -> None:
    before = LONG["input_ids"].copy()
    item = hidden()
    guessed = item["labels"] >= 0
    assert guessed.sum() == 15
    np.testing.assert_array_equal(item["labels"][guessed], before[guessed])
    np.testing.assert_array_equal(item["input_ids"][~guessed], before[~guessed])
    np.testing.assert_array_equal(LONG["input_ids"], before)
    assert not guessed[np.isin(before, TOKENIZER.all_special_ids)].any()


def test_it_is_a_function_of_seed_epoch_and_row() -> None:
    def pattern(row: int = 0, epoch: int = 0, seed: int = 0) -> list[int]:
        item = hidden(row=row, epoch=epoch, seed=seed)
        return [*item["input_ids"].tolist(), *item["labels"].tolist()]

    patterns = [pattern(), pattern(row=1), pattern(epoch=1), pattern(seed=1), pattern(row=1, epoch=1)]
    assert pattern() == patterns[0]
    assert len({tuple(one) for one in patterns}) == 5


def test_four_of_five_are_masked_one_of_ten_is_random_and_one_of_ten_stays() -> None:
    shown, stood = [], []
    for row in range(400):
        item = hidden(row=row)
        guessed = item["labels"] >= 0
        shown.append(item["input_ids"][guessed])
        stood.append(item["labels"][guessed])
    ids, targets = np.concatenate(shown), np.concatenate(stood)
    assert abs((ids == MASK).mean() - 0.8) < 0.02
    assert abs((ids == targets).mean() - 0.1) < 0.02
    others = ids[(ids != MASK) & (ids != targets)]
    assert not np.isin(others, TOKENIZER.all_special_ids).any()
    assert len(set(others.tolist())) > 150
    # all tokens are as likely
    counts = np.bincount(targets, minlength=105)[5:105]
    assert counts.min() > 30
    assert counts.max() < 100


@pytest.mark.parametrize(("words", "many"), [(1, 1), (3, 1), (9, 1), (10, 2), (20, 3)])
def test_short_texts_have_one(words: int, many: int) -> None:
    item = hidden({"input_ids": np.array([2, *range(5, 5 + words), 3])})
    assert (item["labels"] >= 0).sum() == many


def test_a_text_of_special_tokens_has_none() -> None:
    item = hidden({"input_ids": np.array([2, 3])})
    assert item["labels"].tolist() == [-100, -100]
    assert item["input_ids"].tolist() == [2, 3]


def test_each_text_of_a_packed_row_has_its_own() -> None:
    lengths = [4, 3, 30, 2]
    tokens = np.concatenate([[2, *range(5, 3 + length), 3] for length in lengths]).astype(np.int32)
    block = TokenizedTexts(tokens, np.cumsum([0, *lengths]), blocks=np.array([0, 4]))[0]
    item = hidden(block)
    parts = np.split(item["labels"] >= 0, np.cumsum(lengths)[:-1])
    assert [int(part.sum()) for part in parts] == [1, 1, 4, 0]
    assert item["piece_lengths"].tolist() == lengths


def test_a_tokenizer_without_a_mask_token_is_refused() -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.mask_token = None
    with pytest.raises(ModelError, match="has no mask token"):
        RowMasking(tokenizer, seed=0)
