"""Stage ``evaluate``: scores, sizes and latencies, all models in one process on one machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from bertling.data.examples import Examples
from bertling.evaluation.answer_yardsticks import most_overlap, no_answer
from bertling.evaluation.answers import answer_questions
from bertling.evaluation.by_label import answers_by_label
from bertling.evaluation.environment import describe_environment
from bertling.evaluation.latency import measure_latency
from bertling.evaluation.metrics import score
from bertling.evaluation.scores import predict_logits, predictions
from bertling.evaluation.size import model_size, parameter_count
from bertling.evaluation.yardsticks import (
    Yardstick,
    majority_class,
    majority_labels,
    majority_of_words,
    tfidf_cosine,
    tfidf_linear_model,
)
from bertling.files import write_whole
from bertling.models.student import shape_of
from bertling.pipeline import augmentation
from bertling.pipeline.closeness import closeness
from bertling.pipeline.context import Context, settings
from bertling.pipeline.disagreements import disagreements, other_answers
from bertling.pipeline.distillation import mapped_layers
from bertling.pipeline.panel import Panel, answering
from bertling.pipeline.predictions import write_predictions
from bertling.pipeline.soft_targets import logits_of_data
from bertling.pipeline.stages import Clock
from bertling.pipeline.teachers import task_teachers
from bertling.pipeline.training import VALIDATION
from bertling.recipe.schema import StudentSection
from bertling.results import (
    DataSummary,
    Disagreement,
    HistoryPoint,
    ModelResult,
    Results,
    ValidationPoint,
    read_results,
)

_ROLES = {"student": "prediction", "baseline": "baseline"}


def evaluate(context: Context) -> Results:
    """Stage ``evaluate``: scores, sizes and latencies, all models in one process on one machine."""
    recipe = context.recipe
    teachers = task_teachers(recipe)
    roles = {role: stage for role, stage in _ROLES.items() if stage in context.stages.done}

    def work(folder: Path, clock: Clock) -> None:
        results, answers = _measure(context, roles)
        write_predictions(folder, answers)
        write_whole(folder / "results.json", results.model_dump_json(indent=1))

    done = context.stages.run(
        "evaluate",
        version=4,
        settings=[
            *map(settings, (recipe.task, recipe.data)),
            settings(recipe.student, without=["source"]),
            *map(settings, (recipe.evaluate, recipe.report)),
            settings(recipe.augment),
            recipe.name,
            recipe.seed,
            *context.task.further_metrics,
            *([[teacher.weight for teacher in teachers]] if recipe.teacher.predictions_only else []),
        ],
        inputs=context.digest(
            *["data", "initialize", *["augment"] * (recipe.augment is not None)],
            *dict.fromkeys([*_trained(context), *(teacher.stage for teacher in teachers), *roles.values()]),
        ),
        work=work,
    )
    measured = read_results(done.folder / "results.json")
    seconds = {name: stage.seconds for name, stage in context.stages.done.items()}
    return measured.model_copy(update={"wall_seconds": seconds})


def _trained(context: Context) -> list[str]:
    return [
        name for name in context.stages.done if (context.stages.done[name].folder / "history.json").exists()
    ]


def _measure(context: Context, roles: dict[str, str]) -> tuple[Results, dict[str, npt.NDArray[Any]]]:
    recipe, test = context.recipe, context.test
    models = {
        role: context.classifier(context.model_of(stage), new_head=False) for role, stage in roles.items()
    }
    asked = context.task.question_answering
    panel = Panel(context) if task_teachers(recipe) else None
    logits = {} if asked else _logits(context, panel, models)
    yardsticks: dict[str, Yardstick] = {
        name: _yardstick(context, name) for name in recipe.evaluate.yardsticks
    }
    latency = measure_latency(
        _timed(context, panel, models, yardsticks),
        _latency_texts(context),
        threads=recipe.evaluate.latency_threads,
    )
    references = test.label_array()
    answers: dict[str, npt.NDArray[Any]] = {
        role: predictions(said, regression=test.regression, multi_label=test.multi_label)
        for role, said in logits.items()
    }
    if asked:
        answers = _answered_questions(context, panel, models)
    scored = partial(score, references=references, label_names=test.label_names)
    measured = {
        role: ModelResult(
            score=scored(context.task.metric, answers[role]),
            metric=context.task.metric,
            parameters=parameter_count(model),
            size_bytes=model_size(Path(context.model_of(roles[role]))),
            latency_ms_p50=latency[role].p50_ms,
            latency_ms_p95=latency[role].p95_ms,
            layers=shape_of(model.config).layers,
            width=shape_of(model.config).width,
            further_metrics={
                metric: scored(metric, answers[role]) for metric in context.task.further_metrics
            },
            further_sets=_further_sets(context, partial(_logits_of, context, model)),
        )
        for role, model in models.items()
    }
    plain = {
        name: ModelResult(
            score=scored(context.task.metric, yardstick.predictions),
            metric=context.task.metric,
            parameters=yardstick.parameters,
            size_bytes=yardstick.size_bytes,
            latency_ms_p50=latency[name].p50_ms if name in latency else None,
            latency_ms_p95=latency[name].p95_ms if name in latency else None,
        )
        for name, yardstick in yardsticks.items()
    }
    listed: list[Disagreement] = []
    count, most = 0, recipe.report.disagreements if recipe.report else 0
    if asked:
        listed, count = other_answers(test, answers["teacher"], answers["student"], most=most)
    elif "teacher" in logits:
        listed, count = disagreements(test, logits["teacher"], logits["student"], most=most)
    teacher, student = None, measured["student"]
    if "teacher" in answers:
        teacher = ModelResult(
            score=scored(context.task.metric, answers["teacher"]),
            metric=context.task.metric,
            latency_ms_p50=latency["teacher"].p50_ms if panel else None,
            latency_ms_p95=latency["teacher"].p95_ms if panel else None,
            further_metrics={
                metric: scored(metric, answers["teacher"]) for metric in context.task.further_metrics
            },
            further_sets=_further_sets(context, panel.logits) if panel else {},
            **(panel.sizes if panel else {}),
        )
    bytes_of = (teacher and teacher.size_bytes, student.size_bytes)
    shown = panel.models[0] if panel and not recipe.teacher.predictions_only else None
    results = Results(
        name=recipe.name,
        task=context.task.name,
        teacher=teacher,
        student=student,
        baseline=measured.get("baseline"),
        yardsticks=plain,
        score_retention=student.score / teacher.score if teacher and teacher.score > 0 else None,
        speedup=latency["teacher"].p50_ms / latency["student"].p50_ms if panel else None,
        size_ratio=bytes_of[0] / bytes_of[1] if bytes_of[0] and bytes_of[1] else None,
        wall_seconds={},
        latency_threads=recipe.evaluate.latency_threads,
        data=_data_summary(context),
        layer_map=mapped_layers(context, models["student"], shown) if shown else {},
        teacher_layers=shape_of(shown.config).layers if shown else 0,
        taught_by=_taught_by(context),
        initialization=_start(recipe.student),
        histories={name: _history(context, name) for name in _trained(context)},
        validations={name: points for name in _trained(context) if (points := _validation(context, name))},
        disagreements=listed,
        disagreement_count=count,
        by_label=answers_by_label(test, answers, chunks=context.task.metric == "chunk_f1"),
        augmentation=augmentation.summarize(context),
        closeness=closeness(context, models, shown) if shown else {},
        environment=describe_environment(threads=torch.get_num_threads()),
    )
    return results, {"label": references, **answers}


def _start(student: StudentSection) -> str:
    """What the student was before anything was trained, in words."""
    if student.model and student.makes_smaller:
        return f"{student.model}, made smaller by {student.initialization}"
    return student.model or student.initialization


def _logits(
    context: Context, panel: Panel | None, models: dict[str, PreTrainedModel]
) -> dict[str, npt.NDArray[np.float32]]:
    """Of the reported set; the teacher's as well, whose part columns of the data may take."""
    test = context.test
    logits = {role: _logits_of(context, model, test) for role, model in models.items()}
    if panel is not None:
        return {"teacher": panel.logits(test), **logits}
    if test.soft_labels is not None:
        return {"teacher": logits_of_data(context, test), **logits}
    return logits


