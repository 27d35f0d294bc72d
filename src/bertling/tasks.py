"""The task table: columns, label names and metrics of each task. Imports no torch.

A task's score is one number, as in the paper's Table 1: accuracy, but F1 for MRPC and QQP, Matthews
correlation for CoLA and Spearman's for STS-B; F1 of whole chunks for labels of words, micro F1 for several
labels, F1 of words for answers to questions, Spearman's for sentence embeddings. GLUE reports more of some
tasks: accuracy beside F1, Pearson's correlation beside Spearman's, and MNLI's accuracy on texts of other
sources than those it is trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Metric = Literal[
    "accuracy",
    "f1",
    "matthews",
    "spearman",
    "pearson",
    "chunk_f1",
    "micro_f1",
    "macro_f1",
    "answer_f1",
    "exact_match",
    "best_answer_f1",
    "best_exact_match",
    "has_answer_f1",
    "no_answer_f1",
]
TaskKind = Literal[
    "classification",
    "regression",
    "multi_label",
    "word_labels",
    "question_answering",
    "sentence_embeddings",
]
"""what a task asks of a text: a class, a number, any number of labels, a class for each word, an answer out
of a context, or an embedding"""
OF_NUMBERS: tuple[Metric, ...] = ("spearman", "pearson")
"""metrics of a regression, and of the cosines of sentence embeddings"""
OF_WORDS: tuple[Metric, ...] = ("chunk_f1", "accuracy")
"""metrics of labels of words"""
OF_SEVERAL: tuple[Metric, ...] = ("micro_f1", "macro_f1")
"""metrics of several labels for each text"""
OF_ANSWERS: tuple[Metric, ...] = ("answer_f1", "exact_match")
"""metrics of answers to questions"""
OF_UNANSWERABLE: tuple[Metric, ...] = (
    "best_answer_f1",
    "best_exact_match",
    "has_answer_f1",
    "no_answer_f1",
)
"""that are reported beside them where some questions have no answer"""


@dataclass(frozen=True, slots=True)
class Task:
    """What a data set's columns mean and how its score is computed.

    Attributes:
        name: the task's key, ``sst2`` for instance.
        text: column of the (first) text; of the list of words, where these have labels.
        text_pair: column of the second text, or None for single texts.
        label: column of the label, of the list of the words' labels, or of the list of a text's labels.
        labels: raw value in the label column -> label name, in the order of the class ids; None for a
            regression task, or for a task whose label names are taken from the training data.
        metric: the score.
        regression: the label is a number to predict.
        further_metrics: that are reported beside the score.
        word_labels: each word has a label (parts of speech, chunks, named entities). The columns of files in
            CoNLL's layout have no names and are counted from 1; ``words`` is the first, ``labels`` the last.
        multi_label: a text has any number of labels, or none.
        separator: between the labels of a text, where they stand in one string.
        question_answering: the text is a question, the second text the context whose part answers it, and the
            label what it is and where it starts (SQuAD).
        unanswerable: some questions have no answer in their context (SQuAD 2.0).
        sentence_embeddings: each text is embedded by itself, and the label of a pair is how similar its texts
            are; ``regression`` is then true as well.
    """

    name: str
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    labels: dict[str, str] | None = None
    metric: Metric = "accuracy"
    regression: bool = False
    further_metrics: tuple[Metric, ...] = ()
    word_labels: bool = False
    multi_label: bool = False
    separator: str = ","
    question_answering: bool = False
    unanswerable: bool = False
    sentence_embeddings: bool = False

    @property
    def kind(self) -> TaskKind:
        """What is asked of a text. Embeddings are no regression, though the label of a pair is a number."""
        if self.sentence_embeddings:
            return "sentence_embeddings"
        if self.question_answering:
            return "question_answering"
        if self.word_labels:
            return "word_labels"
        if self.multi_label:
            return "multi_label"
        return "regression" if self.regression else "classification"


@dataclass(frozen=True, slots=True)
class GlueLayout:
    """Where a GLUE task's own files, and the copy on the hub, keep what the task needs.

    Attributes:
        folder: name of the task's folder beside the other tasks'.
        header: column names for files without a header line; None where the file has one, as test files do.
        train: file name of the training set.
        dev: file name of the development set, the one that is reported.
        further_devs: development sets that are reported beside it, name -> file name.
        faulty_rows: that the task's own training and development files are known to hold at most; they are
            left out. More than these are an error.
        hub_columns: text columns and label column on the hub, where they are called otherwise.
        hub_dev: split of the hub that is reported.
        further_hub_devs: splits of the hub that are reported beside that one.
    """

    folder: str
    header: tuple[str, ...] | None = None
    train: str = "train.tsv"
    dev: str = "dev.tsv"
    further_devs: Mapping[str, str] = field(default_factory=dict)
    faulty_rows: int = 0
    hub_columns: tuple[str, str, str] | None = None
    hub_dev: str = "validation"
    further_hub_devs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Submission:
    """One of the files that GLUE's server takes.

    Attributes:
        file: its name.
        task: whose model answers, and whose words it is written in: the raw values of the label column.
        source: the unlabelled texts, in the folder that holds the tasks' folders.
        rows: of that file.
    """

    file: str
    task: str
    source: str
    rows: int


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
            further_metrics=("accuracy",),
        ),
        Task(
            "stsb",
            "sentence1",
            "sentence2",
            label="score",
            metric="spearman",
            regression=True,
            further_metrics=("pearson",),
        ),
        Task(
            "qqp",
            "question1",
            "question2",
            label="is_duplicate",
            labels={"0": "not_duplicate", "1": "duplicate"},
            metric="f1",
            further_metrics=("accuracy",),
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

GLUE_LAYOUTS: dict[str, GlueLayout] = {
    "cola": GlueLayout("CoLA", header=("source", "label", "mark", "sentence")),
    "sst2": GlueLayout("SST-2"),
    "mrpc": GlueLayout("MRPC", hub_columns=("sentence1", "sentence2", "label")),
    "stsb": GlueLayout("STS-B", hub_columns=("sentence1", "sentence2", "label")),
    # Some of its lines lack fields or texts, and everybody leaves them out.
    "qqp": GlueLayout("QQP", faulty_rows=20, hub_columns=("question1", "question2", "label")),
    "mnli": GlueLayout(
        "MNLI",
        dev="dev_matched.tsv",
        further_devs={"mismatched": "dev_mismatched.tsv"},
        hub_columns=("premise", "hypothesis", "label"),
        hub_dev="validation_matched",
        further_hub_devs={"mismatched": "validation_mismatched"},
    ),
    "qnli": GlueLayout("QNLI"),
    "rte": GlueLayout("RTE"),
    "wnli": GlueLayout("WNLI"),
}

SUBMISSIONS = (
    Submission("CoLA.tsv", "cola", "CoLA/test.tsv", 1063),
    Submission("SST-2.tsv", "sst2", "SST-2/test.tsv", 1821),
    Submission("MRPC.tsv", "mrpc", "MRPC/test.tsv", 1725),
    Submission("STS-B.tsv", "stsb", "STS-B/test.tsv", 1379),
    Submission("QQP.tsv", "qqp", "QQP/test.tsv", 390_965),
    Submission("MNLI-m.tsv", "mnli", "MNLI/test_matched.tsv", 9796),
    Submission("MNLI-mm.tsv", "mnli", "MNLI/test_mismatched.tsv", 9847),
    Submission("QNLI.tsv", "qnli", "QNLI/test.tsv", 5463),
    Submission("RTE.tsv", "rte", "RTE/test.tsv", 3000),
    Submission("WNLI.tsv", "wnli", "WNLI/test.tsv", 146),
    Submission("AX.tsv", "mnli", "diagnostic/diagnostic.tsv", 1104),
)
"""The last is the diagnostic set, which MNLI's model answers."""

AVERAGED = ("mnli", "mnli (mismatched)", "qqp", "sst2", "qnli", "mrpc", "rte", "cola", "stsb")
"""The nine numbers of the paper's average, both of MNLI's among them; WNLI is none of them."""


def on_hub(task: Task) -> Task:
    """The task with the columns of the hub's copy of GLUE, where it is one of GLUE's; otherwise as it is."""
    layout = GLUE_LAYOUTS.get(task.name)
    if layout is None or layout.hub_columns is None or GLUE[task.name] != task:
        return task
    text, text_pair, label = layout.hub_columns
    return replace(task, text=text, text_pair=text_pair, label=label)
