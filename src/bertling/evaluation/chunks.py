"""F1 of whole chunks or named entities, with the rules of the CoNLL shared tasks' own script (conlleval).

A chunk counts where its first word, its last and its type are right (Tjong Kim Sang and Buchholz 2000,
arXiv:cs/0009008). Ours and not a package's: of those that compute it none has been kept up since 2020.

S sentences, W words of the longest, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bertling.errors import DataError

_OUTSIDE = "O"
_PREFIXES = "BIESO"


class ChunkScheme:
    """How tags make chunks: in BIO (IOB1, IOB2) and, with E and S, in BIOES.

    A chunk begins at B or S, where the type changes, and behind O, E or S; so an I without a B before it
    begins one too, as in conlleval.

    Args:
        label_names: tags such as ``B-NP``, ``I-NP`` and ``O``, in the order of the class ids.

    Raises:
        DataError: other tags.
    """

    def __init__(self, label_names: Sequence[str]) -> None:
        parts = [name.partition("-") for name in label_names]
        if wrong := [
            name
            for name, (prefix, _, kind) in zip(label_names, parts, strict=True)
            if name != _OUTSIDE and not (prefix in tuple(_PREFIXES[:-1]) and kind)
        ]:
            raise DataError(
                f"chunk_f1 needs tags such as B-NP, I-NP and O, and got {', '.join(map(repr, wrong[:5]))}. "
                "For labels of single words, such as parts of speech, set metric = 'accuracy'"
            )
        # One tag more stands for no word, or no answer: it is outside.
        prefixes = np.asarray([prefix for prefix, _, _ in parts] + [_OUTSIDE])
        kinds = [kind for _, _, kind in parts] + [""]
        numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
        self.kinds = list(numbers)
        self.types = np.asarray([numbers[kind] for kind in kinds])
        self.outside = prefixes == _OUTSIDE
        before, after = prefixes[:, None], prefixes[None, :]
        breaks = (
            np.isin(before, ("O", "E", "S"))
            | np.isin(after, ("O", "B", "S"))
            | (self.types[:, None] != self.types[None, :])
        )
        # (C + 1, C + 1), by the tags of two neighbours.
        self.begins = breaks & ~self.outside[None, :]
        self.ends = breaks & ~self.outside[:, None]


def chunk_counts(
    predictions: npt.NDArray[np.int64], references: npt.NDArray[np.int64], label_names: Sequence[str]
) -> tuple[int, int, int]:
    """Chunks that are right, that were predicted, and that there are.

    Args:
        predictions: (S, W) class ids; a negative one is no answer, which is outside of chunks.
        references: (S, W) class ids, negative behind the last word of a sentence.
        label_names: (C,) tags.

    Raises:
        DataError: tags that are not of BIO or BIOES.
    """
    right = predicted = there = 0
    for counts in chunk_counts_by_type(predictions, references, label_names).values():
        right, predicted, there = right + counts[0], predicted + counts[1], there + counts[2]
    return right, predicted, there


def chunk_counts_by_type(
    predictions: npt.NDArray[np.int64], references: npt.NDArray[np.int64], label_names: Sequence[str]
) -> dict[str, tuple[int, int, int]]:
    """The same as `chunk_counts` for each type of chunk, such as NP, in the order of the tags."""
    scheme = ChunkScheme(label_names)
    none = len(label_names)
    theirs = _Chunks(scheme, np.where(references < 0, none, references))
    ours = _Chunks(scheme, np.where((references < 0) | (predictions < 0), none, predictions))
    right = ours.begins & theirs.begins & (ours.types == theirs.types) & (ours.ends == theirs.ends)

    def counts(types: npt.NDArray[np.int64]) -> list[int]:
        found: list[int] = np.bincount(types, minlength=len(scheme.kinds)).tolist()
        return found

    columns = counts(ours.types[right]), counts(ours.types[ours.begins]), counts(theirs.types[theirs.begins])
    return {kind: found for kind, found in zip(scheme.kinds, zip(*columns, strict=True), strict=True) if kind}


def chunk_f1(
    predictions: npt.NDArray[np.int64], references: npt.NDArray[np.int64], label_names: Sequence[str]
) -> float:
    """The harmonic mean of precision and recall of chunks, 0 where none is right; as for `chunk_counts`."""
    right, predicted, there = chunk_counts(predictions, references, label_names)
    return 2 * right / (predicted + there) if right else 0.0


class _Chunks:
    """Where chunks begin (S, W), of which type, and for each word where the next chunk ends."""

    def __init__(self, scheme: ChunkScheme, tags: npt.NDArray[np.int64]) -> None:
        border = np.full((len(tags), 1), len(scheme.outside) - 1)
        self.begins = scheme.begins[np.hstack([border, tags[:, :-1]]), tags]
        ending = scheme.ends[tags, np.hstack([tags[:, 1:], border])]
        places = np.where(ending, np.arange(tags.shape[1]), tags.shape[1])
        self.ends = np.minimum.accumulate(places[:, ::-1], axis=1)[:, ::-1]
        self.types = scheme.types[tags]
