"""Stage ``evaluate``: scores, sizes and latencies, all models in one process on one machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import PreTrainedModel

from bertling.evaluation.answer_scores import PREDICTED
from bertling.evaluation.answer_yardsticks import most_overlap, no_answer
from bertling.evaluation.answers import answer_questions
from bertling.evaluation.environment import describe_environment
from bertling.evaluation.latency import measure_latency, question_answerer, text_classifier
from bertling.evaluation.metrics import score
from bertling.evaluation.scores import predict_logits, predictions
from bertling.evaluation.size import model_size, parameter_count
from bertling.evaluation.yardsticks import (
    Yardstick,
    majority_class,
    majority_labels,
    majority_of_words,
    tfidf_logistic_regression,
)
from bertling.files import whole_file, write_whole
from bertling.models.student import shape_of
from bertling.pipeline import augmentation
from bertling.pipeline.context import Context, settings
from bertling.pipeline.disagreements import disagreements, other_answers
from bertling.pipeline.distillation import mapped_layers
from bertling.pipeline.stages import Clock
from bertling.results import DataSummary, HistoryPoint, ModelResult, Results, read_results

PREDICTIONS = "predictions.parquet"
"""in the stage's folder: the reported set's labels, and what each model says"""

_ROLES = {"teacher": "teacher", "student": "prediction", "baseline": "baseline"}


def evaluate(context: Context) -> Results:
    """Stage ``evaluate``: scores, sizes and latencies, all models in one process on one machine."""
    recipe = context.recipe
    roles = {role: stage for role, stage in _ROLES.items() if stage in context.stages.done}

    def work(folder: Path, clock: Clock) -> None:
        results, answers = _measure(context, roles)
        # Hidden until it is whole, as a kill may leave it.
        with whole_file(folder / PREDICTIONS) as partial:
            pq.write_table(pa.table({name: _column(values) for name, values in answers.items()}), partial)
        write_whole(folder / "results.json", results.model_dump_json(indent=1))

    done = context.stages.run(
        "evaluate",
        version=3,
        settings=[
            *map(settings, (recipe.task, recipe.data, recipe.student, recipe.evaluate, recipe.report)),
            settings(recipe.augment),
            recipe.name,
            recipe.seed,
            *context.task.further_metrics,
        ],
        inputs=context.digest(
            *["data", "initialize", *["augment"] * (recipe.augment is not None)],
            *dict.fromkeys([*_trained(context), *roles.values()]),
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


def read_predictions(run: Path) -> dict[str, npt.NDArray[Any]]:
    """What the models of a finished run say of each example of the reported set, in its order.

    Returns:
        ``label``, ``teacher``, ``student`` and, if the run has one, ``baseline``: (N,) class ids, or numbers
        for a regression. Of words (N, W), negative for no answer and behind the last; of several labels
        (N, C), 0 or 1. Of questions (N,) lists of right texts as ``label``, and answers of `PREDICTED`.
    """
    table = pq.read_table(run / "stages" / "evaluate" / PREDICTIONS)
    if pa.types.is_struct(table.schema.field("student").type):
        return {name: _answers(table[name].to_pylist()) for name in table.column_names}
    columns = {name: table[name].to_numpy() for name in table.column_names}
    return {name: np.stack(values) if values.dtype == object else values for name, values in columns.items()}


def _answers(rows: list[Any]) -> npt.NDArray[Any]:
    if isinstance(rows[0], dict):
        return np.asarray(
            [tuple(row[name] for name in PREDICTED.names or ()) for row in rows], dtype=PREDICTED
        )
    right = np.empty(len(rows), dtype=object)
    for place, texts in enumerate(rows):
        right[place] = texts
    return right


def _column(values: npt.NDArray[Any]) -> pa.Array:
    if values.dtype == PREDICTED:
        return pa.array([dict(zip(PREDICTED.names or (), row, strict=True)) for row in values.tolist()])
    if values.dtype == object:
        return pa.array(values.tolist(), pa.list_(pa.string()))
    return pa.array(values if values.ndim == 1 else list(values))


def _measure(context: Context, roles: dict[str, str]) -> tuple[Results, dict[str, npt.NDArray[Any]]]:
    recipe, test = context.recipe, context.test
    models = {
        role: context.classifier(context.model_of(stage), new_head=False) for role, stage in roles.items()
    }
    asked = context.task.question_answering
    logits = {
        role: predict_logits(
            model, context.tokenizer, context.test_tokens, batch_size=recipe.evaluate.batch_size
        )
        for role, model in models.items()
        if not asked
    }
    yardsticks: dict[str, Yardstick] = {
        name: _yardstick(context, name) for name in recipe.evaluate.yardsticks
    }
    latency = measure_latency(
        _timed(context, models, yardsticks),
        _latency_texts(context),
        threads=recipe.evaluate.latency_threads,
    )
    references = test.label_array()
    answers: dict[str, npt.NDArray[Any]] = {
        role: answer_questions(
            model,
            context.tokenizer,
            context.test_tokens,
            test.text_pairs or [],
            unanswerable=context.task.unanswerable,
            batch_size=recipe.evaluate.batch_size,
        )
        if asked
        else predictions(logits[role], regression=test.regression, multi_label=test.multi_label)
        for role, model in models.items()
    }
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
            further_sets=_further_sets(context, model),
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
    most = recipe.report.disagreements if recipe.report else 0
    if asked:
        listed, count = other_answers(test, answers["teacher"], answers["student"], most=most)
    else:
        listed, count = disagreements(test, logits["teacher"], logits["student"], most=most)
    teacher, student = measured["teacher"], measured["student"]
    results = Results(
        name=recipe.name,
        task=context.task.name,
        teacher=teacher,
        student=student,
        baseline=measured.get("baseline"),
        yardsticks=plain,
        score_retention=student.score / teacher.score if teacher.score > 0 else None,
        speedup=latency["teacher"].p50_ms / latency["student"].p50_ms,
        size_ratio=(teacher.size_bytes or 0) / (student.size_bytes or 1),
        wall_seconds={},
        latency_threads=recipe.evaluate.latency_threads,
        data=_data_summary(context),
        layer_map=mapped_layers(context, models["student"], models["teacher"]),
        teacher_layers=shape_of(models["teacher"].config).layers,
        initialization=recipe.student.model or recipe.student.initialization,
        histories={name: _history(context, name) for name in _trained(context)},
        disagreements=listed,
        disagreement_count=count,
        augmentation=augmentation.summarize(context),
        environment=describe_environment(threads=torch.get_num_threads()),
    )
    return results, {"label": references, **answers}


def _further_sets(context: Context, model: PreTrainedModel) -> dict[str, float]:
    """The task's score on each set that is reported beside the test set."""
    scores = {}
    for name, examples in context.further_tests.items():
        logits = predict_logits(
            model,
            context.tokenizer,
            context.tokenized(examples),
            batch_size=context.recipe.evaluate.batch_size,
        )
        answers = predictions(logits, regression=examples.regression)
        scores[name] = score(context.task.metric, answers, np.asarray(examples.labels))
    return scores


