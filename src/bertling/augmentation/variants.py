"""Variants of a text, in which words are replaced by candidates: Algorithm 1 of arXiv:1909.10351.

N variants, p the probability that a word is replaced.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bertling.errors import ShapeError

if TYPE_CHECKING:
    from bertling.augmentation.candidates import Replaceable


class Replacement(NamedTuple):
    """One word that was replaced.

    Attributes:
        side: 0 in the (first) text, 1 in the second of a pair.
        start, end: the characters of the new text that hold the replacement.
        word: what stood there.
        replacement: what stands there now.
    """

    side: int
    start: int
    end: int
    word: str
    replacement: str


class Variant(NamedTuple):
    """A text or pair with some words replaced; number 0 is the original."""

    number: int
    text: str
    text_pair: str | None
    replaced: tuple[Replacement, ...]


class WordVariant(NamedTuple):
    """A text in words, some replaced; ``replaced`` counts in the words joined by single spaces."""

    number: int
    words: list[str]
    replaced: tuple[Replacement, ...]


class _Word(NamedTuple):
    side: int
    start: int
    end: int
    word: str
    options: tuple[str, ...]


def row_generator(seed: int, row: int) -> np.random.Generator:
    """The generator for the variants of one source row: it depends on nothing but the two numbers."""
    return np.random.default_rng([seed, row])


def make_variants(
    texts: Sequence[str],
    replaceable: Sequence[Sequence[Replaceable]],
    *,
    variants: int = 20,
    probability: float = 0.4,
    random: np.random.Generator,
) -> list[Variant]:
    """The original and up to N variants, in which each word is replaced with probability p.

    A replacement is drawn uniformly from the word's candidates, and takes the case of the word where that is
    lower, UPPER or Title case. The rest of the text stays as it is, to the character. Both texts of a pair
    vary in each variant. What comes out twice, or equal to the original, is left out and not drawn again: so
    short texts have fewer than N variants, and with the same generator, fewer variants are the first of more.

    Args:
        texts: one text, or the two of a pair.
        replaceable: the words of each text that have candidates, in the order of the text.
        variants: N.
        probability: p.
        random: draws which words are replaced, and by what.

    Returns:
        The original as number 0, then the variants, numbered from 1 without gaps.

    Raises:
        ShapeError: replaceable words that overlap, are out of order or outside of their text, an empty
            candidate, or a number that is out of range.
    """
    if not 1 <= len(texts) <= 2 or len(replaceable) != len(texts):
        raise ShapeError(
            f"{len(texts)} texts, and replaceable words of {len(replaceable)}: expected one text or the two "
            "of a pair, and the words of each"
        )
    if variants < 0 or not 0 <= probability <= 1:
        raise ShapeError(
            f"{variants} variants with probability {probability}: expected a number that is not negative, "
            "and a probability from 0 to 1"
        )
    words = [
        word
        for side, (text, spans) in enumerate(zip(texts, replaceable, strict=True))
        for word in _words(side, text, spans)
    ]
    found: dict[tuple[str, ...], tuple[Replacement, ...]] = {tuple(texts): ()}
    for draws in random.random((variants, len(words), 2)).tolist():
        chosen = [
            (word, word.options[int(pick * len(word.options))])
            for word, (chance, pick) in zip(words, draws, strict=True)
            if chance < probability
        ]
        new_texts: list[str] = []
        replaced: list[Replacement] = []
        for side, text in enumerate(texts):
            new_text, new = _replace(text, [choice for choice in chosen if choice[0].side == side])
            new_texts.append(new_text)
            replaced += new
        found.setdefault(tuple(new_texts), tuple(replaced))
    return [
        Variant(number, varied[0], varied[1] if len(varied) == 2 else None, replaced_words)
        for number, (varied, replaced_words) in enumerate(found.items())
    ]


def make_word_variants(
    words: Sequence[str],
    replaceable: Sequence[Replaceable],
    *,
    variants: int = 20,
    probability: float = 0.4,
    random: np.random.Generator,
) -> list[WordVariant]:
    """The same for a text that is labelled word by word: each variant has as many words as the original.

    A replacement stays within its word, so that labels follow their words. What would replace characters of
    more than one word is left as it is.

    Args:
        words: the words that have labels.
        replaceable: what has candidates, in characters of the words joined by single spaces, in order.
        variants: N.
        probability: p.
        random: draws which words are replaced, and by what.

    Raises:
        ShapeError: as for ``make_variants``.
    """
    starts = list(accumulate((len(word) + 1 for word in words), initial=0))[:-1]

    def index(character: int) -> int:
        return bisect_right(starts, character) - 1

    inside = [span for span in replaceable if index(span.start) == index(span.end - 1)]
    made = make_variants(
        [" ".join(words)], [inside], variants=variants, probability=probability, random=random
    )
    results = []
    for variant in made:
        lengths = [len(word) for word in words]
        shift = 0
        for replacement in variant.replaced:
            grown = len(replacement.replacement) - len(replacement.word)
            lengths[index(replacement.start - shift)] += grown
            shift += grown
        ends = list(accumulate(length + 1 for length in lengths))
        cut = [variant.text[end - 1 - length : end - 1] for end, length in zip(ends, lengths, strict=True)]
        results.append(WordVariant(variant.number, cut, variant.replaced))
    return results


def _words(side: int, text: str, spans: Sequence[Replaceable]) -> list[_Word]:
    """The words for which there is anything to draw, their candidates in the word's case."""
    words: list[_Word] = []
    before = 0
    for span in spans:
        if not before <= span.start < span.end <= len(text):
            raise ShapeError(
                f"characters {span.start} to {span.end} are to be replaced in a text of {len(text)}, after "
                f"others that end at {before}: expected words within the text, in order, without overlap"
            )
        before = span.end
        word = text[span.start : span.end]
        if "" in span.candidates:
            raise ShapeError(f"{word!r} has an empty candidate: expected words to put in its place")
        cased = dict.fromkeys(_in_case_of(word, candidate) for candidate in span.candidates)
        cased.pop(word, None)
        if cased:
            words.append(_Word(side, span.start, span.end, word, tuple(cased)))
    return words


def _replace(text: str, chosen: Sequence[tuple[_Word, str]]) -> tuple[str, list[Replacement]]:
    parts: list[str] = []
    replaced: list[Replacement] = []
    read = written = 0
    for word, replacement in chosen:
        kept = text[read : word.start]
        parts += [kept, replacement]
        start = written + len(kept)
        written = start + len(replacement)
        replaced.append(Replacement(word.side, start, written, word.word, replacement))
        read = word.end
    return "".join([*parts, text[read:]]), replaced


def _in_case_of(word: str, candidate: str) -> str:
    if word.islower():
        return candidate.lower()
    # A single capital, such as the English I, may stand for a capitalised word rather than for a shouted one.
    if word.isupper() and sum(map(str.isupper, word)) > 1:
        return candidate.upper()
    if word[0].istitle() and not any(map(str.istitle, word[1:])):
        return candidate[0].title() + candidate[1:]
    return candidate
