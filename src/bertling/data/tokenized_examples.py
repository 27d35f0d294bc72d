"""Examples as token ids, whatever kind of labels they have."""

from __future__ import annotations

from typing import cast

from transformers import PreTrainedTokenizerBase

from bertling.data.examples import Examples
from bertling.data.tokenization import TokenizedTexts, tokenize
from bertling.data.word_tokenization import tokenize_words


def tokenize_examples(
    tokenizer: PreTrainedTokenizerBase, examples: Examples, *, max_length_tokens: int
) -> TokenizedTexts:
    """Tokenise examples with their labels; longer ones are cut, pairs at the longer of the two texts.

    Raises:
        DataError: as `tokenize` and `tokenize_words` do.
    """
    if examples.words is not None:
        return tokenize_words(
            tokenizer,
            examples.words,
            labels=cast("list[list[int]] | None", examples.labels),
            max_length_tokens=max_length_tokens,
        )
    labels = cast("list[int] | list[float] | None", examples.labels)
    return tokenize(
        tokenizer,
        examples.texts,
        examples.text_pairs,
        labels=examples.label_array() if examples.multi_label else labels,
        max_length_tokens=max_length_tokens,
    )
