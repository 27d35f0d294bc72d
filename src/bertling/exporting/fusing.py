"""What is done to a graph behind the fusions of onnxscript, so that ONNX Runtime computes less.

B batch, T tokens, H heads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnx import TensorProto, helper

_ATTENTION = ("com.microsoft", "Attention")
_MASK, _BIAS = 3, 5
"""the places of the two among the inputs of the operator Attention"""


def fold_constants(path: Path) -> None:
    """Compute what depends on no input, such as the three projections' weights as one; the file changes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Basic: nothing that suits one processor alone.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    folded = path.with_name(f"{path.name}.folded")
    options.optimized_model_filepath = str(folded)
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    folded.replace(path)


def mask_by_tokens(path: Path) -> None:
    """Give fused attention the mask of tokens, (B, T), for a bias of each pair of them, (B, 1, T, T).

    Nothing of that size is then made, and only this form of the operator is quantised. For models whose
    attention sees every real token, and has no biases of positions. A graph without such operators, or with
    several biases, stays as it is.
    """
    model = onnx.load(path)
    graph = model.graph
    fused = [node for node in graph.node if (node.domain, node.op_type) == _ATTENTION]
    biases = {node.input[_BIAS] for node in fused if len(node.input) > _BIAS}
    if len(biases) != 1 or any(len(node.input) <= _BIAS or node.input[_MASK] for node in fused):
        return
    for node in fused:
        node.input[_MASK] = "token_mask"
        del node.input[_BIAS:]
        # Equal sizes say nothing, and keep it from being quantised.
        sizes = {tuple(a.ints) for a in node.attribute if a.name == "qkv_hidden_sizes"}
        if all(len(set(each)) == 1 for each in sizes):
            attributes = [a for a in node.attribute if a.name != "qkv_hidden_sizes"]
            del node.attribute[:]
            node.attribute.extend(attributes)
    graph.node.insert(0, helper.make_node("Cast", ["attention_mask"], ["token_mask"], to=TensorProto.INT32))
    _drop_unused(graph)
    onnx.save(model, path)


def _drop_unused(graph: Any) -> None:
    wanted = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    weights = [weight for weight in graph.initializer if weight.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(weights)
