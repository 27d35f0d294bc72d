"""Tiny models of each kind of labels, and how they are asked in PyTorch."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tests import tiny
from transformers import PreTrainedModel

from bertling.data.examples import Examples
from bertling.data.tokenized_examples import tokenize_examples
from bertling.evaluation.scores import predict_logits
from bertling.exporting.write import write_export
from bertling.results import Environment
from bertling.results_of_exports import Export
from bertling.tasks import Task

LIMIT = 12
COUNT = 24
ENVIRONMENT = Environment(
    date="2026-01-01T00:00:00+00:00",
    commit=None,
    cpu="a CPU",
    cores=2,
    threads=1,
    memory_bytes=8_000_000_000,
    accelerator=None,
    python="3.11.7",
    versions={},
)
NAMES = ["O", "B-X", "I-X"]
TASKS = {
    "classification": Task("single"),
    "pairs": Task("double", text="left", text_pair="right"),
    "regression": Task("number", regression=True, metric="spearman"),
    "multi_label": Task("several", multi_label=True, metric="micro_f1"),
    "words": Task("words", text="words", word_labels=True, metric="chunk_f1"),
}


def examples_of(kind: str) -> Examples:
    """Of all lengths up to beyond the limit, so that some are cut."""
    chance = random.Random(0)
    rows = [
        [f"w{chance.randrange(98)}" + "x1" * (place % 2) for place in range(1 + row % 15)]
        for row in range(COUNT)
    ]
    texts = [" ".join(row) for row in rows]
    if kind == "words":
        return Examples(texts, None, [[chance.randrange(3) for _ in row] for row in rows], NAMES, rows)
    if kind == "regression":
        return Examples(texts, None, [float(number) for number in range(COUNT)], None)
    if kind == "multi_label":
        return Examples(texts, None, [[row % 3] if row % 2 else [] for row in range(COUNT)], NAMES)
    pairs = [" ".join(row[: 1 + len(row) % 3]) for row in rows] if kind == "pairs" else None
    return Examples(texts, pairs, [row % 3 for row in range(COUNT)], NAMES)


def model_of(kind: str, architecture: str = "bert", **settings: Any) -> PreTrainedModel:
    classes = 1 if kind == "regression" else 3
    make = tiny.word_classifier if kind == "words" else tiny.classifier
    return make(architecture, num_labels=classes, **settings)


def logits_function(examples: Examples) -> Callable[[PreTrainedModel], npt.NDArray[np.float32]]:
    tokenizer = tiny.tokenizer()
    tokens = tokenize_examples(tokenizer, examples, max_length_tokens=LIMIT)
    return lambda model: predict_logits(model, tokenizer, tokens)


def write(folder: Path, kind: str, model: PreTrainedModel, **settings: Any) -> Export:
    examples = examples_of(kind)
    given: dict[str, Any] = {"score_of": lambda logits: 0.5, "max_length_tokens": LIMIT}
    return write_export(
        model,
        tiny.tokenizer(),
        folder,
        task=TASKS[kind],
        examples=examples,
        logits_of=logits_function(examples),
        environment=ENVIRONMENT,
        **given | settings,
    )
