"""Augmented examples as the page shows them: texts in parts, of which some are words that were replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bertling.report import numbers
from bertling.report.texts import TEXT_LIMIT, cut, left_out
from bertling.results import Augmentation, AugmentedExample, ReplacedWord

_MODES = {"masked": "one word masked at a time", "unmasked": "one pass for all words"}


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a text; where it is a new word, ``was`` is the one that it replaced."""

    text: str
    was: str | None = None


@dataclass(frozen=True, slots=True)
class MarkedText:
    """A text in parts; ``left_out`` tells what is missing at its end, and is empty where nothing is."""

    parts: list[Part]
    left_out: str


@dataclass(frozen=True, slots=True)
class AugmentationView:
    """What was made, by which masked LM and how, and a sample: one text for each example, two for a pair."""

    made: str
    masked_lm: str
    mode: str
    mode_note: str
    head: str
    listed: str
    sample: list[list[MarkedText]]


def view_augmentation(augmentation: Augmentation) -> AugmentationView:
    """Word the figures, and cut the sample's texts at the words that were replaced."""
    sources, unvaried = augmentation.source_rows, augmentation.unvaried_rows
    variants = augmentation.rows - sources
    share = numbers.percent(unvaried / sources if sources else None)
    shown = len(augmentation.sample)
    head = ""
    if augmentation.head_accuracy is not None:
        right = numbers.percent(augmentation.head_accuracy)
        head = f"; its head was fitted in this run, and guesses {right} of held-out masked tokens"
    return AugmentationView(
        made=f"Replacing words made {numbers.count(variants, 'variant')} of "
        f"{numbers.count(sources, 'training example')}; {unvaried:,} of the examples ({share}) got none.",
        masked_lm=augmentation.masked_lm,
        mode=augmentation.mode,
        mode_note=f" ({_MODES[augmentation.mode]})" if augmentation.mode in _MODES else "",
        head=head,
        listed="all of the variants" if shown == variants else f"{shown:,} of the variants",
        sample=[_marked_texts(example) for example in augmentation.sample],
    )


def _marked_texts(example: AugmentedExample) -> list[MarkedText]:
    texts = [example.text] if example.text_pair is None else [example.text, example.text_pair]
    return [
        _marked(text, [word for word in example.replaced if word.side == side])
        for side, text in enumerate(texts)
    ]


def _marked(text: str, replaced: Sequence[ReplacedWord]) -> MarkedText:
    words = _words_inside(text, replaced)
    end = len(text)
    if end > TEXT_LIMIT:
        # No word is shown in part.
        end = next((word.start for word in words if word.start < TEXT_LIMIT < word.end), TEXT_LIMIT)
    shown = [word for word in words if word.end <= end]
    parts: list[Part] = []
    read = 0
    for word in shown:
        parts += [Part(text[read : word.start]), Part(text[word.start : word.end], cut(word.word))]
        read = word.end
    parts.append(Part(text[read:end]))
    missing = len(text) - end
    return MarkedText(
        [part for part in parts if part.text],
        left_out(missing, len(words) - len(shown)) if missing else "",
    )


def _words_inside(text: str, replaced: Sequence[ReplacedWord]) -> list[ReplacedWord]:
    """The words in order, without those that overlap the one before or do not lie within the text."""
    words: list[ReplacedWord] = []
    read = 0
    for word in sorted(replaced, key=lambda word: word.start):
        if read <= word.start < word.end <= len(text):
            words.append(word)
            read = word.end
    return words
