"""The task table: columns, label names and metric of each task. Imports no torch.

A task's score is one number, as in the paper's Table 1: accuracy, but F1 for MRPC and QQP, Matthews
correlation for CoLA and Spearman's for STS-B.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Metric = Literal["accuracy", "f1", "matthews", "spearman"]


@dataclass(frozen=True, slots=True)
class Task:
    """What a data set's columns mean and how its score is computed.

    Attributes:
        name: the task's key, ``sst2`` for instance.
        text: column of the (first) text.
        text_pair: column of the second text, or None for single texts.
        label: column of the label.
        labels: raw value in the label column -> label name, in the order of the class ids; None for a
            regression task, or for a task whose label names are taken from the training data.
        metric: the score.
        regression: the label is a number to predict.
    """

    name: str
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    labels: dict[str, str] | None = None
    metric: Metric = "accuracy"
    regression: bool = False


@dataclass(frozen=True, slots=True)
class GlueLayout:
    """Where a GLUE task's own files keep what the task needs.

    Attributes:
        header: column names for files without a header line; None where the file has one.
        train: file name of the training set.
        dev: file name of the development set, the one that is reported.
    """

    header: tuple[str, ...] | None = None
    train: str = "train.tsv"
    dev: str = "dev.tsv"


def _named(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_NLI = _named("entailment", "not_entailment")

GLUE: dict[str, Task] = {
    task.name: task
    for task in (
        Task("cola", "sentence", labels={"0": "unacceptable", "1": "acceptable"}, metric="matthews"),
        Task("sst2", "sentence", labels={"0": "negative", "1": "positive"}),
        Task(
            "mrpc",
            "#1 String",
            "#2 String",
            label="Quality",
            labels={"0": "not_equivalent", "1": "equivalent"},
            metric="f1",
        ),
        Task("stsb", "sentence1", "sentence2", label="score", metric="spearman", regression=True),
        Task(
            "qqp",
            "question1",
            "question2",
            label="is_duplicate",
            labels={"0": "not_duplicate", "1": "duplicate"},
            metric="f1",
        ),
        Task(
            "mnli",
            "sentence1",
            "sentence2",
            label="gold_label",
            labels=_named("entailment", "neutral", "contradiction"),
        ),
        Task("qnli", "question", "sentence", labels=_NLI),
        Task("rte", "sentence1", "sentence2", labels=_NLI),
        Task("wnli", "sentence1", "sentence2", labels={"0": "not_entailment", "1": "entailment"}),
    )
}

GLUE_LAYOUTS: dict[str, GlueLayout] = {name: GlueLayout() for name in GLUE} | {
    "cola": GlueLayout(header=("source", "label", "mark", "sentence")),
    "mnli": GlueLayout(dev="dev_matched.tsv"),
}
