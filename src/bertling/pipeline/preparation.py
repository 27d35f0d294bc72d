"""The stages before distillation: data, teacher, initialize."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel, set_seed

from bertling.data.docstrings import LIBRARIES, docstring_fingerprint, read_docstrings
from bertling.data.examples import Examples
from bertling.data.glue import read_glue, read_glue_devs
from bertling.data.held_out import hold_out
from bertling.data.hub import read_hub
from bertling.data.loading import read_examples
from bertling.data.soft_labels import read_soft_test, read_soft_train
from bertling.errors import DataError, ModelError
from bertling.models.student import PRESETS, Shape, create_student, shape_of
from bertling.models.teacher import load_encoder
from bertling.objectives.objective import Objective
from bertling.pipeline.context import FURTHER_TEST, Context, hash_model, settings
from bertling.pipeline.corpus import general_tokens
from bertling.pipeline.fingerprint import hash_path
from bertling.pipeline.soft_targets import refuse_labels
from bertling.pipeline.stages import Clock
from bertling.pipeline.teacher_check import (
    check_soft_labels,
    check_teacher,
    note_check,
    noted_check,
    refuse_weak,
)
from bertling.pipeline.teachers import TaskTeacher, task_teachers
from bertling.pipeline.training import train
from bertling.tasks import GLUE_LAYOUTS, on_hub

# So many that the smallest of the libraries has enough, with room for versions that document less.
_DOCSTRING_TRAIN, _DOCSTRING_TEST, _DOCSTRING_CORPUS = 8 * 900, 8 * 250, 200_000


def prepare_data(context: Context) -> None:
    """Stage ``data``: any source as ``train.parquet`` and ``test.parquet``; the built-in ``corpus.txt``.

    MNLI's mismatched set, which is reported beside the matched one, becomes ``test-mismatched.parquet``; what
    stages are stopped by, ``validation.parquet``.
    """
    recipe = context.recipe
    source = recipe.data

    def work(folder: Path, clock: Clock) -> None:
        for left in folder.glob(".*.partial"):  # by a kill while a file was written
            left.unlink()
        train, test = _read(context, folder)
        further = _read_further(context)
        sets = {}
        for name, examples, count in (
            ("train", train, source.train_examples),
            ("test", test, source.test_examples),
            *(
                (f"{FURTHER_TEST}{name}", examples, source.test_examples)
                for name, examples in further.items()
            ),
        ):
            if count and source.builtin is None:
                examples = examples.draw(count, seed=recipe.seed)
            sets[name] = examples
        for name, examples in (sets | _with_validation(context, sets["train"])).items():
            if not len(examples):
                raise DataError(f"the {name} set is empty; expected at least one example")
            examples.save(folder / f"{name}.parquet")

    context.stages.run(
        "data",
        version=1,
        settings=[
            settings(source, without=["max_length_tokens", "stride_tokens"]),
            settings(recipe.task),
            recipe.seed,
            *_further_names(context),
            *([recipe.teacher.soft_labels] if recipe.teacher.soft_labels else []),
        ],
        inputs=_data_hashes(context),
        work=work,
    )
    if not context.train.labelled:
        refuse_labels(context)


def _data_hashes(context: Context) -> dict[str, str]:
    source = context.recipe.data
    if source.builtin:
        return {"docstrings": docstring_fingerprint()}
    paths = [
        path for path in (source.folder, source.train, source.test, source.validation) if path is not None
    ]
    for path in paths:
        if not path.exists():
            raise DataError(
                f"{path} does not exist (looked in {Path.cwd()}); set [data] to where the files are"
            )
    return {str(path): hash_path(path) for path in paths}


def _read(context: Context, folder: Path) -> tuple[Examples, Examples]:
    source, task = context.recipe.data, context.task
    if source.builtin:
        data = read_docstrings(
            seed=context.recipe.seed,
            train_per_class=(source.train_examples or _DOCSTRING_TRAIN) // len(LIBRARIES),
            test_per_class=(source.test_examples or _DOCSTRING_TEST) // len(LIBRARIES),
            corpus_texts=_DOCSTRING_CORPUS,
        )
        (folder / "corpus.txt").write_text("\n".join(data.corpus) + "\n", encoding="utf-8")
        return data.train, data.test
    if source.hub:
        return read_hub(
            source.hub, on_hub(task), train_split=source.train_split, test_split=source.test_split
        )
    if source.folder:
        return read_glue(source.folder, task.name)
    assert source.train is not None
    soft_labels = context.recipe.teacher.soft_labels
    if soft_labels:
        train = read_soft_train(source.train, task, soft_labels)
    else:
        train = read_examples(source.train, task)
    if source.held_out_fraction and not train.labelled:
        raise DataError(
            f"{source.train} has no column {task.label!r}, and a part of it is to be reported: give a test "
            "file with labels in the place of held_out_fraction, or add labels"
        )
    if source.held_out_fraction:
        return hold_out(train, fraction=source.held_out_fraction, seed=context.recipe.seed)
    assert source.test is not None
    if soft_labels:
        return train, read_soft_test(source.test, task, soft_labels)
    return train, read_examples(source.test, task, label_names=train.label_names)


def _with_validation(context: Context, train: Examples) -> dict[str, Examples]:
    """The validation set, where the recipe has one, and what is left to train on."""
    source = context.recipe.data
    if source.validation:
        return {"validation": read_examples(source.validation, context.task, label_names=train.label_names)}
    if source.validation_fraction is None:
        return {}
    if not train.labelled:
        raise DataError(
            f"the training set has no column {context.task.label!r}, and a part of it is to be scored: give "
            "a file with labels as validation in the place of validation_fraction, or add labels"
        )
    fraction, seed = source.validation_fraction, context.recipe.seed
    rest, held = hold_out(train, fraction=fraction, seed=seed, setting="validation_fraction")
    return {"train": rest, "validation": held}


def _further_names(context: Context) -> list[str]:
    """Names of the sets that are reported beside the test set: MNLI's mismatched one."""
    source, layout = context.recipe.data, GLUE_LAYOUTS.get(context.task.name)
    # A test set of the user's own stands alone.
    if layout and (source.folder or (source.hub and source.test_split == layout.hub_dev)):
        return list(layout.further_devs)
    return []


