"""Weights in int8, activations quantised as they come (dynamic quantisation)."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto
from onnxruntime.quantization import QuantType, quantize_dynamic

from bertling.exporting.graph import quiet

_OPERATORS = ["MatMul", "Gemm", "Attention", "Gather"]
"""Gather is the embedding, most of a small model."""


def write_int8(source: Path, path: Path) -> None:
    """Quantise a float32 graph: products and embeddings, a scale for each channel of a weight.

    Args:
        source: the graph, as `bertling.exporting.graph.write_graph` wrote it; it stays as it is.
        path: the file.
    """
    model = onnx.load(source)
    # What the quantiser transposes would contradict the shapes that are noted for it.
    del model.graph.value_info[:]
    with quiet():
        quantize_dynamic(
            model,
            path,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=_OPERATORS,
            # Of operators that shape inference does not know; everything in such a graph is of this type.
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
