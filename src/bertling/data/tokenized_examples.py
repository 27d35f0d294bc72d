"""Examples as token ids, whatever kind of labels they have."""

from __future__ import annotations

from typing import cast

from transformers import PreTrainedTokenizerBase

from bertling.data.answer_tokenization import tokenize_questions
from bertling.data.examples import Examples
from bertling.data.tokenization import TokenizedTexts, tokenize
from bertling.data.word_tokenization import tokenize_words


def tokenize_examples(
    tokenizer: PreTrainedTokenizerBase,
    examples: Examples,
    *,
    max_length_tokens: int,
    stride_tokens: int | None = None,
    apart: bool = False,
) -> TokenizedTexts:
    """Tokenise examples with their labels; longer ones are cut, pairs at the longer of the two texts.

    Questions are not cut: windows of their contexts that share ``stride_tokens`` are rows of their own. The
    texts of pairs that are encoded ``apart``, as for sentence embeddings, have the limit each for itself.

    Raises:
        DataError: as `tokenize`, `tokenize_words` and `tokenize_questions` do.
    """
    if examples.answers is not None:
        assert examples.text_pairs is not None
        return tokenize_questions(
            tokenizer,
            examples.texts,
            examples.text_pairs,
            answers=examples.answers,
            max_length_tokens=max_length_tokens,
            stride_tokens=stride_tokens,
        )
    if examples.words is not None:
        return tokenize_words(
            tokenizer,
            examples.words,
            labels=cast("list[list[int]] | None", examples.labels),
            max_length_tokens=max_length_tokens,
        )
    labels = cast("list[int] | list[float] | None", examples.labels)
    if apart:
        assert examples.text_pairs is not None
        texts = [text for pair in zip(examples.texts, examples.text_pairs, strict=True) for text in pair]
        return tokenize(tokenizer, texts, max_length_tokens=max_length_tokens).in_pairs(labels)
    return tokenize(
        tokenizer,
        examples.texts,
        examples.text_pairs,
        labels=examples.label_array() if examples.multi_label else labels,
        max_length_tokens=max_length_tokens,
    )