def _read_further(context: Context) -> dict[str, Examples]:
    source, task = context.recipe.data, context.task
    names = _further_names(context)
    if names and source.folder:
        devs = read_glue_devs(source.folder, task.name)
        return {name: devs[name] for name in names}
    splits = {name: GLUE_LAYOUTS[task.name].further_hub_devs[name] for name in names}
    return {
        # What is read in the place of the training set names the labels.
        name: read_hub(source.hub or "", on_hub(task), train_split=source.test_split, test_split=split)[1]
        for name, split in splits.items()
    }


def prepare_teachers(context: Context) -> None:
    """Stage ``teacher``, or of several ``teacher-1`` and on: fine-tuned on the task, or taken as they are.

    The outputs are put into the task's order. Soft labels are looked at alone.

    Raises:
        ModelError: as `load_classifier` does; or a teacher is no better than one answer for all texts.
    """
    for teacher in task_teachers(context.recipe):
        _prepare_teacher(context, teacher)
    if context.recipe.teacher.soft_labels and (check := check_soft_labels(context)):
        refuse_weak(context, check, f"the black box ({context.recipe.teacher.named})")


def _prepare_teacher(context: Context, teacher: TaskTeacher) -> None:
    recipe = context.recipe

    def work(folder: Path, clock: Clock) -> None:
        set_seed(recipe.seed)
        if recipe.teacher.fine_tune:
            model = context.classifier(teacher.model, new_head=True)
            train(
                context,
                folder,
                clock,
                recipe.teacher,
                student=model,
                objective=Objective([context.label_term(model)]),
                dataset=context.tokenized(context.train, teacher=teacher),
                reader=teacher,
            )
        else:
            model = context.teacher_as_it_is(teacher)
            context.save(model, folder / "model", tokenizer_of=teacher.model)
        if context.processes.first:
            note_check(folder, check_teacher(context, model, teacher))

    done = context.stages.run(
        teacher.stage,
        version=2,
        settings=[
            settings(recipe.teacher, without=["model", "models", "soft_labels", "accept_weak"]),
            recipe.data.max_length_tokens,
            recipe.seed,
            *(context.weighting if recipe.teacher.fine_tune else []),
            *([teacher.labels] if recipe.teacher.models else []),
            *context.windowing,
        ],
        inputs={**context.digest("data"), "model": hash_model(teacher.model)},
        work=work,
        together=recipe.teacher.fine_tune,
    )
    refuse_weak(context, noted_check(done.folder), f"the teacher {teacher.model}")


