"""The stages that train the student: general, intermediate, prediction; and the baseline beside it."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel, set_seed

from bertling.data.tokenization import JoinedTexts, TokenRows
from bertling.models.student import shape_of
from bertling.models.teacher import load_encoder
from bertling.objectives.layer_map import LayerMap, layer_map
from bertling.objectives.objective import Objective
from bertling.objectives.presets import build_objective
from bertling.objectives.terms import LabelTerm
from bertling.pipeline.context import Context, settings
from bertling.pipeline.corpus import general_tokens, unlabelled_tokens
from bertling.pipeline.stages import Clock
from bertling.pipeline.training import train
from bertling.recipe.training_sections import DistillationSection, TaskDistillationSection
from bertling.training.calibration import fit_projections


def distil(context: Context) -> None:
    """Run the task stages that the recipe names, each from the one before, and the baseline."""
    recipe = context.recipe
    start = "general" if recipe.general else "initialize"
    for name in ("intermediate", "prediction"):
        section = getattr(recipe, name)
        if section:
            _task_stage(context, name, section, start=start)
            start = name
    if recipe.baseline:
        _baseline(context)


def distil_general(context: Context) -> None:
    """Stage ``general``, if the recipe names it."""
    recipe, general = context.recipe, context.recipe.general
    if general is None:
        return

    def work(folder: Path, clock: Clock) -> None:
        set_seed(recipe.seed)
        _distil(
            context,
            folder,
            clock,
            general,
            student=load_encoder(context.model_of("initialize")),
            teacher=load_encoder(recipe.teacher.model),
            dataset=general_tokens(context),
        )

    context.stages.run(
        "general",
        version=2,
        settings=[
            # which text it reads, the stage corpus knows
            settings(general, without=["corpus", "corpus_hub", "corpus_split", "corpus_column"]),
            settings(recipe.student),
            recipe.seed,
        ],
        inputs={**context.digest("initialize", "corpus"), "teacher": context.pretrained_hash},
        work=work,
        together=True,
    )


def _task_stage(context: Context, name: str, section: TaskDistillationSection, *, start: str) -> None:
    recipe = context.recipe
    grown = ["augment"] * (recipe.augment is not None) + ["corpus"] * section.unlabelled

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
            dataset=_task_tokens(context, section),
        )

    context.stages.run(
        name,
        version=2,
        settings=[settings(section), settings(recipe.student), recipe.data.max_length_tokens, recipe.seed],
        inputs=context.digest("data", "teacher", start, *grown),
        work=work,
        together=True,
    )


def _task_tokens(context: Context, section: TaskDistillationSection) -> TokenRows:
    """What a task stage learns from: the training set, its variants if there are any, and unlabelled text."""
    labelled = context.augmented_tokens if context.recipe.augment else context.train_tokens
    return JoinedTexts([labelled, unlabelled_tokens(context)]) if section.unlabelled else labelled


def _distil(
    context: Context,
    folder: Path,
    clock: Clock,
    section: DistillationSection,
    *,
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    dataset: TokenRows,
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
        together=True,
    )
