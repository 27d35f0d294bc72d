"""The sections of a recipe whose stages train something. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bertling.recipe.section import Fraction, Positive, Section, TermName, Terms

_TERMS = "loss terms and their weights; default: those of the method"
_OF_A_HEAD: tuple[TermName, ...] = ("prediction", "labels", "soft_targets", "patient_states", "similarities")
_OF_THE_CORPUS: tuple[TermName, ...] = ("masked_lm", "soft_masked_lm")


class TrainingSection(Section):
    """Settings that every training stage has."""

    epochs: Annotated[float, Field(gt=0)] = Field(
        3.0, description="passes over the data; a fraction is allowed"
    )
    max_steps: Positive | None = Field(None, description="stop after so many steps; overrides epochs")
    batch_size: Positive = Field(32, description="examples in a step, for each process")
    accumulation_steps: Positive = Field(1, description="micro-batches in a step")
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        5e-5, description="peak; warm-up, then linear to zero"
    )
    warmup_fraction: Fraction = Field(0.1, description="share of the steps that warm up")
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    max_gradient_norm: Annotated[float, Field(ge=0)] = Field(1.0, description="0: no clipping")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16: autocast in the models; losses and weights stay float32"
    )
    compile: bool = Field(False, description="torch.compile the model that trains")
    checkpoint_steps: Positive = Field(500, description="a checkpoint to resume from every so many steps")
    log_steps: Positive = Field(50, description="a point of the loss curves every so many steps")


class ScoredSection(TrainingSection):
    """Settings of a stage whose model answers the task."""

    patience: Positive | None = Field(
        None,
        description="score the model on the validation set after each epoch, end the stage after so many "
        "epochs without a better score, and keep the best epoch's weights; default: all epochs, and the last",
    )


class TeacherOfMany(Section):
    """One of [teacher] models."""

    model: str = Field(description="folder, hub name, or package:NAME")
    weight: Annotated[float, Field(gt=0)] = Field(1.0, description="of its predictions in their average")
    labels: tuple[str, ...] | None = Field(
        None, description="names of its outputs, in its order, as [teacher] labels for a single model"
    )


class TeacherSection(ScoredSection):
    """[teacher]: exactly one of model, models, soft_labels.

    ``model`` shows the student its states and predictions. The others give predictions alone, and the student
    and its tokenizer come from [student] source or model.
    """

    model: str | None = Field(
        None, description="folder, hub name, or package:NAME for a model inside an installed package"
    )
    models: tuple[TeacherOfMany, ...] | None = Field(
        None,
        description="a list of {model, weight, labels}: one or several models, each with a tokenizer of its "
        "own, whose predictions are averaged and learned, and nothing else of them",
    )
    soft_labels: dict[str, str] | None = Field(
        None,
        description="a table of label name = column of the data with its probabilities, in the place of a "
        "model; for a regression label column = column of the numbers",
    )
    fine_tune: bool = Field(True, description="false: it is already fine-tuned on this task")
    labels: tuple[str, ...] | None = Field(
        None,
        description="names of a fine-tuned teacher's outputs, in its order, where its config.json has none, "
        "or others than the data",
    )
    accept_weak: bool = Field(
        False, description="go on with a teacher that is no better than one answer for all texts"
    )
    learning_rate: Annotated[float, Field(gt=0)] = 3e-5

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [key for key in ("model", "models", "soft_labels") if getattr(self, key) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"give exactly one of model, models, soft_labels; got {got}")
        if not (self.model or self.models or self.soft_labels):
            raise ValueError(
                f"{given[0]} is empty; expected {TeacherSection.model_fields[given[0]].description}"
            )
        if self.models and self.labels:
            raise ValueError("labels: each of the models has its own, {model = ..., labels = [...]}")
        named = [teacher.model for teacher in self.models or ()]
        if len(set(named)) < len(named):
            raise ValueError(
                f"models: {', '.join(named)} holds one twice; give it once, with a larger weight"
            )
        if self.soft_labels and (
            set_for_training := [
                name
                for name, field in TeacherSection.model_fields.items()
                if name not in ("soft_labels", "accept_weak") and getattr(self, name) != field.default
            ]
        ):
            raise ValueError(
                f"{', '.join(set_for_training)}: with soft_labels there is no model to train; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _labels_of_its_own(self) -> Self:
        if (self.labels or any(teacher.labels for teacher in self.models or ())) and self.fine_tune:
            raise ValueError("labels: a teacher that is fine-tuned here gets the data's; leave it out")
        return self

    @model_validator(mode="after")
    def _patience_of_its_own(self) -> Self:
        if self.patience and not self.trains:
            raise ValueError("patience: a teacher that is taken as it is has no epochs; leave it out")
        return self

    @property
    def predictions_only(self) -> bool:
        """Whether it shows the student its predictions and nothing else."""
        return self.model is None

    @property
    def trains(self) -> bool:
        """Whether the run fine-tunes it."""
        return self.fine_tune and self.soft_labels is None

    @property
    def named(self) -> str:
        """What it is, in words."""
        if self.soft_labels:
            return f"the soft labels in {', '.join(self.soft_labels.values())}"
        return self.model or ", ".join(teacher.model for teacher in self.models or ())


class DistillationSection(TrainingSection):
    """What the general, intermediate and prediction stages share."""

    terms: Terms = Field({}, description=_TERMS)
    temperature: Annotated[float, Field(gt=0)] = Field(
        1.0, description="of the soft targets; default: that of the method"
    )
    teacher_cache: Literal["auto", "always", "never"] = Field(
        "auto",
        description="keep on disk what the teacher shows, instead of running it in every epoch; auto: where "
        "that pays and fits",
    )
    teacher_cache_gib: Annotated[float, Field(gt=0)] = Field(20.0, description="the most that it may take")
    no_op_threshold: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="leave heads of the teacher out of the term attention that give more than this share of "
        "their attention to special tokens, [SEP] and [CLS]; default: no head is left out",
    )

    @model_validator(mode="after")
    def _some_term(self) -> Self:
        # Those of the method are put in later.
        if "terms" in self.model_fields_set and not any(self.terms.values()):
            raise ValueError("terms: at least one term needs a weight above zero")
        return self


class GeneralSection(DistillationSection):
    """[general]: transformer distillation on unlabelled text, from the teacher before fine-tuning."""

    corpus: Path | None = Field(
        None,
        description="unlabelled text: .txt with a document or sentence a line, .jsonl, both also .gz or "
        ".zst, .parquet, or a folder of those; not with data.builtin",
    )
    corpus_hub: str | None = Field(
        None, description="or a data set on the Hugging Face hub, as owner/name or owner/name:config"
    )
    corpus_split: str = Field("train", description="split of the hub data set")
    corpus_column: str = Field("text", description="column of .jsonl, .parquet and hub data with the text")
    corpus_texts: Positive | None = Field(None, description="use so many of its texts (default: all)")
    max_length_tokens: Annotated[int, Field(ge=4, le=8192)] = Field(
        128, description="longer texts give several blocks"
    )
    packed: bool = Field(
        False,
        description="fill each block with several short texts, without attention between them: "
        "an even number of tokens in a step, for GPUs",
    )
    max_tokens: Positive | None = Field(
        None, description="stop after about so many tokens; overrides epochs, excludes max_steps"
    )
    workers: Positive = Field(1, description="processes that tokenise the corpus")
    batch_size: Positive = 256

    @property
    def learns(self) -> bool:
        """Whether the stage runs: a method without a general stage leaves it out."""
        return any(self.terms.values())

    @model_validator(mode="after")
    def _some_term(self) -> Self:
        # None at all is how a method without a general stage reads when it is written out.
        if self.terms and not self.learns:
            raise ValueError("terms: at least one term needs a weight above zero")
        return self

    @model_validator(mode="after")
    def _no_head(self) -> Self:
        if wrong := [name for name in _OF_A_HEAD if self.terms.get(name)]:
            raise ValueError(f"terms: the general stage has no head, so {' and '.join(wrong)} cannot be used")
        if self.terms.get("soft_masked_lm") and not self.terms.get("masked_lm"):
            raise ValueError(
                "terms: soft_masked_lm guesses with the head that masked_lm trains; give both a weight"
            )
        return self

    @model_validator(mode="after")
    def _one_corpus_and_budget(self) -> Self:
        if self.corpus and self.corpus_hub:
            raise ValueError("give corpus or corpus_hub, not both")
        if self.max_tokens and self.max_steps:
            raise ValueError("give max_tokens or max_steps, not both")
        return self


class TaskDistillationSection(DistillationSection):
    """What the intermediate and prediction stages share."""

    unlabelled: bool = Field(
        False,
        description="learn from unlabelled text as well: a teacher needs no labels, only text like the "
        "task's",
    )

    @model_validator(mode="after")
    def _no_hidden_tokens(self) -> Self:
        if wrong := [name for name in _OF_THE_CORPUS if self.terms.get(name)]:
            raise ValueError(
                f"terms: {' and '.join(wrong)} can be used in the general stage alone, which reads no labels"
            )
        return self


class IntermediateSection(TaskDistillationSection):
    """[intermediate]: task distillation, step 1."""

    epochs: Annotated[float, Field(gt=0)] = 20.0


class PredictionSection(TaskDistillationSection, ScoredSection):
    """[prediction]: task distillation, step 2."""

    learning_rate: Annotated[float, Field(gt=0)] = 3e-5


class BaselineSection(ScoredSection):
    """[baseline]: the same shape and initialisation, trained on the labels alone."""
