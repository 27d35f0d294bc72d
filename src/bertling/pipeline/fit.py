"""Whether recipe, teacher and student fit together: found out before anything is trained."""

from __future__ import annotations

from transformers import PretrainedConfig, PreTrainedTokenizerBase
from transformers.integrations.integration_utils import get_available_reporting_integrations

from bertling.errors import ModelError, RecipeError
from bertling.models.anatomy import first_position
from bertling.models.packed import refuse_unpackable
from bertling.models.student import Shape, check_source, shape_of
from bertling.models.teacher import load_encoder, load_tokenizer, same_vocabulary
from bertling.objectives.layer_map import layer_map
from bertling.pipeline.context import Context
from bertling.pipeline.preparation import shape
from bertling.pipeline.teachers import task_teachers
from bertling.recipe.schema import Recipe


def check_fit(context: Context) -> None:
    """Load what the recipe names and compare it.

    Raises:
        RecipeError: a tracker that is not there, a length limit that a model has no positions for, a
            corpus for a task of pairs, a term for layers that the student does not have, or heads to be
            left out by attention to special tokens that there are not.
        ModelError: a model that cannot be loaded, an architecture that is not supported, vocabularies that
            do not fit, a student that cannot start from this teacher, or packed rows for a model that cannot
            read them.
        ShapeError: a layer map that does not fit.
    """
    recipe, student = context.recipe, context.recipe.student
    _check_trackers(recipe)
    _check_unlabelled(context)
    for named in task_teachers(recipe):
        _check_tokens(context, named.model, load_encoder(named.model).config, context.tokenizer_of(named))
    teacher = load_encoder(recipe.source).config
    if recipe.teacher.predictions_only:
        _check_tokens(context, recipe.source, teacher, context.tokenizer)
    if student.model:
        same_vocabulary(context.tokenizer, load_tokenizer(student.model))
        config = load_encoder(student.model).config
        _check_tokens(context, student.model, config, context.tokenizer)
    else:
        config = teacher
    wanted = shape(context)
    student_layers = wanted.layers
    if not student.model or student.makes_smaller:
        _check_source(recipe, config, wanted)
    if recipe.general and recipe.general.packed:
        for model in (teacher, config):
            refuse_unpackable(model)
    if recipe.general or not recipe.teacher.predictions_only:
        layer_map(student.layer_map, student_layers=student_layers, teacher_layers=shape_of(teacher).layers)
    _check_terms(recipe, student_layers)
    _check_special_tokens(context)


def _check_source(recipe: Recipe, source: PretrainedConfig, wanted: Shape) -> None:
    student = recipe.student
    try:
        check_source(
            source, wanted, initialization=student.initialization, source_layers=student.source_layers
        )
    except ModelError as error:
        if student.model is None:
            raise
        raise ModelError(
            f"{student.model}, called the teacher here, cannot be made smaller that way: {error}"
        ) from None


def _check_terms(recipe: Recipe, student_layers: int) -> None:
    stages = {"intermediate": recipe.intermediate, "prediction": recipe.prediction}
    asking = [name for name, section in stages.items() if section and section.terms.get("patient_states")]
    if asking and student_layers == 1:
        raise RecipeError(
            [
                f"[{name}] terms: patient_states compares the layers below the student's last one, and it "
                "has one layer; leave it out"
                for name in asking
            ],
            source=recipe.name,
        )


def _check_special_tokens(context: Context) -> None:
    """Heads are left out by their attention to tokens that not every tokenizer has."""
    recipe, tokenizer = context.recipe, context.tokenizer
    asking = [
        name
        for name in ("general", "intermediate", "prediction")
        if (section := getattr(recipe, name)) and section.no_op_threshold is not None
    ]
    if asking and tokenizer.sep_token_id is None and tokenizer.cls_token_id is None:
        raise RecipeError(
            [
                f"[{name}] no_op_threshold: the tokenizer of {recipe.source} has neither sep_token nor "
                "cls_token, so attention to them cannot be measured; leave it out"
                for name in asking
            ],
            source=recipe.name,
        )


def _check_unlabelled(context: Context) -> None:
    if context.task.text_pair is None or context.task.sentence_embeddings:
        return
    recipe = context.recipe
    asking = [
        name for name in ("intermediate", "prediction") if getattr(getattr(recipe, name), "unlabelled", 0)
    ]
    if asking:
        raise RecipeError(
            [
                f"[{name}] unlabelled: the task has pairs, the corpus single texts; leave it out"
                for name in asking
            ],
            source=recipe.name,
        )


def _check_trackers(recipe: Recipe) -> None:
    available = get_available_reporting_integrations()
    if missing := [name for name in recipe.report_to if name not in available]:
        here = ", ".join(available) or "none"
        raise RecipeError(
            [f"report_to: got {name!r}; the trackers installed here: {here}" for name in missing],
            source=recipe.name,
        )


def _check_tokens(
    context: Context, name: str, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase
) -> None:
    if len(tokenizer) > config.vocab_size:
        raise ModelError(
            f"the tokenizer knows {len(tokenizer)} tokens, but {name} has embeddings for "
            f"{config.vocab_size}: use the model's own tokenizer, or resize_token_embeddings and save it"
        )
    positions = config.max_position_embeddings - first_position(config)
    limits = {"data": context.recipe.data.max_length_tokens}
    if context.recipe.general and name in (context.recipe.source, context.recipe.student.model):
        limits["general"] = context.recipe.general.max_length_tokens
    if problems := [
        f"[{section}] max_length_tokens: got {limit}; {name} has positions for {positions} tokens"
        for section, limit in limits.items()
        if limit > positions
    ]:
        raise RecipeError(problems, source=context.recipe.name)
