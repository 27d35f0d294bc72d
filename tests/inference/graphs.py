"""Exported folders without an encoder in them: a token adds its row of a table to the logits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from tests import tiny
from tokenizers import Tokenizer

from bertling.inference.manifest import GRAPH, MANIFEST, TOKENIZER, Manifest

LABELS = {
    "classification": ["red", "green", "blue"],
    "multi_label": ["red", "green", "blue"],
    "words": ["O", "B-X", "I-X"],
    "regression": [],
}
BASE = Manifest(
    task="colours",
    kind="classification",
    pairs=False,
    labels=LABELS["classification"],
    text="text",
    text_pair=None,
    max_length_tokens=8,
    truncation_side="right",
    pad_token_id=0,
    inputs=["input_ids", "attention_mask"],
    precision="float32",
    model_type="bert",
    versions={},
)


def table(kind: str = "classification") -> npt.NDArray[np.float32]:
    """(V, C): what each token adds; padding would add most."""
    values = np.random.default_rng(0).normal(size=(tiny.VOCABULARY, max(1, len(LABELS[kind]))))
    values[0] = 1e6
    return values.astype(np.float32)


def tokens(text: str, pair: str | None = None, *, limit: int = 8) -> list[int]:
    tokenizer = Tokenizer.from_str(tiny.tokenizer().backend_tokenizer.to_str())
    tokenizer.enable_truncation(limit)
    ids: list[int] = tokenizer.encode(text, pair).ids
    return ids


def expected(text: str, pair: str | None = None, kind: str = "classification") -> npt.NDArray[np.float32]:
    """(C,) logits by hand."""
    logits: npt.NDArray[np.float32] = table(kind)[tokens(text, pair)].sum(0)
    return logits


def write_folder(folder: Path, *, weights: npt.NDArray[np.float32] | None = None, **settings: Any) -> Path:
    """An export of any kind of labels, its limit 8 tokens."""
    kind = settings.get("kind", "classification")
    manifest = replace(BASE, **{"labels": LABELS[kind], **settings})
    folder.mkdir(parents=True, exist_ok=True)
    graph = _graph(table(kind) if weights is None else weights, of_words=kind == "words")
    onnx.save(graph, folder / GRAPH)
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    Tokenizer.from_str(tiny.tokenizer().backend_tokenizer.to_str()).save(str(folder / TOKENIZER))
    return folder


def _graph(weights: npt.NDArray[np.float32], *, of_words: bool) -> onnx.ModelProto:
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    shape = ["batch", "tokens", weights.shape[1]] if of_words else ["batch", weights.shape[1]]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["real", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["logits" if of_words else "masked"]),
    ]
    if not of_words:
        nodes.append(helper.make_node("ReduceSum", ["masked", "second"], ["logits"], keepdims=0))
    constants = [
        numpy_helper.from_array(weights, "table"),
        numpy_helper.from_array(np.array([2]), "last"),
        numpy_helper.from_array(np.array([1]), "second"),
    ]
    graph = helper.make_graph(
        nodes,
        "lookup",
        inputs,
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
