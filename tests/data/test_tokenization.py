from __future__ import annotations

import io
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from tests import tiny
from transformers import BertTokenizer, PreTrainedTokenizerBase

from bertling.data import pieces
from bertling.data.tokenization import JoinedTexts, TokenizedTexts, TokenRows, tokenize, tokenize_corpus
from bertling.errors import DataError

CLS, SEP = 2, 3
TEXTS = ["w0", "w1 w2 w3 w4 w5 w6", "w7x8 w9", "", "nothing-known w1"]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return tiny.tokenizer()


def rows(texts: TokenRows, name: str = "input_ids") -> list[list[int]]:
    return [texts[index][name].tolist() for index in range(len(texts))]


def test_ids_are_those_of_the_tokenizer(tokenizer: PreTrainedTokenizerBase) -> None:
    got = tokenize(tokenizer, TEXTS)
    assert rows(got) == [tokenizer(text)["input_ids"] for text in TEXTS]
    assert got.lengths.tolist() == [3, 8, 5, 2, 6]
    assert len(got) == 5
    assert got.truncated == 0
    assert got.labels is None
    assert got[0].keys() == {"input_ids"}
    assert got[0]["input_ids"].dtype == np.uint16


@pytest.mark.parametrize(("entries", "dtype"), [(65_536, np.uint16), (65_537, np.int32)])
def test_ids_are_kept_in_the_smallest_type_that_holds_them_all(entries: int, dtype: type) -> None:
    vocabulary = {f"w{number}": number for number in range(5, entries)}
    vocabulary |= {"[PAD]": 0, "[UNK]": 1, "[CLS]": CLS, "[SEP]": SEP, "[MASK]": 4}
    made: PreTrainedTokenizerBase = BertTokenizer(vocab=vocabulary)
    for texts in (
        tokenize(made, [f"w{entries - 1} w5"]),
        tokenize_corpus(made, [f"w{entries - 1} w5"]),
    ):
        assert rows(texts) == [[CLS, entries - 1, 5, SEP]]
        assert texts[0]["input_ids"].dtype == dtype


def test_longer_texts_are_cut_and_counted(tokenizer: PreTrainedTokenizerBase) -> None:
    got = tokenize(tokenizer, TEXTS, max_length_tokens=5)
    assert rows(got)[1] == [CLS, 6, 7, 8, SEP]
    assert got.lengths.tolist() == [3, 5, 5, 2, 5]
    # The third has exactly five tokens.
    assert got.truncated == 2


def test_pairs_have_segments(tokenizer: PreTrainedTokenizerBase) -> None:
    got = tokenize(tokenizer, ["w0 w1", "w2"], ["w3", "w4 w5"])
    assert rows(got) == [[CLS, 5, 6, SEP, 8, SEP], [CLS, 7, SEP, 9, 10, SEP]]
    assert rows(got, "token_type_ids") == [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]]


def test_pairs_are_cut_at_the_longer_text(tokenizer: PreTrainedTokenizerBase) -> None:
    got = tokenize(tokenizer, ["w0 w1 w2 w3", "w0"], ["w4", "w1 w2 w3 w4"], max_length_tokens=6)
    assert rows(got) == [[CLS, 5, 6, SEP, 9, SEP], [CLS, 5, SEP, 6, 7, SEP]]
    assert rows(got, "token_type_ids") == [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]]
    assert got.truncated == 2
    assert tokenize(tokenizer, ["w0 w1"], ["w4"], max_length_tokens=6).truncated == 0


def test_pairs_without_segments_where_the_model_has_none(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "model_input_names", ["input_ids", "attention_mask"])
    got = tokenize(tokenizer, ["w0"], ["w1"])
    assert got[0].keys() == {"input_ids"}
    assert rows(got) == [[CLS, 5, SEP, 6, SEP]]


@pytest.mark.parametrize(
    ("labels", "dtype"), [([1, 0, 2], np.int64), ([1.0, 0.5, 2.0], np.float32), ([1, 0.5, 2], np.float32)]
)
def test_class_ids_are_integers_and_numbers_are_floats(
    tokenizer: PreTrainedTokenizerBase, labels: list[float], dtype: type
) -> None:
    got = tokenize(tokenizer, TEXTS[:3], labels=labels)
    assert got.labels is not None
    assert got.labels.dtype == dtype
    assert [got[index]["labels"] for index in range(3)] == labels


