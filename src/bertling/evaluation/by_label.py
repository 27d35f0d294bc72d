"""Answers by label: how each model does on each of them, and what it takes for what.

N examples; W words of the longest, C labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_fscore_support

from bertling.data.examples import Examples
from bertling.evaluation.chunks import chunk_counts_by_type
from bertling.results import ByLabel, Confusion, LabelFigures, LabelScore

Answers = npt.NDArray[np.int64]
_OUTSIDE = "O"


def answers_by_label(
    examples: Examples, answers: Mapping[str, Answers], *, chunks: bool = False
) -> ByLabel | None:
    """Precision, recall and F1 of each label, and how often which is answered for which.

    Confusions are those of teacher and student; several labels for a text have none, since no answer stands
    for another there.

    Args:
        examples: N, labelled.
        answers: of ``student`` and, where there are, ``teacher`` and ``baseline``: (N,) class ids; of words
            (N, W), negative for no answer; of several labels (N, C), 0 or 1.
        chunks: whether the labels of words are tags of chunks, whose types then stand for labels, with
            conlleval's rules.

    Returns:
        None for examples without label names: numbers, and questions.

    Raises:
        DataError: tags that make no chunks.
    """
    names = examples.label_names
    if names is None:
        return None
    references = examples.label_array()
    if chunks:
        return _of_chunks(answers, references, names)
    if examples.multi_label:  # with a column more, since a table of a single one is taken for class ids
        several = {role: np.pad(said, ((0, 0), (0, 1))) for role, said in answers.items()}
        return ByLabel(unit="example", labels=_figures(several, np.pad(references, ((0, 0), (0, 1))), names))
    real = references >= 0
    given = {role: said[real] for role, said in answers.items()}
    return ByLabel(
        unit="word" if examples.word_labels else "example",
        labels=_figures(given, references[real], names),
        confusions=_confusions(given, references[real], names),
    )


def _figures(
    answers: Mapping[str, Answers], references: Answers, label_names: Sequence[str]
) -> list[LabelFigures]:
    counted = {
        role: precision_recall_fscore_support(
            references, said, labels=range(len(label_names)), zero_division=np.nan
        )
        for role, said in answers.items()
    }
    return [
        LabelFigures(
            label=name,
            support=int(counted["student"][3][index]),
            **{role: _score(*(figure[index] for figure in found[:3])) for role, found in counted.items()},
        )
        for index, name in enumerate(label_names)
    ]


def _score(precision: float, recall: float, f1: float) -> LabelScore:
    defined = [None if np.isnan(value) else float(value) for value in (precision, recall, f1)]
    return LabelScore(precision=defined[0], recall=defined[1], f1=defined[2])


def _confusions(answers: Mapping[str, Answers], references: Answers, names: Sequence[str]) -> list[Confusion]:
    """Of references (n,) and answers to them, (n,) each."""
    counts: dict[tuple[int, int], dict[str, int]] = {}
    compared = {role: said for role, said in answers.items() if role != "baseline"}
    for role, said in compared.items():
        # Both in one number, with no answer as 0.
        pairs, times = np.unique(references * (len(names) + 1) + said + 1, return_counts=True)
        for pair, count in zip(pairs.tolist(), times.tolist(), strict=True):
            right, answer = divmod(pair, len(names) + 1)
            counts.setdefault((right, answer - 1), dict.fromkeys(compared, 0))[role] = count
    return [
        Confusion(reference=names[right], answer=names[answer] if answer >= 0 else None, **by_role)
        for (right, answer), by_role in sorted(counts.items())
    ]


def _of_chunks(answers: Mapping[str, Answers], references: Answers, label_names: Sequence[str]) -> ByLabel:
    counted = {role: chunk_counts_by_type(said, references, label_names) for role, said in answers.items()}
    figures = [
        LabelFigures(
            label=kind, support=there, **{role: _chunk_score(*found[kind]) for role, found in counted.items()}
        )
        for kind, (_, _, there) in counted["student"].items()
    ]
    # A word's type is that of the chunk that it stands in.
    types = [name.partition("-")[2] or _OUTSIDE for name in label_names]
    names = [*(figure.label for figure in figures), *[_OUTSIDE] * (_OUTSIDE in types)]
    type_of = np.asarray([*(names.index(kind) for kind in types), -1])  # the last is that of no answer
    real = references >= 0
    said_types = {role: type_of[said[real]] for role, said in answers.items()}
    return ByLabel(
        unit="chunk", labels=figures, confusions=_confusions(said_types, type_of[references[real]], names)
    )


def _chunk_score(right: int, predicted: int, there: int) -> LabelScore:
    return LabelScore(
        precision=right / predicted if predicted else None,
        recall=right / there if there else None,
        f1=2 * right / (predicted + there) if predicted + there else None,
    )
