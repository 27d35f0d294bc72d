"""What the stages of one run share: recipe, folder, finished stages, and data that several of them read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from rich.console import Console
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertling.augmentation.augmented import load_augmented
from bertling.data.answer_tokenization import default_stride
from bertling.data.answers import ANSWERS, CONTEXT, QUESTION
from bertling.data.collation import calibration_batches
from bertling.data.examples import Examples
from bertling.data.tokenization import TokenizedTexts, TokenRows
from bertling.data.tokenized_examples import tokenize_examples
from bertling.data.word_columns import LABELS, WORDS
from bertling.errors import DataError
from bertling.models.reading import find_model, hub_revision
from bertling.models.sentences import write_sentence_files
from bertling.models.student import shape_of
from bertling.models.task_model import load_task_model
from bertling.models.teacher import load_tokenizer
from bertling.objectives.label_kinds import balanced_weights
from bertling.objectives.sentence_terms import SimilarityLabelTerm
from bertling.objectives.terms import LabelTerm, Term
from bertling.pipeline.fingerprint import hash_path
from bertling.pipeline.processes import Processes
from bertling.pipeline.stages import Stages
from bertling.pipeline.teachers import TaskTeacher
from bertling.recipe.data_sections import TaskSection
from bertling.recipe.schema import Recipe
from bertling.tasks import GLUE, OF_ANSWERS, OF_NUMBERS, OF_SEVERAL, OF_UNANSWERABLE, OF_WORDS, Metric, Task
from bertling.training.interruption import Interruption

FURTHER_TEST = "test-"
"""how the files of the sets that are reported beside the test set begin"""
PAIR = "text_pair"
"""column of the second text, where texts are embedded and it has no other name"""
_NO_EFFECT = ("checkpoint_steps", "log_steps", "workers", "teacher_cache_gib")


class Context:
    """One run.

    Args:
        recipe: what runs.
        folder: the run folder.
        console: where progress goes.
        processes: those that do it.
        interruption: what has signals wait for a checkpoint; default: nobody sends any.
        teacher_caches: where teacher caches lie that outlive the run; default: in the run folder, until its
            student is trained.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        console: Console,
        processes: Processes,
        *,
        interruption: Interruption | None = None,
        teacher_caches: Path | None = None,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.console = console
        self.processes = processes
        self.interruption = interruption or Interruption()
        self.teacher_caches = teacher_caches or folder / "teacher-cache"
        self.stages = Stages(folder / "stages", console, processes)
        self._tokenizers: dict[str, PreTrainedTokenizerBase] = {}

    @cached_property
    def task(self) -> Task:
        """The recipe's task, from the table or from its own columns."""
        return task_of(self.recipe)

    def model_of(self, stage: str) -> str:
        """Folder of the model that a finished stage made."""
        return str(self.stages.done[stage].folder / "model")

    def digest(self, *names: str) -> dict[str, str]:
        """Content hashes of finished stages, as inputs of another."""
        return {name: self.stages.done[name].digest for name in names}

    @cached_property
    def pretrained_hash(self) -> str:
        """Content hash of the model that the student comes from: mostly the teacher that the recipe names."""
        return hash_model(self.recipe.source)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The student's, which is mostly the teacher's as well."""
        return load_tokenizer(self.recipe.source)

    def tokenizer_of(self, teacher: TaskTeacher) -> PreTrainedTokenizerBase:
        """A teacher's, which is another one than the student's for some."""
        if teacher.model == self.recipe.source:
            return self.tokenizer
        if teacher.model not in self._tokenizers:
            self._tokenizers[teacher.model] = load_tokenizer(teacher.model)
        return self._tokenizers[teacher.model]

    @cached_property
    def train(self) -> Examples:
        """The training set."""
        return Examples.load(self.stages.done["data"].folder / "train.parquet")

    @cached_property
    def test(self) -> Examples:
        """The set that is reported."""
        return Examples.load(self.stages.done["data"].folder / "test.parquet")

    @cached_property
    def validation(self) -> Examples | None:
        """What stages with patience are stopped by."""
        file = self.stages.done["data"].folder / "validation.parquet"
        return Examples.load(file) if file.exists() else None

    @cached_property
    def further_tests(self) -> dict[str, Examples]:
        """Sets that are reported beside it, by their names: MNLI's mismatched one."""
        files = sorted(self.stages.done["data"].folder.glob(f"{FURTHER_TEST}*.parquet"))
        return {file.stem.removeprefix(FURTHER_TEST): Examples.load(file) for file in files}

    @cached_property
    def train_tokens(self) -> TokenizedTexts:
        """The training set, tokenised."""
        return self.tokenized(self.train)

    @property
    def augmented_rows(self) -> Path:
        """Where the training set and its variants lie."""
        return self.stages.done["augment"].folder / "rows"

    @cached_property
    def augmented_tokens(self) -> TokenizedTexts:
        """The training set and its variants, tokenised."""
        return self.tokenized(load_augmented(self.augmented_rows))

    @cached_property
    def test_tokens(self) -> TokenizedTexts:
        """The reported set, tokenised."""
        return self.tokenized(self.test)

    def classifier(self, folder: str, *, new_head: bool) -> PreTrainedModel:
        """A classifier or regressor for the task; for sentence embeddings the encoder, which has no head."""
        return self._with_head(folder, new_head=new_head)

    @property
    def weighting(self) -> list[str]:
        """How classes are weighted, as settings of the stages that learn from labels."""
        return [self.recipe.task.class_weights] if self.recipe.task.class_weights else []

    @property
    def stride_tokens(self) -> int:
        """Tokens of a context that neighbouring windows share, where texts are questions."""
        data = self.recipe.data
        return default_stride(data.max_length_tokens) if data.stride_tokens is None else data.stride_tokens

    @property
    def windowing(self) -> list[int | str]:
        """How contexts come in windows, or pairs apart, as settings of the stages that read them."""
        if self.task.sentence_embeddings:
            return ["apart"]
        return [self.stride_tokens] if self.task.question_answering else []

    @cached_property
    def class_weights(self) -> Tensor | None:
        """(C,) weights of the classes in the term ``labels``, where the recipe asks for some."""
        if self.recipe.task.class_weights is None:
            return None
        labels = self.train.label_array()
        assert self.train.label_names is not None
        return balanced_weights(torch.from_numpy(labels[labels >= 0]), len(self.train.label_names))

    @cached_property
    def similarities(self) -> tuple[float, float]:
        """The lowest and the highest similarity of the training set, where texts are embedded.

        Raises:
            DataError: all pairs are equally similar.
        """
        found = self.train.label_array()
        lowest, highest = float(found.min()), float(found.max())
        if lowest == highest:
            raise DataError(
                f"all training pairs have the similarity {lowest:g}, from which nothing can be learned: "
                f"expected different numbers in the column {self.task.label!r}"
            )
        return lowest, highest

    def label_term(self, model: PreTrainedModel) -> Term:
        """The term that teaches a model the labels of the data alone."""
        if self.task.sentence_embeddings:
            lowest, highest = self.similarities
            return SimilarityLabelTerm(shape_of(model.config).layers, lowest=lowest, highest=highest)
        return LabelTerm(self.class_weights, spans=self.task.question_answering)

    def teacher_as_it_is(self, teacher: TaskTeacher) -> PreTrainedModel:
        """A fine-tuned teacher that the recipe names, its outputs in the order of the task's classes."""
        return self._with_head(teacher.model, new_head=False, outputs=teacher.labels)

    def _with_head(
        self, name: str, *, new_head: bool, outputs: Sequence[str] | None = None
    ) -> PreTrainedModel:
        return load_task_model(
            name, self.task, label_names=self.train.label_names, new_head=new_head, outputs=outputs
        )

    def save(self, model: PreTrainedModel, folder: Path, *, tokenizer_of: str | None = None) -> None:
        """Write a model, and the tokenizer as the teacher, or the model that is named, brought it."""
        model.save_pretrained(folder)
        # The shared one carries the length limit of its last call, and which one that was depends on what
        # has been skipped: the files would not be the same every time.
        load_tokenizer(tokenizer_of or self.recipe.source).save_pretrained(folder)
        if self.task.sentence_embeddings:
            write_sentence_files(
                folder,
                width=shape_of(model.config).width,
                max_length_tokens=self.recipe.data.max_length_tokens,
            )

    def calibration(self, texts: TokenRows) -> list[dict[str, Tensor]]:
        """Batches to measure importance and fit projections on."""
        return calibration_batches(texts, self.tokenizer, count=self.recipe.student.calibration_texts)

    def tokenized(self, examples: Examples, *, teacher: TaskTeacher | None = None) -> TokenizedTexts:
        """Examples, tokenised as the task's are, or as one of the teachers reads them."""
        return tokenize_examples(
            self.tokenizer_of(teacher) if teacher else self.tokenizer,
            examples,
            max_length_tokens=self.recipe.data.max_length_tokens,
            stride_tokens=self.stride_tokens,
            apart=self.task.sentence_embeddings,
        )


