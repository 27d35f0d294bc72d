"""The stages that train the student: general, intermediate, prediction; and the baseline beside it."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel, set_seed

from bertling.data.tokenization import TokenizedTexts, tokenize
from bertling.models.student import shape_of
from bertling.models.teacher import load_encoder
from bertling.objectives.layer_map import LayerMap, layer_map
from bertling.objectives.objective import Objective
from bertling.objectives.presets import build_objective
from bertling.objectives.terms import LabelTerm
from bertling.pipeline.context import Context, settings
from bertling.pipeline.preparation import corpus_hash, corpus_texts, corpus_tokens
from bertling.pipeline.stages import Clock
from bertling.pipeline.training import train
from bertling.recipe.schema import DistillationSection, TaskDistillationSection
from bertling.training.calibration import fit_projections


def distil(context: Context) -> None:
    """Run the stages that the recipe names, each from the one before."""
    recipe = context.recipe
    if recipe.general:
        _general(context)
    start = "general" if recipe.general else "initialize"
    for name in ("intermediate", "prediction"):
        section = getattr(recipe, name)
        if section:
            _task_stage(context, name, section, start=start)
            start = name
    if recipe.baseline:
        _baseline(context)


def _general(context: Context) -> None:
    recipe, general = context.recipe, context.recipe.general
    assert general is not None

    def work(folder: Path, clock: Clock) -> None:
        set_seed(recipe.seed)
        _distil(
            context,
            folder,
            clock,
            general,
            student=load_encoder(context.model_of("initialize")),
            teacher=load_encoder(recipe.teacher.model),
            dataset=corpus_tokens(context, folder),
        )

    context.stages.run(
        "general",
        version=1,
        settings=[settings(general), settings(recipe.student), recipe.seed],
        inputs={
            **context.digest("initialize"),
            "teacher": context.pretrained_hash,
            "corpus": corpus_hash(context),
        },
        work=work,
    )


def _task_stage(context: Context, name: str, section: TaskDistillationSection, *, start: str) -> None:
    recipe = context.recipe
    corpus = (
        [recipe.general and recipe.general.corpus_texts, corpus_hash(context)] if section.unlabelled else []
    )

    def work(folder: Path, clock: Clock) -> None:
        set_seed(recipe.seed)
        _distil(
            context,
            folder,
            clock,
            section,
            # A general student brings no head: it starts at random here, seeded.
            student=context.classifier(context.model_of(start), new_head=True),
            teacher=context.classifier(context.model_of("teacher"), new_head=False),
            dataset=_with_corpus(context) if section.unlabelled else context.train_tokens,
        )

    context.stages.run(
        name,
        version=1,
        settings=[
            settings(section),
            corpus,
            settings(recipe.student),
            recipe.data.max_length_tokens,
            recipe.seed,
        ],
        inputs=context.digest("data", "teacher", start),
        work=work,
    )


def _with_corpus(context: Context) -> TokenizedTexts:
    """The training texts and the corpus behind them, without labels."""
    return tokenize(
        context.tokenizer,
        [*context.train.texts, *corpus_texts(context)],
        max_length_tokens=context.recipe.data.max_length_tokens,
    )


def _distil(
    context: Context,
    folder: Path,
    clock: Clock,
    section: DistillationSection,
    *,
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    dataset: TokenizedTexts,
) -> None:
    objective = build_objective(
        {str(name): weight for name, weight in section.terms.items()},
        mapped_layers(context, student, teacher),
        student_width=shape_of(student.config).width,
        teacher_width=shape_of(teacher.config).width,
        temperature=section.temperature,
    )
    train(
        context,
        folder,
        clock,
        section,
        student=student,
        objective=objective,
        teacher=teacher,
        dataset=dataset,
        prepare=lambda: fit_projections(objective, student, teacher, context.calibration(dataset)),
    )


def mapped_layers(context: Context, student: PreTrainedModel, teacher: PreTrainedModel) -> LayerMap:
    """The recipe's layer map for these two models."""
    return layer_map(
        context.recipe.student.layer_map,
        student_layers=shape_of(student.config).layers,
        teacher_layers=shape_of(teacher.config).layers,
    )


def _baseline(context: Context) -> None:
    recipe, baseline = context.recipe, context.recipe.baseline
    assert baseline is not None

    def work(folder: Path, clock: Clock) -> None:
        set_seed(recipe.seed)
        train(
            context,
            folder,
            clock,
            baseline,
            student=context.classifier(context.model_of("initialize"), new_head=True),
            objective=Objective([LabelTerm()]),
            dataset=context.train_tokens,
        )

    context.stages.run(
        "baseline",
        version=1,
        settings=[settings(baseline), recipe.data.max_length_tokens, recipe.seed],
        inputs=context.digest("data", "initialize"),
        work=work,
    )
