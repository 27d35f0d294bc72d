"""What the stages of one run share: recipe, folder, finished stages, and data that several of them read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertling.augmentation.augmented import load_augmented
from bertling.data.collation import calibration_batches
from bertling.data.examples import Examples
from bertling.data.tokenization import TokenizedTexts, TokenRows, tokenize
from bertling.models.teacher import find_model, hub_revision, load_classifier, load_tokenizer
from bertling.pipeline.fingerprint import hash_path
from bertling.pipeline.processes import Processes
from bertling.pipeline.stages import Stages
from bertling.recipe.schema import Recipe
from bertling.tasks import GLUE, Task

FURTHER_TEST = "test-"
"""how the files of the sets that are reported beside the test set begin"""
_NO_EFFECT = ("checkpoint_steps", "log_steps", "workers", "teacher_cache_gib")


class Context:
    """One run.

    Args:
        recipe: what runs.
        folder: the run folder.
        console: where progress goes.
        processes: those that do it.
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
        teacher_caches: Path | None = None,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.console = console
        self.processes = processes
        self.teacher_caches = teacher_caches or folder / "teacher-cache"
        self.stages = Stages(folder / "stages", console, processes)

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
        """Content hash of the teacher that the recipe names."""
        return hash_model(self.recipe.teacher.model)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The teacher's, which is the student's as well."""
        return load_tokenizer(self.recipe.teacher.model)

    @cached_property
    def train(self) -> Examples:
        """The training set."""
        return Examples.load(self.stages.done["data"].folder / "train.parquet")

    @cached_property
    def test(self) -> Examples:
        """The set that is reported."""
        return Examples.load(self.stages.done["data"].folder / "test.parquet")

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
        """A classifier or regressor for the task."""
        return load_classifier(
            folder, label_names=self.train.label_names, new_head=new_head, regression=self.train.regression
        )

    def teacher_as_it_is(self) -> PreTrainedModel:
        """The fine-tuned teacher that the recipe names, its outputs in the order of the task's classes."""
        teacher, train = self.recipe.teacher, self.train
        return load_classifier(
            teacher.model,
            label_names=train.label_names,
            new_head=False,
            regression=train.regression,
            outputs=teacher.labels,
        )

    def save(self, model: PreTrainedModel, folder: Path) -> None:
        """Write a model, and the tokenizer as the teacher brought it."""
        model.save_pretrained(folder)
        # The shared one carries the length limit of its last call, and which one that was depends on what
        # has been skipped: the files would not be the same every time.
        load_tokenizer(self.recipe.teacher.model).save_pretrained(folder)

    def calibration(self, texts: TokenRows) -> list[dict[str, Tensor]]:
        """Batches to measure importance and fit projections on."""
        return calibration_batches(texts, self.tokenizer, count=self.recipe.student.calibration_texts)

    def tokenized(self, examples: Examples) -> TokenizedTexts:
        """Examples, tokenised as the task's are."""
        return tokenize(
            self.tokenizer,
            examples.texts,
            examples.text_pairs,
            labels=examples.labels,
            max_length_tokens=self.recipe.data.max_length_tokens,
        )


def task_of(recipe: Recipe) -> Task:
    """A recipe's task, from the table or from its own columns."""
    own = recipe.task
    if own.name in GLUE:
        return GLUE[own.name]
    regression = bool(own.regression)
    return Task(
        own.name,
        text=own.text or "text",
        text_pair=own.text_pair,
        label=own.label or "label",
        labels={name: name for name in own.labels} if own.labels else None,
        metric=own.metric or ("spearman" if regression else "accuracy"),
        regression=regression,
    )


def hash_model(name: str) -> str:
    """Content hash of a local model; for one on the hub its commit."""
    found = Path(find_model(name))
    return hash_path(found) if found.is_dir() else hub_revision(name)


def settings(section: BaseModel | None, *, without: Sequence[str] = ()) -> Any:
    """A section's settings as JSON values: those that can change a result, and ``without`` some more."""
    return None if section is None else section.model_dump(mode="json", exclude={*_NO_EFFECT, *without})