def task_of(recipe: Recipe) -> Task:
    """A recipe's task, from the table or from its own columns."""
    own = recipe.task
    if own.name in GLUE:
        return GLUE[own.name]
    metric, *beside = _metrics(own)
    asks, embeds = bool(own.question_answering), bool(own.sentence_embeddings)
    return Task(
        own.name,
        text=own.text or (WORDS if own.word_labels else QUESTION if asks else "text"),
        text_pair=own.text_pair or (CONTEXT if asks else PAIR if embeds else None),
        label=own.label or (LABELS if own.word_labels else ANSWERS if asks else "label"),
        labels={name: name for name in own.labels} if own.labels else None,
        metric=metric,
        regression=bool(own.regression) or embeds,
        further_metrics=tuple(beside),
        word_labels=bool(own.word_labels),
        multi_label=bool(own.multi_label),
        separator=own.separator or ",",
        question_answering=asks,
        unanswerable=bool(own.unanswerable),
        sentence_embeddings=embeds,
    )


def _metrics(own: TaskSection) -> tuple[Metric, ...]:
    """A task's own metric, and those that are reported beside it."""
    if own.sentence_embeddings:
        metric = own.metric or OF_NUMBERS[0]
        return (metric, *(other for other in OF_NUMBERS if other != metric))
    if own.regression:
        return (own.metric or "spearman",)
    if own.word_labels and own.metric in (None, OF_WORDS[0]):
        return OF_WORDS  # accuracy says something of all tags, chunks are to be had of some alone
    if own.multi_label:
        metric = own.metric or OF_SEVERAL[0]
        return (metric, *(other for other in OF_SEVERAL if other != metric))
    if own.question_answering:
        metric = own.metric or OF_ANSWERS[0]
        others = (other for other in OF_ANSWERS if other != metric)
        return (metric, *others, *(OF_UNANSWERABLE if own.unanswerable else ()))
    return (own.metric or "accuracy",)


def hash_model(name: str) -> str:
    """Content hash of a local model; for one on the hub its commit."""
    found = Path(find_model(name))
    return hash_path(found) if found.is_dir() else hub_revision(name)


def settings(section: BaseModel | None, *, without: Sequence[str] = ()) -> Any:
    """A section's settings as JSON values: those that can change a result, and ``without`` some more."""
    return None if section is None else section.model_dump(mode="json", exclude={*_NO_EFFECT, *without})
