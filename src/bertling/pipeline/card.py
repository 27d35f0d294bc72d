"""Model cards: what a student is, and what was measured."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open
from transformers import AutoConfig

from bertling.data.answer_tokenization import default_stride
from bertling.evaluation.answers import MOST_ANSWER_TOKENS
from bertling.models.student import shape_of
from bertling.recipe.data_sections import DataSection
from bertling.recipe.schema import Recipe
from bertling.results import ModelResult, Results
from bertling.results_of_exports import Trimming

_PIPELINES = {
    "SequenceClassification": "text-classification",
    "TokenClassification": "token-classification",
    "QuestionAnswering": "question-answering",
    None: "sentence-similarity",
}
"""how model hubs call what a head does"""


def model_card(results: Results, recipe: Recipe) -> str:
    """Markdown with the metadata block that model hubs read."""
    rows = [("teacher", results.teacher)] if results.teacher else []
    rows.append(("**this model**", results.student))
    if results.baseline:
        rows.append(("same shape and start, labels alone", results.baseline))
    table = "\n".join(_row(name, result) for name, result in rows)
    data, where = results.data, results.environment
    threads = "1 thread" if results.latency_threads == 1 else f"{results.latency_threads} threads"
    # JSON strings are YAML strings: names from the user's data cannot break out of the block.
    return f"""---
library_name: {"sentence-transformers" if recipe.task.sentence_embeddings else "transformers"}
pipeline_tag: {_PIPELINES[recipe.task.head]}
tags: [bertling, distillation, {recipe.method}]
model_name: {json.dumps(results.name)}
---

# {results.name}

A student made by bertling (method {recipe.method}) from {_made_from(recipe)} for the task
{results.task}: {results.student.layers} layers, {results.student.width} wide.

| model | {results.student.metric} | parameters | MB | latency, ms (p50) |
|---|---|---|---|---|
{table}

{_against_the_teacher(results)}Scores are on {data.evaluation_examples:,} examples of
{_reported_set(recipe.data)}, which it was not trained on.
Latency: batch 1, {threads} of {where.cpu}, PyTorch float32, {where.date}.

{_how_to_read(recipe)}
"""


def _made_from(recipe: Recipe) -> str:
    if not recipe.teacher.predictions_only:
        return recipe.source
    return f"{recipe.source}, with the predictions of {recipe.teacher.named},"


def _against_the_teacher(results: Results) -> str:
    if results.teacher is None:
        return ""
    retention = f"{results.score_retention:.1%}" if results.score_retention is not None else "not defined"
    if results.speedup is None or results.size_ratio is None:
        return f"It keeps {retention} of its teacher's score. "
    return (
        f"It keeps {retention} of its teacher's score, is {results.speedup:.1f} times as fast and\n"
        f"{results.size_ratio:.1f} times smaller. "
    )


def _how_to_read(recipe: Recipe) -> str:
    length = recipe.data.max_length_tokens
    if recipe.task.sentence_embeddings:
        return f"""An embedding is the mean of the last hidden states over a text's tokens, special ones
included and padding left out; texts are compared by cosine. sentence-transformers loads this folder as it
is, and cuts texts at {length} tokens, as in training and here. With AutoModel average yourself, and pass
`truncation=True, max_length={length}`. It has no pooler: where transformers makes one up, leave it alone."""
    if not recipe.task.question_answering:
        return f"""Texts were cut at {length} tokens, in training and here: pass
`truncation=True, max_length={length}`."""
    stride = default_stride(length) if recipe.data.stride_tokens is None else recipe.data.stride_tokens
    none = (
        "\nThere is none where the first token's logits have a larger sum in each window."
        if recipe.task.unanswerable
        else ""
    )
    return f"""Questions come first, contexts second, in windows of {length} tokens, here as in training: pass
`truncation="only_second", max_length={length}, stride={stride}, return_overflowing_tokens=True`.
The answer is the part of the context, of at most {MOST_ANSWER_TOKENS} tokens, whose logits of start and end
have the largest sum in any window.{none}"""


def general_card(model: Path, recipe: Recipe) -> str:
    """Markdown for a general student: what is trained in it, and what is not.

    Args:
        model: its folder.
        recipe: that made it.
    """
    general = recipe.general
    assert general is not None
    config = AutoConfig.from_pretrained(model)
    size = shape_of(config)
    with safe_open(model / "model.safetensors", framework="np") as weights:
        has_pooler = any("pooler" in name for name in weights.keys())  # noqa: SIM118 (no mapping)
    pooler = (
        "Its pooler was cut out of the teacher's; no loss of the general stage reads it, so it has not "
        "been trained since."
        if has_pooler
        else "It has no pooler: no loss of the general stage reads one, so it would be random."
    )
    text = general.corpus or general.corpus_hub or "the built-in texts"
    return f"""---
library_name: transformers
tags: [bertling, distillation, {recipe.method}]
---

# {recipe.name}: general student

A {config.model_type} encoder of {size.layers} layers, {size.width} wide, made by bertling
(method {recipe.method}) from {recipe.source} on {text}. Embeddings and layers are trained.
{pooler} It has no classifier.

To distil it for a task, name this folder as `model` in `[student]` of a recipe: the task's stages start
what is missing at random, seeded, and train all of it. The recipe's `[teacher]` must read the same
vocabulary.
"""


def trimmed_card(trimming: Trimming, source: str) -> str:
    """Markdown for a model whose vocabulary was trimmed.

    Args:
        trimming: what became of it.
        source: the model before.
    """
    measured = ""
    if trimming.score_before is not None and trimming.score_after is not None:
        measured = f"""
On {trimming.examples:,} examples that were not looked at, {trimming.resplit_fraction:.2%} of the pieces gave
way to others; {trimming.metric} {trimming.score_before:.4f} before, {trimming.score_after:.4f} after.
"""
    return f"""---
library_name: transformers
tags: [bertling, distillation]
---

# {Path(source).name}, trimmed

{source} with {trimming.pieces_after:,} of its {trimming.pieces_before:,} word pieces: those that
{trimming.texts:,} texts of its domain use, and those that any text needs. {trimming.parameters_after:,} of
{trimming.parameters_before:,} parameters are left. Its token ids are its own: use the tokenizer here.
{measured}"""


def _reported_set(data: DataSection) -> str:
    if data.folder:
        return f"the development set in {data.folder}"
    if data.hub:
        return f"the split {data.test_split} of {data.hub}"
    if data.held_out_fraction:
        return f"a held-out part of {data.train}"
    return str(data.test or f"the test part of {data.builtin}")


def _row(name: str, result: ModelResult) -> str:
    return (
        f"| {name} | {result.score:.4f} | {result.parameters or 0:,} | {(result.size_bytes or 0) / 1e6:.1f} "
        f"| {result.latency_ms_p50 or 0:.2f} |"
    )
