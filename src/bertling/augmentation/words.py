"""Words of a text and the word pieces that stand for them, as a fast tokenizer sees both."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import groupby
from typing import NamedTuple
from unicodedata import category

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from bertling.errors import DataError

# What tokenizers split off contractions ("it's", "they'll", "did n't") is no content word, nor in the list.
_CONTRACTED = ("d", "ll", "m", "n", "re", "s", "t", "ve")

ENGLISH: frozenset[str] = frozenset(ENGLISH_STOP_WORDS).union(_CONTRACTED)
"""Stop words, lower-cased: scikit-learn's list, and the parts that tokenizers split off contractions."""


class Word(NamedTuple):
    """A word of a text.

    Attributes:
        start, end: its characters in the text.
        token: index of its first piece in the encoded text, special tokens included.
        pieces: how many pieces it has.
    """

    start: int
    end: int
    token: int
    pieces: int


class EncodedText(NamedTuple):
    """The token ids of a text, special tokens included, and its words in order."""

    ids: list[int]
    words: list[Word]


def find_words(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, max_length_tokens: int
) -> list[list[Word]]:
    """The words of each text; see `encode_words`."""
    encoded = encode_words(tokenizer, texts, max_length_tokens=max_length_tokens)
    return [text.words for text in encoded]


def encode_words(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, max_length_tokens: int
) -> list[EncodedText]:
    """Tokenise texts, and say where their words are.

    What is one word is the tokenizer's own affair ("don't" may be one, two or three), but for what is at its
    ends: leading and trailing characters that are neither letters nor digits, and pieces of nothing else,
    are no part of it. Words without any letter (numbers, punctuation), special tokens written out in a text,
    and words that do not lie wholly within the limit are left out.

    Args:
        tokenizer: a fast tokenizer of any kind: WordPiece, byte-level BPE or SentencePiece.
        texts: N texts; an empty one has no words.
        max_length_tokens: special tokens included; longer texts are cut.

    Raises:
        DataError: the limit leaves no room beside the special tokens.
    """
    specials = tokenizer.num_special_tokens_to_add(pair=False)
    if max_length_tokens <= specials:
        raise DataError(
            f"max_length_tokens {max_length_tokens} leaves no room beside {specials} special tokens; "
            f"expected at least {specials + 1}"
        )
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        truncation=True,
        max_length=max_length_tokens,
        return_token_type_ids=False,
        return_attention_mask=False,
    )
    # A word that the tokenizer does not know is a word all the same.
    written_out = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    return [
        EncodedText(encoding.ids, _words(text, encoding, written_out))
        for text, encoding in zip(texts, encoded.encodings, strict=True)
    ]


def is_word(text: str) -> bool:
    """Whether ``text`` is made of letters, with their marks and with single apostrophes or hyphens inside."""
    if text.isalpha():
        return True
    return all(
        part[:1].isalpha() and all(character.isalpha() or _is_mark(character) for character in part)
        for part in re.split("['’-]", text)  # noqa: RUF001
    )


def _words(text: str, encoding: Encoding, written_out: Collection[int]) -> list[Word]:
    ids, offsets = encoding.ids, encoding.offsets
    cut = {word for part in encoding.overflowing for word in part.word_ids}
    words = []
    for word, tokens in groupby(enumerate(encoding.word_ids), key=lambda token: token[1]):
        pieces = [token for token, _ in tokens]
        if word is None or word in cut or ids[pieces[0]] in written_out:
            continue
        start, end = _without_punctuation(text, offsets[pieces[0]][0], offsets[pieces[-1]][1])
        if not any(character.isalpha() for character in text[start:end]):
            continue
        inside = [piece for piece in pieces if offsets[piece][0] < end and offsets[piece][1] > start]
        words.append(Word(start, end, inside[0], len(inside)))
    return words


def _without_punctuation(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and not text[start].isalnum():
        start += 1
    while start < end and not (text[end - 1].isalnum() or _is_mark(text[end - 1])):
        end -= 1
    # Tokenizers that strip accents leave a combining one outside; it must not stay behind on another word.
    while start < end < len(text) and _is_mark(text[end]):
        end += 1
    return start, end


def _is_mark(character: str) -> bool:
    return character > "\x7f" and category(character).startswith("M")
