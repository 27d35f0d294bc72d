"""The stages that train the student: general, intermediate, prediction; and the baseline beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
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
from bertling.pipeline.no_op_heads import counting_heads
from bertling.pipeline.soft_targets import SOFT_TARGETS, soft_targets
from bertling.pipeline.stages import Clock
from bertling.pipeline.training import train
from bertling.recipe.training_sections import DistillationSection, TaskDistillationSection
from bertling.training.calibration import fit_projections
from bertling.training.teacher_cache import SoftTargets


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
            teacher=load_encoder(recipe.source),
            dataset=general_tokens(context),
        )

    context.stages.run(
        "general",
        version=3,
        settings=[
            # which text it reads, the stage corpus knows
            settings(
                general,
                without=["corpus", "corpus_hub", "corpus_split", "corpus_column", "no_op_threshold"],
            ),
            settings(recipe.student, without=["source"]),
            recipe.seed,
            *_heads_left_out(general),
        ],
        inputs={**context.digest("initialize", "corpus"), "teacher": context.pretrained_hash},
        work=work,
        together=True,
    )


def _task_stage(context: Context, name: str, section: TaskDistillationSection, *, start: str) -> None:
    recipe = context.recipe
    grown = ["augment"] * (recipe.augment is not None) + ["corpus"] * section.unlabelled
    taught = [stage for stage in ("teacher", SOFT_TARGETS) if stage in context.stages.done]

    def work(folder: Path, clock: Clock) -> None:
        set_seed(recipe.seed)
        dataset = _task_tokens(context, section)
        _distil(
            context,
            folder,
            clock,
            section,
            # A general student brings no head: it starts at random here, seeded.
            student=context.classifier(context.model_of(start), new_head=True),
            teacher=_task_teacher(context, dataset),
            dataset=dataset,
        )

    context.stages.run(
        name,
        version=3,
        settings=[
            settings(section, without=["no_op_threshold"]),
            settings(recipe.student, without=["source"]),
            recipe.data.max_length_tokens,
            recipe.seed,
            *(context.weighting if section.terms.get("labels") else []),
            *context.windowing,
            *_heads_left_out(section),
        ],
        inputs=context.digest("data", *taught, start, *grown),
        work=work,
        together=True,
    )


def _heads_left_out(section: DistillationSection) -> list[dict[str, float]]:
    """Which heads do not count, as settings of a stage that leaves any out."""
    return [] if section.no_op_threshold is None else [{"no_op_threshold": section.no_op_threshold}]


def _task_teacher(context: Context, dataset: TokenRows) -> PreTrainedModel | SoftTargets | None:
    """The fine-tuned teacher; or predictions; or nobody, where these are not read."""
    if not context.recipe.teacher.predictions_only:
        return context.classifier(context.model_of("teacher"), new_head=False)
    return soft_targets(context, dataset) if SOFT_TARGETS in context.stages.done else None


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
    teacher: PreTrainedModel | SoftTargets | None,
    dataset: TokenRows,
) -> None:
    model = teacher if isinstance(teacher, PreTrainedModel) else None
    heads = None
    if model:
        layers = mapped_layers(context, student, model)
        heads = counting_heads(context, folder, section, teacher=model, dataset=dataset, layers=layers)
    objective = stage_objective(context, section, student, model, attention_heads=heads)
    if section.terms.get("soft_masked_lm") and not objective.has(SoftMaskedLMTerm):
        context.console.print(
            f"{'':>14}{context.recipe.source} has no masked-LM head: soft_masked_lm is left out",
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
        prepare=model and partial(_fit, context, objective, student, model, dataset),
    )


def _fit(
    context: Context,
    objective: Objective,
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    dataset: TokenRows,
) -> None:
    fit_projections(objective, student, teacher, context.calibration(dataset))


def stage_objective(
    context: Context,
    section: DistillationSection,
    student: PreTrainedModel,
    teacher: PreTrainedModel | None,
    *,
    attention_heads: Mapping[int, Sequence[int]] | None = None,
) -> Objective:
    """The terms that the recipe names, for these two models; without a teacher, those of predictions alone.

    ``soft_masked_lm`` is left out where the teacher has no masked-LM head. ``attention_heads`` are the
    teacher's that count in ``attention``, by layer; None: all of them.
    """
    terms = {str(name): weight for name, weight in section.terms.items() if weight}
    head = None
    if terms.get("soft_masked_lm"):
        head = masked_lm_head(context.recipe.source)
        if head is None:
            del terms["soft_masked_lm"]
    # Terms of predictions read no layers: what stands for them is never looked at.
    layers = mapped_layers(context, student, teacher) if teacher else {1: 1}
    of_teacher = shape_of((teacher or student).config)
    embeds = context.task.sentence_embeddings
    named = isinstance(context.recipe.student.layer_map, str)
    embeddings = student.get_input_embeddings()
    assert isinstance(embeddings, nn.Embedding)
    return build_objective(
        terms,
        layers,
        student_width=shape_of(student.config).width,
        teacher_width=of_teacher.width,
        temperature=section.temperature,
        # A list of layers is the user's own choice.
        upper_layer=upper_layer(of_teacher.layers) if named else None,
        embeddings=embeddings,
        teacher_head=head,
        multi_label=context.task.multi_label,
        spans=context.task.question_answering,
        class_weights=context.class_weights if terms.get("labels") else None,
        attention_heads=attention_heads,
        sentence_layers=(shape_of(student.config).layers, of_teacher.layers) if embeds else None,
        similarity_range=context.similarities if embeds and terms.get("labels") else (0.0, 1.0),
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
        student = context.classifier(context.model_of("initialize"), new_head=True)
        train(
            context,
            folder,
            clock,
            baseline,
            student=student,
            objective=Objective([context.label_term(student)]),
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
