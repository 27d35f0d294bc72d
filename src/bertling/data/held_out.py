"""A part of a labelled set that nothing is trained on, where there is no test set."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Hashable, Sequence

from bertling.data.examples import Examples
from bertling.errors import DataError


def hold_out(
    examples: Examples, *, fraction: float, seed: int, setting: str = "held_out_fraction"
) -> tuple[Examples, Examples]:
    """What is left to train on, and the part that is held out; both in the order of ``examples``.

    Stratified: of each class the same share, and at least one example of a class that has two. Examples with
    the same text (or pair) are not parted, so that none is seen in training. Numbers, labels of words,
    several labels and answers have no classes to go by, and are drawn at random. Questions are not parted
    from others of their article or, where none or only one is known, of their context.

    Args:
        examples: labelled.
        fraction: of them, above 0 and below 1.
        seed: of the draw.
        setting: how the user calls ``fraction``, for the error.

    Raises:
        DataError: too few examples for two parts.
    """
    classes = not (examples.regression or examples.word_labels or examples.multi_label)
    same: dict[Hashable, list[int]] = defaultdict(list)
    for row, what in enumerate(_together(examples)):
        same[what].append(row)
    strata: dict[Hashable, list[list[int]]] = defaultdict(list)
    for rows in same.values():
        label = examples.labels[rows[0]] if classes and examples.labels else None
        strata[label if isinstance(label, Hashable) else None].append(rows)
    chance = random.Random(seed)
    held: set[int] = set()
    for groups in strata.values():
        chance.shuffle(groups)
        count = min(max(1, round(fraction * len(groups))), len(groups) - 1)
        held |= {row for rows in groups[:count] for row in rows}
    if not held or len(held) == len(examples):
        raise DataError(
            f"{len(examples)} examples, or too few different ones of each class, cannot be parted with "
            f"{setting} = {fraction}: expected two of a class at least. Add "
            "examples, or give a file for this part"
        )
    rest = [row for row in range(len(examples)) if row not in held]
    return examples.take(rest), examples.take(sorted(held))


def _together(examples: Examples) -> Sequence[Hashable]:
    """What examples that are not parted have in common."""
    pairs = examples.text_pairs or [""] * len(examples)
    if examples.answers is None:
        return list(zip(examples.texts, pairs, strict=True))
    return examples.groups if examples.groups and len(set(examples.groups)) > 1 else pairs
