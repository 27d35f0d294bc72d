"""The sections of a recipe that say what is learned, and from which data. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bertling.recipe.section import Positive, Section
from bertling.tasks import GLUE, OF_ANSWERS, OF_NUMBERS, OF_SEVERAL, OF_UNANSWERABLE, OF_WORDS, Metric


class TaskSection(Section):
    """[task]: a GLUE task by name, or your own with its columns, labels and metric."""

    name: str = Field(description="cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli; or a name of your own")
    text: str | None = Field(None, description="column of the text (a GLUE task knows its own)")
    text_pair: str | None = Field(
        None, description="column of the second text, for pairs; of the context, where the text is a question"
    )
    label: str | None = Field(None, description="column of the label")
    labels: tuple[str, ...] | None = Field(
        None,
        description="label names in the order of the class ids; default: those of the training data, sorted",
    )
    metric: Metric | None = Field(
        None,
        description="accuracy (default), f1 or matthews; for a regression, and for sentence embeddings, "
        "spearman (default) or pearson; for labels of words chunk_f1 (default) or accuracy; for several "
        "labels micro_f1 (default) or macro_f1; for answers answer_f1 (default) or exact_match",
    )
    regression: bool | None = Field(None, description="true: the label is a number to predict")
    word_labels: bool | None = Field(
        None, description="true: each word has a label, as parts of speech, chunks and named entities do"
    )
    multi_label: bool | None = Field(None, description="true: a text has any number of labels")
    separator: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="between the labels of a text, where they are no list; default: a comma"
    )
    question_answering: bool | None = Field(
        None,
        description="true: the text is a question, and a part of the second text answers it, as in SQuAD",
    )
    unanswerable: bool | None = Field(
        None, description="true: some questions have no answer in their context, as in SQuAD 2.0"
    )
    sentence_embeddings: bool | None = Field(
        None,
        description="true: each text is embedded by itself, and the label says how similar the two texts of "
        "a pair are, as in STS-B",
    )
    class_weights: Literal["balanced"] | None = Field(
        None, description="balanced: in the term labels, rare classes count as much in all as frequent ones"
    )

    @model_validator(mode="after")
    def _glue_brings_its_own(self) -> Self:
        own = [
            key
            for key in (
                *(
                    "text",
                    "text_pair",
                    "label",
                    "labels",
                    "metric",
                    "regression",
                    "word_labels",
                    "multi_label",
                ),
                *("separator", "question_answering", "unanswerable", "sentence_embeddings"),
            )
            if getattr(self, key)
        ]
        if self.name in GLUE and own:
            raise ValueError(
                f"{self.name} is a GLUE task and brings its own {', '.join(own)}: "
                "leave these out, or choose another name"
            )
        return self

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [
            key
            for key in (
                *("regression", "word_labels", "multi_label", "question_answering"),
                "sentence_embeddings",
            )
            if getattr(self, key)
        ]
        if len(kinds) > 1:
            raise ValueError(f"{' and '.join(kinds)} exclude each other: leave all but one out")
        if self.word_labels and self.text_pair:
            raise ValueError("text_pair: a task with labels of words has no pairs; leave it out")
        if self.separator and not self.multi_label:
            raise ValueError(
                "separator: stands between several labels; set multi_label = true, or leave it out"
            )
        if self.unanswerable and not self.question_answering:
            raise ValueError("unanswerable: is for questions; set question_answering = true, or leave it out")
        if self.labels and self.question_answering:
            raise ValueError("labels: answers are parts of the context and have none; leave them out")
        if self.labels and self.sentence_embeddings:
            raise ValueError(
                "labels: how similar two texts are is a number, and has no names; leave them out"
            )
        if self.class_weights and (
            self.regression or self.multi_label or self.question_answering or self.sentence_embeddings
        ):
            raise ValueError(
                "class_weights: are for a task with one label for each text or word; leave them out"
            )
        return self

    @model_validator(mode="after")
    def _metric_fits(self) -> Self:
        numbers = self.regression or self.sentence_embeddings
        if self.metric and numbers and self.metric not in OF_NUMBERS:
            what = "a regression is" if self.regression else "sentence embeddings are"
            raise ValueError(
                f"metric {self.metric} is for classes; {what} scored by {' or '.join(OF_NUMBERS)}"
            )
        if self.metric in OF_NUMBERS and not numbers:
            raise ValueError(
                f"metric {self.metric} is for numbers; set regression = true, or choose another metric"
            )
        if self.metric in OF_UNANSWERABLE:
            raise ValueError(
                f"metric {self.metric}: is reported beside the score, which is {' or '.join(OF_ANSWERS)}"
            )
        for key, metrics in (
            ("word_labels", OF_WORDS),
            ("multi_label", OF_SEVERAL),
            ("question_answering", OF_ANSWERS),
        ):
            asked = bool(getattr(self, key))
            if asked and self.metric and self.metric not in metrics:
                raise ValueError(f"metric {self.metric}: with {key} it is {' or '.join(metrics)}")
            if not asked and self.metric in metrics and self.metric != "accuracy":
                raise ValueError(f"metric {self.metric} needs {key} = true; set it, or choose another metric")
        return self

    @property
    def head(self) -> str | None:
        """How transformers calls a model's head for it, as in AutoModelForSequenceClassification.

        None for sentence embeddings, which an encoder gives without a head.
        """
        if self.sentence_embeddings:
            return None
        if self.question_answering:
            return "QuestionAnswering"
        return "TokenClassification" if self.word_labels else "SequenceClassification"


class DataSection(Section):
    """[data]: exactly one of folder, train (with test or held_out_fraction), hub, builtin."""

    folder: Path | None = Field(None, description="a GLUE task's folder in its original layout")
    train: Path | None = Field(
        None,
        description="training file: .tsv, .csv, .jsonl or .parquet; of labelled words also .txt or .conll, "
        "a word and its label in a line; of questions also SQuAD's .json",
    )
    test: Path | None = Field(None, description="the file that is reported, of the same kinds")
    held_out_fraction: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="where there is no test file: the share of train that is reported, and not trained on",
    )
    validation: Path | None = Field(
        None, description="with train: a labelled file that stages with patience are stopped by"
    )
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="or the share of the training examples, after train_examples, that stages with patience "
        "are stopped by, and nothing is trained on",
    )
    hub: str | None = Field(
        None, description="a data set on the Hugging Face hub, as owner/name or owner/name:config"
    )
    train_split: str = Field("train", description="split of the hub data set to train on")
    test_split: str = Field("validation", description="split of the hub data set to report")
    builtin: Literal["docstrings"] | None = Field(
        None, description="docstrings: sentences from the documentation of the installed libraries"
    )
    unlabelled: Path | None = Field(
        None,
        description="more text of the task's kind, without labels (files as for [general] corpus), for the "
        "stages that set unlabelled = true; default: the corpus of [general]",
    )
    max_length_tokens: Annotated[int, Field(ge=4, le=8192)] = Field(
        128, description="longer texts are cut; longer contexts of questions come in windows"
    )
    stride_tokens: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="of questions: tokens of the context that neighbouring windows share; default: a third "
        "of max_length_tokens",
    )
    train_examples: Positive | None = Field(None, description="draw so many training examples (default: all)")
    test_examples: Positive | None = Field(None, description="draw so many test examples (default: all)")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.held_out_fraction and (self.train is None or self.test is not None):
            raise ValueError("held_out_fraction: is for a train file without a test file; leave it out")
        if (self.train is None) != (self.test is None) and not self.held_out_fraction:
            raise ValueError("train and test go together: give both files, or train and held_out_fraction")
        if self.train is not None and self.train == self.test:
            raise ValueError(
                f"train and test are both {self.train}: a score on the training set means little"
            )
        given = [key for key in ("folder", "train", "hub", "builtin") if getattr(self, key) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"give exactly one of folder, train and test, hub, builtin; got {got}")
        return self

    @model_validator(mode="after")
    def _one_validation_set(self) -> Self:
        if self.validation and self.validation_fraction:
            raise ValueError("give validation or validation_fraction, not both")
        if self.validation and self.train is None:
            raise ValueError("validation: goes with a train file; set validation_fraction in its place")
        if self.validation and self.validation in (self.train, self.test):
            raise ValueError(
                f"validation: {self.validation} is {'train' if self.validation == self.train else 'test'} as "
                "well; what a stage is stopped by is neither trained on nor reported"
            )
        return self