def initialize_student(context: Context) -> None:
    """Stage ``initialize``: the student before any training; the baseline starts from it as well.

    With a general stage the student comes from the teacher before fine-tuning and has no head yet; without
    one it comes from the fine-tuned teacher, head included. Where teachers give predictions alone it comes
    from the encoder that the recipe names, without a head. A student that exists already brings its head
    where that is of the task's labels, and is made smaller where the recipe gives it sizes.
    """
    recipe, student = context.recipe, context.recipe.student
    from_encoder = recipe.general is not None or recipe.teacher.predictions_only

    def work(folder: Path, clock: Clock) -> None:
        set_seed(recipe.seed)
        if student.model and not student.makes_smaller:
            made = _existing(context, student.model)
        else:
            source = _source_of_student(context, from_encoder=from_encoder)
            texts = general_tokens(context) if recipe.general else context.train_tokens
            made = create_student(
                source,
                shape(context),
                initialization=student.initialization,
                source_layers=student.source_layers,
                calibration=context.calibration(texts) if student.initialization == "prune" else None,
                seed=recipe.seed,
            )
            if from_encoder and student.initialization == "random" and hasattr(made, "pooler"):
                # No loss of the general stage reads it: it would pass for trained.
                made.register_module("pooler", None)
        context.save(made, folder / "model")

    inputs = {"model": hash_model(student.model)} if student.model else {}
    if recipe.general:
        inputs |= {"teacher": context.pretrained_hash, **context.digest("corpus")}
    elif recipe.teacher.predictions_only:
        inputs |= {"source": context.pretrained_hash, **context.digest("data")}
    else:
        inputs |= context.digest("teacher", "data")
    context.stages.run(
        "initialize",
        version=2,
        settings=[
            settings(student, without=["layer_map", "source"]),
            # of the texts that importance is measured on, so that tasks can share a general student
            recipe.general.max_length_tokens if recipe.general else recipe.data.max_length_tokens,
            recipe.general is not None,
            recipe.seed,
            *([] if recipe.general else context.windowing),
            *(["with its head"] if student.model else []),
        ],
        inputs=inputs,
        work=work,
    )


def _source_of_student(context: Context, *, from_encoder: bool) -> PreTrainedModel:
    """The model that the student is made of."""
    recipe = context.recipe
    if recipe.student.model:
        return _existing(context, recipe.student.model)
    if from_encoder:
        return load_encoder(recipe.source)
    return context.classifier(context.model_of("teacher"), new_head=False)


def _existing(context: Context, name: str) -> PreTrainedModel:
    """A student that exists already, with its head where that is of the task's labels."""
    try:
        return context.classifier(name, new_head=False)
    except ModelError:
        context.console.print(
            f"{'':>14}{name} has no head for this task's labels: one starts at random", soft_wrap=True
        )
        return load_encoder(name)


def shape(context: Context) -> Shape:
    """The shape that the recipe names; of a student that it brings, what it does not name stays."""
    student = context.recipe.student
    if student.preset:
        return PRESETS[student.preset]
    sizes = (student.layers, student.width, student.heads, student.ffn)
    if student.model:
        there = shape_of(load_encoder(student.model).config)
        full = (there.layers, there.width, there.heads, there.ffn)
        return Shape(*(size or now for size, now in zip(sizes, full, strict=True)))
    return Shape(*(size for size in sizes if size is not None))
