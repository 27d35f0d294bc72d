"""The stages that train the student: general, intermediate, prediction; and the baseline beside it."""

from __future__ import annotations

from pathlib import Path

from torch import nn
from transformers import PreTrainedModel, set_seed

from bertling.data.tokenization import JoinedTexts, TokenRows
from bertling.models.masked_lm_head import masked_lm_head
from bertling.models.masking import RowMasking
from bertling.models.student import shape_of
from bertling.models.teacher import load_encoder
from bertling.objectives.layer_map import LayerMap, layer_map
from bertling.objectives.masked_lm_terms import SoftMaskedLMTerm
from bertling.objectives.objective import Objective
from bertling.objectives.presets import build_objective
from bertling.objectives.relations import upper_layer
from bertling.pipeline.context import Context, settings
from bertling.pipeline.corpus import general_tokens, unlabelled_tokens
from bertling.pipeline.stages import Clock
from bertling.pipeline.training import train
from bertling.recipe.training_sections import DistillationSection, TaskDistillationSection
from bertling.training.calibration import fit_projections


def distil(context: Context) -> None:
    """Run the task stages that the recipe names, each from the one before, and the baseline."""
    recipe = context.recipe
    start = "general" if "general" in context.stages.done else "initialize"
    for name in ("intermediate", "prediction"):
        section = getattr(recipe, name)
        if section:
            _task_stage(context, name, section, start=start)
            start = name
    if recipe.baseline:
        _baseline(context)


def distil_general(context: Context) -> None:
    """Stage ``general``, if the recipe names it and its method learns anything there."""
    recipe, general = context.recipe, context.recipe.general
    if general is None:
        return
    if not general.learns:
        context.console.print(f"{'general':>12}  left out: the method {recipe.method} learns nothing there")
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
        version=3,
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
        version=3,
        settings=[
            settings(section),
            settings(recipe.student),
            recipe.data.max_length_tokens,
            recipe.seed,
            *(context.weighting if section.terms.get("labels") else []),
            *context.windowing,
        ],
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
    objective = stage_objective(context, section, student, teacher)
    if section.terms.get("soft_masked_lm") and not objective.has(SoftMaskedLMTerm):
        context.console.print(
            f"{'':>14}{context.recipe.teacher.model} has no masked-LM head: soft_masked_lm is left out",
            soft_wrap=True,
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
        masking=stage_masking(context, section),
        prepare=lambda: fit_projections(objective, student, teacher, context.calibration(dataset)),
    )


def stage_objective(
    context: Context, section: DistillationSection, student: PreTrainedModel, teacher: PreTrainedModel
) -> Objective:
    """The terms that the recipe names, for these two models.

    ``soft_masked_lm`` is left out where the teacher has no masked-LM head.
    """
    terms = {str(name): weight for name, weight in section.terms.items() if weight}
    head = None
    if terms.get("soft_masked_lm"):
        head = masked_lm_head(context.recipe.teacher.model)
        if head is None:
            del terms["soft_masked_lm"]
    layers = shape_of(teacher.config).layers
    named = isinstance(context.recipe.student.layer_map, str)
    embeddings = student.get_input_embeddings()
    assert isinstance(embeddings, nn.Embedding)
    return build_objective(
        terms,
        mapped_layers(context, student, teacher),
        student_width=shape_of(student.config).width,
        teacher_width=shape_of(teacher.config).width,
        temperature=section.temperature,
        # A list of layers is the user's own choice.
        upper_layer=upper_layer(layers) if named else None,
        embeddings=embeddings,
        teacher_head=head,
        multi_label=context.task.multi_label,
        spans=context.task.question_answering,
        class_weights=context.class_weights if terms.get("labels") else None,
    )


def stage_masking(context: Context, section: DistillationSection) -> RowMasking | None:
    """What hides tokens of the texts that the stage reads, if its terms guess any."""
    guesses = any(section.terms.get(name) for name in ("masked_lm", "soft_masked_lm"))
    return RowMasking(context.tokenizer, seed=context.recipe.seed) if guesses else None


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
            objective=Objective([context.label_term()]),
            dataset=context.train_tokens,
        )

    context.stages.run(
        "baseline",
        version=1,
        settings=[
            settings(baseline),
            recipe.data.max_length_tokens,
            recipe.seed,
            *context.weighting,
            *context.windowing,
        ],
        inputs=context.digest("data", "initialize"),
        work=work,
        together=True,
    )
