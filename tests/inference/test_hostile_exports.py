"""Exported folders that were made up, or put together of different exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.inference.graphs import table, write_folder

from bertling.errors import ModelError
from bertling.inference.manifest import GRAPH, MANIFEST, TOKENIZER
from bertling.inference.predictor import Predictor

pytestmark = pytest.mark.faults


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"inputs": [1, "input_ids"]}, "inputs that are no strings"),
        ({"labels": ["red", "\ud800", "blue"]}, "half a character"),
        ({"labels": ["red", "", "blue"]}, "an empty label"),
        ({"truncation_side": "middle"}, "'middle' as truncation_side"),
        ({"max_length_tokens": 10**30}, "as max_length_tokens"),
        ({"pad_token_id": -1}, "-1 as pad_token_id"),
        ({"pad_token_id": 2**63}, "as pad_token_id"),
    ],
)
def test_a_manifest_that_says_what_cannot_be_is_refused(
    tmp_path: Path, settings: dict[str, Any], shown: str
) -> None:
    file = write_folder(tmp_path) / MANIFEST
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    with pytest.raises(ModelError, match=shown):
        Predictor(tmp_path)


def test_a_graph_that_fails_on_a_text_is_refused_with_the_reason(tmp_path: Path) -> None:
    write_folder(tmp_path, weights=table()[:6])  # the tokenizer has two hundred entries
    with pytest.raises(ModelError, match="the graph fails on this text"):
        Predictor(tmp_path).predict(["w90"])


def test_a_graph_that_answers_in_another_shape_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, weights=np.zeros((200, 7), np.float32))
    path = tmp_path / GRAPH
    model = onnx.load(path)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    onnx.save(model, path)
    with pytest.raises(ModelError):
        Predictor(tmp_path).predict(["w1"])


def test_a_graph_without_an_output_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path)
    given = [
        helper.make_tensor_value_info(name, TensorProto.INT64, [None])
        for name in ("input_ids", "attention_mask")
    ]
    scalar = helper.make_tensor_value_info("logits", TensorProto.INT64, [])
    nodes = [helper.make_node("Size", ["input_ids"], ["logits"])]
    graph = helper.make_graph(nodes, "size", given, [scalar])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10),
        tmp_path / GRAPH,
    )
    with pytest.raises(ModelError):
        Predictor(tmp_path).predict(["w1"])


def test_a_damaged_tokenizer_is_refused(tmp_path: Path) -> None:
    file = write_folder(tmp_path) / TOKENIZER
    content = json.loads(file.read_text())
    content["model"]["unk_token"] = "no such entry"
    file.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=TOKENIZER):
        Predictor(tmp_path).predict(["nothing known"])