def _logits_of(context: Context, model: PreTrainedModel, examples: Examples) -> npt.NDArray[np.float32]:
    return predict_logits(
        model,
        context.tokenizer,
        context.test_tokens if examples is context.test else context.tokenized(examples),
        batch_size=context.recipe.evaluate.batch_size,
    )


def _answered_questions(
    context: Context, panel: Panel | None, models: dict[str, PreTrainedModel]
) -> dict[str, npt.NDArray[Any]]:
    """The answers to the reported set's questions. A teacher of questions reads what the student reads."""
    everyone = {"teacher": panel.models[0], **models} if panel else models
    return {
        role: answer_questions(
            model,
            context.tokenizer,
            context.test_tokens,
            context.test.text_pairs or [],
            unanswerable=context.task.unanswerable,
            batch_size=context.recipe.evaluate.batch_size,
        )
        for role, model in everyone.items()
    }


def _taught_by(context: Context) -> str | None:
    """What teaches by predictions alone, in words."""
    teacher = context.recipe.teacher
    if not teacher.predictions_only:
        return None
    if teacher.models and len(teacher.models) > 1:
        return f"{len(teacher.models)} models, their predictions averaged"
    return teacher.named if teacher.soft_labels else f"the predictions of {teacher.named}"


def _further_sets(
    context: Context, logits_of: Callable[[Examples], npt.NDArray[np.float32]]
) -> dict[str, float]:
    """The task's score on each set that is reported beside the test set."""
    scores = {}
    for name, examples in context.further_tests.items():
        answers = predictions(logits_of(examples), regression=examples.regression)
        scores[name] = score(context.task.metric, answers, np.asarray(examples.labels))
    return scores