def _timed(
    context: Context, models: dict[str, PreTrainedModel], yardsticks: dict[str, Yardstick]
) -> dict[str, Callable[[str, str | None], object]]:
    length = context.recipe.data.max_length_tokens
    timed: dict[str, Callable[[str, str | None], object]] = {
        role: question_answerer(
            model, context.tokenizer, max_length_tokens=length, stride_tokens=context.stride_tokens
        )
        if context.task.question_answering
        else text_classifier(model, context.tokenizer, length)
        for role, model in models.items()
    }
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
    assert train.labels is not None
    lists = cast("list[list[int]]", train.labels)
    labels = cast("list[int] | list[float]", train.labels)
    if name == "majority" and train.words is not None and test.words is not None:
        return majority_of_words(train.words, lists, test.words)
    if name == "majority" and train.multi_label:
        return majority_labels(lists, label_count=len(train.label_names or ()), test_count=len(test))
    if name == "majority":
        return majority_class(labels, test_count=len(test), regression=train.regression)
    return tfidf_logistic_regression(
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
        source=str(place),
        train_examples=len(context.train),
        evaluation_examples=len(context.test),
        label_names=context.train.label_names,
        max_length_tokens=source.max_length_tokens,
        truncated_fraction=sum(part.truncated for part in tokens) / sum(len(part) for part in tokens),
    )


def _history(context: Context, stage: str) -> list[HistoryPoint]:
    points = json.loads((context.stages.done[stage].folder / "history.json").read_text(encoding="utf-8"))
    return [HistoryPoint.model_validate(point) for point in points]
