from __future__ import annotations

import random

import pytest
from tests.augmentation import toy
from transformers import PreTrainedTokenizerBase

from bertling.augmentation.words import ENGLISH, Word, encode_words, find_words, is_word
from bertling.errors import DataError

every_kind = pytest.mark.parametrize("kind", toy.KINDS)
LONG = 64


def written(
    tokenizer: PreTrainedTokenizerBase, text: str, *, max_length_tokens: int = LONG
) -> list[tuple[str, int]]:
    """The words of one text as it has them, and how many pieces each has."""
    [words] = find_words(tokenizer, [text], max_length_tokens=max_length_tokens)
    return [(text[word.start : word.end], word.pieces) for word in words]


@every_kind
def test_words_come_without_the_punctuation_around_them(kind: str) -> None:
    text = 'film was not (truly) playful, "good" story!'
    pieces = 7 if kind == "byte-level" else 2
    assert written(toy.tokenizer(kind), text) == [
        ("film", 1),
        ("was", 1),
        ("not", 1),
        ("truly", 1),
        ("playful", pieces),
        ("good", 1),
        ("story", 1),
    ]


@every_kind
def test_a_word_names_its_first_piece(kind: str) -> None:
    tokenizer = toy.tokenizer(kind)
    text = "the film, (story) was playful"
    [encoded] = encode_words(tokenizer, [text], max_length_tokens=LONG)
    assert encoded.ids == tokenizer(text)["input_ids"]
    tokens = tokenizer.convert_ids_to_tokens(encoded.ids)
    first = [tokens[word.token].lstrip(toy.MARKS[kind]) for word in encoded.words]
    assert first[:4] == ["the", "film", "story", "was"]
    assert first[4] == ("p" if kind == "byte-level" else "play")


@pytest.mark.parametrize("trim_offsets", [True, False])
def test_the_space_that_byte_level_pieces_begin_with_is_no_part_of_a_word(trim_offsets: bool) -> None:
    tokenizer = toy.byte_level(trim_offsets=trim_offsets)
    [words] = find_words(tokenizer, ["film  was\tplayful café"], max_length_tokens=LONG)
    assert [(word.start, word.end) for word in words] == [(0, 4), (6, 9), (10, 17), (18, 22)]
    assert [word.pieces for word in words] == [1, 1, 7, 1]


@every_kind
@pytest.mark.parametrize("text", ["", " ", "...", "( - )", "3", "3 , 3 !", "'", "\u00a0", "_"])
def test_punctuation_numbers_and_nothing_are_no_words(kind: str, text: str) -> None:
    assert written(toy.tokenizer(kind), text) == []


@every_kind
def test_no_texts_give_no_lists(kind: str) -> None:
    assert find_words(toy.tokenizer(kind), [], max_length_tokens=LONG) == []


@every_kind
def test_words_with_a_digit_are_words(kind: str) -> None:
    # Byte-level BPE tells letters from digits.
    expected = ["a", "d", "film"] if kind == "byte-level" else ["a", "3d", "film"]
    assert [word for word, _ in written(toy.tokenizer(kind), "a 3d film")] == expected


def test_contractions_are_what_the_tokenizer_says_they_are() -> None:
    text = "o'clock"
    assert [word for word, _ in written(toy.wordpiece(), text)] == ["o", "clock"]
    assert written(toy.metaspace(), text) == [("o'clock", 1)]
    # The tokenizer's pattern splits off what may be a contraction with its apostrophe.
    assert [word for word, _ in written(toy.byte_level(), "film's")] == ["film", "s"]


@every_kind
def test_unknown_words_are_words(kind: str) -> None:
    assert [word for word, _ in written(toy.tokenizer(kind), "good Ωμέγα film")] == ["good", "Ωμέγα", "film"]


def test_case_and_accents_that_the_tokenizer_drops_stay_in_the_span() -> None:
    for text in ("The Café was good", "The Cafe\u0301 was good"):
        [_, word, *_] = written(toy.wordpiece(), text)
        assert word == (text.split()[1], 1)


@every_kind
def test_words_beyond_the_limit_are_left_out(kind: str) -> None:
    text = "good film was bad"
    tokenizer = toy.tokenizer(kind)
    assert [word for word, _ in written(tokenizer, text, max_length_tokens=6)] == text.split()
    assert [word for word, _ in written(tokenizer, text, max_length_tokens=5)] == ["good", "film", "was"]
    assert [word for word, _ in written(tokenizer, text, max_length_tokens=3)] == ["good"]


@every_kind
def test_a_word_that_the_limit_cuts_is_left_out(kind: str) -> None:
    assert [word for word, _ in written(toy.tokenizer(kind), "good playful", max_length_tokens=4)] == ["good"]


def test_a_word_that_the_limit_cuts_at_the_left_is_left_out() -> None:
    tokenizer = toy.wordpiece()
    tokenizer.truncation_side = "left"
    assert written(tokenizer, "good playful film", max_length_tokens=4) == [("film", 1)]


@every_kind
def test_special_tokens_written_out_are_no_words(kind: str) -> None:
    tokenizer = toy.tokenizer(kind)
    text = f"good {tokenizer.mask_token} film {tokenizer.sep_token}"
    assert [word for word, _ in written(tokenizer, text)] == ["good", "film"]


@every_kind
def test_a_limit_without_room_is_refused(kind: str) -> None:
    with pytest.raises(DataError, match="max_length_tokens 2 leaves no room beside 2 special tokens"):
        find_words(toy.tokenizer(kind), ["film"], max_length_tokens=2)


@every_kind
@pytest.mark.parametrize("seed", range(4))
def test_spans_are_in_order_and_begin_with_a_letter_or_digit_whatever_the_text(kind: str, seed: int) -> None:
    draw = random.Random(seed)
    alphabet = "aeé\u0301 \t\n.,'-_()[]3²½ßİ字कि😀\u200d\u00ad\u00a0Ω\ufb01\x00\u2581Ġ"
    texts = ["".join(draw.choices(alphabet, k=draw.randrange(30))) for _ in range(200)]
    encoded = encode_words(toy.tokenizer(kind), texts, max_length_tokens=20)
    for text, (ids, words) in zip(texts, encoded, strict=True):
        previous = Word(0, 0, 0, 1)
        for word in words:
            assert previous.end <= word.start < word.end <= len(text)
            assert previous.token + previous.pieces <= word.token
            assert word.token + word.pieces <= len(ids) - 1
            assert any(character.isalpha() for character in text[word.start : word.end])
            assert text[word.start].isalnum()
            assert text[word.end - 1] not in " \t\n.,'-_()[]\x00"
            previous = word


@pytest.mark.parametrize("word", ["film", "Café", "cafe\u0301", "o'clock", "o’clock", "far-off", "字", "कि"])  # noqa: RUF001
def test_letters_with_marks_and_inner_joints_make_words(word: str) -> None:
    assert is_word(word)


@pytest.mark.parametrize(
    "text", ["", "3", "3d", "don'", "'s", "-", "a--b", "a_b", "a b", "a.b", "\u0301a", "½", "<s>", "\ufffd"]
)
def test_nothing_else_makes_a_word(text: str) -> None:
    assert not is_word(text)


def test_the_stop_list_is_lower_case_and_covers_contractions() -> None:
    assert {"the", "was", "not", "they", "s", "t", "ll", "ve"} <= ENGLISH
    assert not {"film", "good", "story"} & ENGLISH
    assert all(word == word.lower() for word in ENGLISH)
