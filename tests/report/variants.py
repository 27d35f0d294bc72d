"""Augmented examples, made by hand."""

from __future__ import annotations

from collections.abc import Mapping

from bertling.results import AugmentedExample, ReplacedWord


def variant(text: str, text_pair: str | None = None, *, was: Mapping[str, str]) -> AugmentedExample:
    """An example in which the keys of ``was``, which must stand in it, replaced the values."""
    replaced = []
    for side, words in enumerate((text, text_pair or "")):
        for new, old in was.items():
            if new in words:
                start = words.index(new)
                replaced.append(ReplacedWord(side=side, start=start, end=start + len(new), word=old))
    assert len(replaced) >= len(was)
    return AugmentedExample(text=text, text_pair=text_pair, replaced=replaced)