def test_texts_are_read_in_chunks_without_a_seam(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = TEXTS[::-1]
    whole = tokenize(tokenizer, TEXTS, pairs, labels=[0, 1, 2, 3, 4], max_length_tokens=7)
    corpus = tokenize_corpus(tokenizer, TEXTS, max_length_tokens=5)
    monkeypatch.setattr(pieces, "_CHUNK_TEXTS", 2)
    parts = tokenize(tokenizer, TEXTS, pairs, labels=[0, 1, 2, 3, 4], max_length_tokens=7)
    assert rows(parts) == rows(whole)
    assert rows(parts, "token_type_ids") == rows(whole, "token_type_ids")
    assert parts.truncated == whole.truncated
    assert rows(tokenize_corpus(tokenizer, TEXTS, max_length_tokens=5)) == rows(corpus)


def test_a_tokenizer_gets_few_characters_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_CHUNK_TEXTS", 3)
    monkeypatch.setattr(pieces, "_CHUNK_CHARACTERS", 5)
    texts = ["a", "b", "c", "d", "eeee", "f", "g" * 50, "", "", "", ""]
    assert list(pieces.chunks(texts)) == [["a", "b", "c"], ["d", "eeee"], ["f", "g" * 50], [""] * 3, [""]]


@pytest.mark.parametrize("limit", [3, 4, 5, 9, 128])
def test_corpus_blocks_lose_no_token_and_keep_to_the_limit(
    tokenizer: PreTrainedTokenizerBase, limit: int
) -> None:
    words = [f"w{number * 7 % 98}x{number}" for number in range(30)]
    texts = [" ".join(words[:count]) for count in range(30)]
    blocks = rows(tokenize_corpus(tokenizer, iter(texts), max_length_tokens=limit))
    assert all(block[0] == CLS and block[-1] == SEP and 3 <= len(block) <= limit for block in blocks)
    expected = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    assert list(chain.from_iterable(block[1:-1] for block in blocks)) == list(chain.from_iterable(expected))
    # A text begins a block of its own and fills all but its last.
    room = limit - 2
    assert len(blocks) == sum(-(-len(row) // room) for row in expected)


def test_corpus_texts_without_a_token_give_no_block(tokenizer: PreTrainedTokenizerBase) -> None:
    assert rows(tokenize_corpus(tokenizer, ["", "w0", " \t"])) == [[CLS, 5, SEP]]


def test_a_corpus_comes_back_mapped_from_disk(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    made = tokenize_corpus(tokenizer, TEXTS, max_length_tokens=4)
    made.save(tmp_path / "a" / "corpus")
    loaded = TokenizedTexts.load(tmp_path / "a" / "corpus")
    assert rows(loaded) == rows(made)
    assert loaded.lengths.tolist() == made.lengths.tolist()
    assert isinstance(loaded[0]["input_ids"].base.base, np.memmap)
    assert not loaded.packed


# Three pieces in two blocks.
PACKED = (np.asarray([CLS, 7, SEP, CLS, 8, 9, SEP, CLS, SEP], dtype=np.uint16), np.asarray([0, 3, 7, 9]))


def packed() -> TokenizedTexts:
    return TokenizedTexts(*PACKED, blocks=np.asarray([0, 2, 3]))


def test_a_packed_row_is_a_block_of_several_pieces(tmp_path: Path) -> None:
    packed().save(tmp_path / "corpus")
    for texts in (packed(), TokenizedTexts.load(tmp_path / "corpus")):
        assert texts.packed
        assert len(texts) == 2
        assert texts.lengths.tolist() == [7, 2]
        assert rows(texts) == [[CLS, 7, SEP, CLS, 8, 9, SEP], [CLS, SEP]]
        assert rows(texts, "piece_lengths") == [[3, 4], [2]]
        assert texts[0]["piece_lengths"].dtype == np.int64
    assert "piece_lengths" not in TokenizedTexts(*PACKED)[0]


@pytest.mark.parametrize("index", [-1, 2, 5])
def test_a_row_that_is_not_there_is_an_index_error(index: int) -> None:
    for texts in (packed(), JoinedTexts([packed()])):
        with pytest.raises(IndexError, match=f"row {index} of 2 rows"):
            texts[index]
        assert len(list(cast(Any, texts))) == 2


@pytest.mark.parametrize("name", ["tokens", "starts", "blocks"])
def test_arrays_that_are_cut_off_are_not_loaded(tmp_path: Path, name: str) -> None:
    packed().save(tmp_path / "corpus")
    file = tmp_path / "corpus" / f"{name}.npy"
    whole = file.read_bytes()
    for length in (0, 60, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(DataError, match="cannot be read"):
            TokenizedTexts.load(tmp_path / "corpus")
    np.save(file, np.load(io.BytesIO(whole))[:-1])
    with pytest.raises(DataError, match="do not belong together"):
        TokenizedTexts.load(tmp_path / "corpus")


def test_a_missing_array_is_a_data_error(tmp_path: Path) -> None:
    packed().save(tmp_path / "corpus")
    (tmp_path / "corpus" / "starts.npy").unlink()
    with pytest.raises(DataError, match="delete the folder and tokenise again"):
        TokenizedTexts.load(tmp_path / "corpus")


def test_joined_texts_are_all_rows_one_after_the_other(tokenizer: PreTrainedTokenizerBase) -> None:
    empty = TokenizedTexts(np.zeros(0, np.uint16), np.zeros(1, np.int64))
    parts: list[TokenRows] = [
        empty,
        tokenize(tokenizer, TEXTS, max_length_tokens=5),
        empty,
        tokenize_corpus(tokenizer, TEXTS, max_length_tokens=4),
        tokenize(tokenizer, ["w1"]),
        empty,
    ]
    joined = JoinedTexts(parts)
    assert rows(joined) == [row for part in parts for row in rows(part)]
    assert len(joined) == len(rows(joined)) == 14
    assert joined.lengths.tolist() == [len(row) for row in rows(joined)]
    assert joined.truncated == 2
    assert joined.labels is None
    assert not joined.packed
    assert rows(JoinedTexts([joined, parts[1]])) == rows(joined) + rows(parts[1])


def test_joined_blocks_are_blocks() -> None:
    joined = JoinedTexts([packed(), packed()])
    assert joined.packed
    assert rows(joined) == rows(packed()) * 2
    assert rows(joined, "piece_lengths") == [[3, 4], [2], [3, 4], [2]]


def test_labels_are_kept_where_all_parts_have_some(tokenizer: PreTrainedTokenizerBase) -> None:
    first = tokenize(tokenizer, TEXTS[:2], labels=[1, 0])
    second = tokenize(tokenizer, TEXTS[2:4], labels=[2, 1])
    joined = JoinedTexts([first, second])
    assert joined.labels is not None
    assert joined.labels.tolist() == [1, 0, 2, 1]
    assert [joined[index]["labels"] for index in range(4)] == [1, 0, 2, 1]
    unlabelled = JoinedTexts([first, tokenize_corpus(tokenizer, TEXTS)])
    assert unlabelled.labels is None
    assert all("labels" not in unlabelled[index] for index in range(len(unlabelled)))
    assert "labels" in first[0]


def test_segments_are_joined(tokenizer: PreTrainedTokenizerBase) -> None:
    pairs = tokenize(tokenizer, ["w0 w1"], ["w3"])
    joined = JoinedTexts([pairs, pairs])
    assert joined.segmented
    assert rows(joined, "token_type_ids") == [[0, 0, 0, 0, 1, 1]] * 2


def test_parts_that_do_not_fit_together_are_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    texts = tokenize(tokenizer, TEXTS)
    with pytest.raises(DataError, match=r"of 2 sets of texts only some are packed \(set 2\)"):
        JoinedTexts([texts, packed()])
    with pytest.raises(DataError, match=r"only some are segmented \(set 1\)"):
        JoinedTexts([tokenize(tokenizer, ["w0"], ["w1"]), texts])
    with pytest.raises(DataError, match="at least one set"):
        JoinedTexts([])


Call = Callable[[PreTrainedTokenizerBase], object]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: tokenize(t, []), "no texts to tokenise"),
        (lambda t: tokenize(t, ["w0", "w1"], ["w2"]), "2 texts but 1 second texts"),
        (lambda t: tokenize(t, ["w0"], labels=[1, 2]), "1 texts but 2 labels"),
        (lambda t: tokenize(t, ["w0 w1"], max_length_tokens=2), "2 leaves no room beside 2 special tokens"),
        (lambda t: tokenize(t, ["w0"], ["w1"], max_length_tokens=3), "expected at least 4"),
        (lambda t: tokenize_corpus(t, ["w0"], max_length_tokens=1), "expected at least 3"),
        (lambda t: tokenize_corpus(t, []), "corpus holds no text"),
        (lambda t: tokenize_corpus(t, ["", "  "]), "corpus holds no text"),
    ],
)
def test_what_cannot_be_tokenised_is_refused(
    tokenizer: PreTrainedTokenizerBase, call: Call, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        call(tokenizer)
