"""What a recipe may say: frozen pydantic models, unknown keys are errors. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bertling.recipe.data_sections import DataSection, TaskSection
from bertling.recipe.methods import METHODS, MethodName
from bertling.recipe.section import Positive, Section
from bertling.recipe.sentences import sentence_problem
from bertling.recipe.teaching import first_problem
from bertling.recipe.training_sections import (
    BaselineSection,
    GeneralSection,
    IntermediateSection,
    PredictionSection,
    TeacherSection,
)
from bertling.tasks import GLUE

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$"
NAME_DESCRIPTION = (
    'letters, digits, ".", "_" and "-", beginning with a letter or a digit; with a "/" it is two such names'
)


_SIZES = ("layers", "width", "heads", "ffn")


class StudentSection(Section):
    """[student]: a preset, or layers, width, heads and ffn, or a model that exists already.

    With some of layers, width, heads and ffn, that model is made smaller.
    """

    preset: Literal["tinybert-4l-312", "tinybert-6l-768"] | None = None
    layers: Positive | None = None
    width: Positive | None = Field(None, description="hidden size; a multiple of heads")
    heads: Positive | None = Field(None, description="attention heads in a layer")
    ffn: Positive | None = Field(None, description="intermediate size of the feed-forward network")
    model: str | None = Field(
        None,
        description="folder or hub name of a student that exists already; with any of layers, width, heads "
        "and ffn a smaller one is made of it, by initialization",
    )
    source: str | None = Field(
        None,
        description="with [teacher] models or soft_labels: the encoder that the student is made from, in "
        "architecture, tokenizer and, by initialization, weights; and the teacher of [general]",
    )
    initialization: Literal["random", "layers", "prune"] = Field(
        "prune",
        description="random; layers: teacher layers copied (equal width); "
        "prune: cut out of the teacher by importance",
    )
    source_layers: tuple[Positive, ...] | None = Field(
        None, description="teacher layers that layers and prune start from; default: the first ones"
    )
    layer_map: Literal["uniform", "top", "bottom"] | tuple[Positive, ...] = Field(
        "uniform", description="uniform, top, bottom, or a list: the teacher layer for each student layer"
    )
    calibration_texts: Positive = Field(
        512, description="texts that measure importance and fit the projections"
    )

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        shape = [key for key in _SIZES if getattr(self, key) is not None]
        given = [key for key in ("preset", "model") if getattr(self, key)] + (
            [", ".join(_SIZES)] if shape else []
        )
        if len(given) != 1 and not (self.makes_smaller and not self.preset):
            got = " and ".join(given) or "none"
            raise ValueError(f"give exactly one of preset, model, or layers, width, heads and ffn; got {got}")
        if shape and len(shape) < 4 and not self.model:
            missing = [key for key in _SIZES if key not in shape]
            raise ValueError(f"a shape needs layers, width, heads and ffn; {', '.join(missing)} missing")
        if self.makes_smaller and self.initialization == "random":
            raise ValueError(
                "initialization random takes nothing of model: leave model out, or say prune or layers"
            )
        if self.model and self.source:
            raise ValueError("source: the student of model exists already; leave one of them out")
        if self.width and self.heads and self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        for key in ("source_layers", "layer_map"):
            chosen = getattr(self, key)
            if self.layers and isinstance(chosen, tuple) and len(chosen) != self.layers:
                raise ValueError(
                    f"{key} names {len(chosen)} teacher layers for a student of {self.layers} layers"
                )
        return self

    @property
    def makes_smaller(self) -> bool:
        """Whether a student that exists already is made smaller."""
        return bool(self.model) and any(getattr(self, key) is not None for key in _SIZES)


class AugmentSection(Section):
    """[augment]: grow the training set by word replacement (the paper's Algorithm 1)."""

    masked_lm: str | None = Field(
        None,
        description="masked language model that proposes words: folder, hub name, or package:NAME; default: "
        "the teacher before fine-tuning, with a masked-LM head fitted on the corpus where it has none",
    )
    mode: Literal["masked", "unmasked"] = Field(
        "masked",
        description="masked: one word masked at a time, as in the paper; unmasked: one pass for all words "
        "of a text, several times faster",
    )
    word_vectors: Path | None = Field(
        None,
        description="GloVe or word2vec text file, for words of several pieces; default: these are left alone",
    )
    variants: Positive = Field(20, description="variants of each text, beside the text itself")
    candidates: Positive = Field(15, description="replacements to choose from, for each word")
    probability: Annotated[float, Field(gt=0, le=1)] = Field(0.4, description="that a word is replaced")
    stop_words: Literal["english", "none"] | tuple[str, ...] = Field(
        "english", description="words that are never replaced: scikit-learn's English list, none, or a list"
    )
    head_steps: Positive = Field(400, description="steps that fit a masked-LM head where the model has none")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the masked language model; bfloat16 is faster where the processor has it"
    )
    workers: Positive = Field(1, description="processes that share the work")