def _timed(
    context: Context,
    panel: Panel | None,
    models: dict[str, PreTrainedModel],
    yardsticks: dict[str, Yardstick],
) -> dict[str, Callable[[str, str | None], object]]:
    timed: dict[str, Callable[[str, str | None], object]] = {"teacher": panel.answer} if panel else {}
    timed |= {role: answering(context, model, context.tokenizer) for role, model in models.items()}
    # A constant has no latency worth the name.
    return timed | {name: plain.predict for name, plain in yardsticks.items() if plain.parameters is not None}


def _latency_texts(context: Context) -> list[tuple[str, str | None]]:
    test = context.test
    pairs: list[str | None] = list(test.text_pairs) if test.text_pairs else [None] * len(test)
    texts = list(zip(test.texts, pairs, strict=True))
    count = min(context.recipe.evaluate.latency_texts, len(texts))
    # From all over the set: files are often in some order.
    return [texts[position * len(texts) // count] for position in range(count)]


def _yardstick(context: Context, name: str) -> Yardstick:
    train, test = context.train, context.test
    if name == "no_answer":
        return no_answer(len(test))
    if name == "overlap":
        return most_overlap(test.texts, test.text_pairs or [])
    if name == "tfidf_cosine":
        return tfidf_cosine(train.texts, train.text_pairs or [], test.texts, test.text_pairs or [])
    assert train.labels is not None
    lists = cast("list[list[int]]", train.labels)
    labels = cast("list[int] | list[float]", train.labels)
    if name == "majority" and train.words is not None and test.words is not None:
        return majority_of_words(train.words, lists, test.words)
    if name == "majority" and train.multi_label:
        return majority_labels(lists, label_count=len(train.label_names or ()), test_count=len(test))
    if name == "majority":
        return majority_class(labels, test_count=len(test), regression=train.regression)
    return tfidf_linear_model(
        train.texts,
        train.text_pairs,
        labels,
        test.texts,
        test.text_pairs,
        regression=train.regression,
        seed=context.recipe.seed,
    )


def _data_summary(context: Context) -> DataSummary:
    source = context.recipe.data
    place: Any = source.folder or source.train or source.hub or source.builtin
    tokens = (context.train_tokens, context.test_tokens)
    return DataSummary(
        task=context.task.name,
        kind=context.task.kind,
        source=str(place),
        train_examples=len(context.train),
        evaluation_examples=len(context.test),
        label_names=context.train.label_names,
        max_length_tokens=source.max_length_tokens,
        truncated_fraction=sum(part.truncated for part in tokens)
        / sum(len(part.text_lengths if part.apart else part) for part in tokens),
    )


def _history(context: Context, stage: str) -> list[HistoryPoint]:
    points = json.loads((context.stages.done[stage].folder / "history.json").read_text(encoding="utf-8"))
    return [HistoryPoint.model_validate(point) for point in points]


def _validation(context: Context, stage: str) -> list[ValidationPoint]:
    file = context.stages.done[stage].folder / VALIDATION
    points = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return [ValidationPoint.model_validate(point) for point in points]