class EvaluateSection(Section):
    """[evaluate]: scores, sizes, latency."""

    batch_size: Positive = 64
    latency_texts: Positive = Field(200, description="test texts that are timed, one at a time")
    latency_threads: Positive = Field(1, description="threads while timing")
    yardsticks: tuple[Literal["majority", "tfidf", "tfidf_cosine", "no_answer", "overlap"], ...] = Field(
        (),
        description="plain methods for comparison: the most frequent class (of each word, where these have "
        "labels), for numbers their mean; TF-IDF with logistic regression, for numbers with ridge "
        "regression; for sentence embeddings: the cosine of TF-IDF vectors; "
        "for questions: no answer to any; the sentence that has most of the question's words",
    )


class ReportSection(Section):
    """[report]: one self-contained HTML page."""

    disagreements: Annotated[int, Field(ge=0)] = Field(
        20, description="texts shown where teacher and student disagree"
    )


class Recipe(Section):
    """A whole run. The stages that are named run; leave a section out and its stage is left out."""

    name: str = Field(pattern=NAME_PATTERN, description=NAME_DESCRIPTION)
    description: str = ""
    output: Path | None = Field(None, description="run folder; default runs/NAME")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    threads: Positive | None = Field(None, description="CPU threads; default: torch's own choice")
    report_to: tuple[str, ...] = Field(
        (), description="trackers of transformers' Trainer, such as tensorboard"
    )
    method: MethodName = Field(
        "tinybert", description="what each stage learns where the recipe gives it no terms of its own"
    )
    task: TaskSection
    data: DataSection
    teacher: TeacherSection
    student: StudentSection
    general: GeneralSection | None = None
    augment: AugmentSection | None = None
    intermediate: IntermediateSection | None = None
    prediction: PredictionSection
    baseline: BaselineSection | None = None
    evaluate: EvaluateSection = EvaluateSection()
    report: ReportSection | None = None

    @model_validator(mode="after")
    def _method_fills_in(self) -> Self:
        for stage, lesson in METHODS[self.method].lessons.items():
            section = getattr(self, stage)
            if section is None or "terms" in section.model_fields_set:
                continue
            if lesson is None:
                raise ValueError(
                    f"[{stage}] the method {self.method} learns the task in a single stage: leave this "
                    "one out, or give it terms"
                )
            changes = {"terms": dict(lesson.terms), "temperature": lesson.temperature}
            if "temperature" in section.model_fields_set:
                del changes["temperature"]
            # A recipe is frozen once it is made, which it is not yet.
            self.__dict__[stage] = section.model_copy(update=changes)
        return self

    @model_validator(mode="after")
    def _heads_left_out_of_a_loss(self) -> Self:
        for stage in ("general", "intermediate", "prediction"):
            section = getattr(self, stage)
            if section and section.no_op_threshold is not None and not section.terms.get("attention"):
                raise ValueError(
                    f"[{stage}] no_op_threshold: leaves heads out of the term attention, which this stage "
                    "does not have; leave it out, or give attention a weight"
                )
        return self

    @model_validator(mode="after")
    def _teacher_can_teach_it(self) -> Self:
        if problem := first_problem(self) or sentence_problem(self):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _kind_of_labels_fits(self) -> Self:
        kinds = ("word_labels", "multi_label", "question_answering")
        kind = next((key for key in kinds if getattr(self.task, key)), None)
        if kind and self.data.train is None:
            raise ValueError(f"[task] {kind}: such data comes from files, [data] train and test")
        if kind and "tfidf" in self.evaluate.yardsticks:
            raise ValueError(f"[evaluate] yardsticks: tfidf is no method for {kind}; leave it out")
        answers = bool(self.task.question_answering)
        if not (self.task.word_labels or answers):
            return self
        if self.augment:
            what = "would lose the answers' places" if answers else "does not replace words that have labels"
            raise ValueError(f"[augment] {what}; leave the section out")
        for name, section in (("intermediate", self.intermediate), ("prediction", self.prediction)):
            if section and section.unlabelled:
                what = "asks no questions" if answers else "is not in words, as the task's is"
                raise ValueError(f"[{name}] unlabelled: such text {what}; leave it out")
        return self

    @model_validator(mode="after")
    def _questions_fit(self) -> Self:
        answers, data = bool(self.task.question_answering), self.data
        if answers and self.teacher.labels:
            raise ValueError(
                "[teacher] labels: a model that answers questions has two outputs, where answers start and "
                "where they end, and no names of classes; leave it out"
            )
        if data.stride_tokens is not None and not answers:
            raise ValueError("[data] stride_tokens: is for contexts of questions; leave it out")
        if data.stride_tokens is not None and data.stride_tokens >= data.max_length_tokens:
            raise ValueError(
                f"[data] stride_tokens: windows of {data.max_length_tokens} tokens (max_length_tokens) "
                f"cannot share {data.stride_tokens}; give fewer"
            )
        of_questions = ("no_answer", "overlap")
        for name in self.evaluate.yardsticks:
            if (name in of_questions) != answers:
                fitting = " and ".join(of_questions if answers else ("majority", "tfidf"))
                raise ValueError(f"[evaluate] yardsticks: {name} is no method for this task; {fitting} are")
        if "no_answer" in self.evaluate.yardsticks and not self.task.unanswerable:
            raise ValueError(
                "[evaluate] yardsticks: no_answer is wrong where all questions have an answer; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _somebody_validates(self) -> Self:
        given = next((key for key in ("validation", "validation_fraction") if getattr(self.data, key)), None)
        sections = {"teacher": self.teacher, "prediction": self.prediction, "baseline": self.baseline}
        patient = [name for name, section in sections.items() if section and section.patience]
        if patient and not given:
            raise ValueError(
                f"[{patient[0]}] patience: needs examples to score; set [data] validation_fraction, or "
                "validation to a file"
            )
        if given and not patient:
            raise ValueError(
                f"[data] {given}: no stage reads it; set patience in "
                f"{', '.join(f'[{name}]' for name in sections)}, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _sections_fit_together(self) -> Self:
        if self.data.folder and self.task.name not in GLUE:
            raise ValueError(
                f"[data] folder holds a GLUE task, but [task] name is {self.task.name!r}: "
                f"expected one of {', '.join(GLUE)}; data of your own goes into train and test"
            )
        if self.general:
            given = [key for key in ("corpus", "corpus_hub") if getattr(self.general, key)]
            if not given and self.data.builtin is None:
                raise ValueError("[general] corpus or corpus_hub is missing: it needs unlabelled text")
            if given and self.data.builtin:
                raise ValueError(
                    f"[general] {given[0]}: [data] builtin brings a corpus of its own; leave {given[0]} out"
                )
        for name, section in (("intermediate", self.intermediate), ("prediction", self.prediction)):
            if section and section.unlabelled and not (self.general or self.data.unlabelled):
                raise ValueError(
                    f"[{name}] unlabelled: learns from [data] unlabelled or from the corpus of [general]; "
                    "both are missing"
                )
            if section and section.unlabelled and section.terms.get("labels"):
                raise ValueError(
                    f"[{name}] unlabelled: such text has no labels, so the term labels cannot be used with it"
                )
        if self.general and self.student.model:
            raise ValueError(
                "[student] model exists already, so nothing is left for [general]: leave one of them out"
            )
        return self

    @property
    def source(self) -> str:
        """The model whose tokenizer the student has, and which it is made from: mostly its teacher."""
        return self.teacher.model or self.student.source or self.student.model or ""

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.output or Path("runs") / self.name
