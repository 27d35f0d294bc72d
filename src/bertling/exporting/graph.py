"""A model as an ONNX graph: batch and length dynamic, fused into ONNX Runtime's own operators.

B batch, T tokens, C classes.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bertling.errors import ExportError, MissingExtraError
from bertling.models.anatomy import anatomy_of

# torch.export takes sizes of 0 and 1 for constants, so the example has two rows; one of them is padded, so
# that the mask is in the graph.
_ROWS, _TOKENS = 2, 24
_MOST_ROWS = 1 << 16


def inputs_of(model: PreTrainedModel, *, segmented: bool) -> tuple[str, ...]:
    """Names of the graph's inputs, each (B, T) int64: ids, mask and, where they tell something, segments.

    Args:
        model: whose graph it is.
        segmented: whether the texts are pairs, and the tokenizer tells their two sides apart.
    """
    takes = "token_type_ids" in inspect.signature(model.forward).parameters
    return ("input_ids", "attention_mask", *(["token_type_ids"] if segmented and takes else []))


def write_graph(
    model: PreTrainedModel, path: Path, *, inputs: tuple[str, ...], max_length_tokens: int
) -> None:
    """Write a classifier or regressor as ONNX, float32, in one file, whose output is called ``logits``.

    Attention, LayerNorm and GELU become the fused operators that ONNX Runtime has for them, so that nothing
    else reads the file.

    Args:
        model: with a head, float32; it is put in eval mode.
        path: the file.
        inputs: names of the graph's inputs, see `inputs_of`; their B is dynamic, and their T up to the limit.
        max_length_tokens: the limit.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ExportError: torch can make no graph of this model.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise MissingExtraError(package, extra="onnx", needed_for="an export to ONNX")
    import onnx_ir
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    from bertling.exporting.fusing import fold_constants, mask_by_tokens

    model.eval()
    batch = torch.export.Dim("batch", min=1, max=_MOST_ROWS)
    tokens = torch.export.Dim("tokens", min=2, max=max_length_tokens)
    with quiet():
        try:
            program = torch.onnx.export(
                _Logits(model, inputs),
                _example(model, inputs, min(_TOKENS, max_length_tokens)),
                dynamo=True,
                verbose=False,
                dynamic_shapes={"tensors": tuple({0: batch, 1: tokens} for _ in inputs)},
                input_names=inputs,
                output_names=["logits"],
            )
            assert program is not None
            program.optimize()
            optimize_for_ort(program.model)
            onnx_ir.save(program.model, path)
        except Exception as error:  # tracing runs the model's code, and fails in any way
            raise ExportError(
                f"torch can make no ONNX graph of this {model.config.model_type}: {_first_line(error)}. "
                "Export it in bfloat16 alone, and serve it with PyTorch"
            ) from error
    fold_constants(path)
    anatomy = anatomy_of(model.config)
    if not anatomy.taps_softmax and not anatomy.rotates:
        mask_by_tokens(path)


class _Logits(nn.Module):
    """A graph takes tensors and gives one."""

    def __init__(self, model: PreTrainedModel, inputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.inputs = inputs

    def forward(self, *tensors: Tensor) -> Tensor:
        logits: Tensor = self.model(**dict(zip(self.inputs, tensors, strict=True))).logits
        return logits


def _example(model: PreTrainedModel, inputs: tuple[str, ...], length: int) -> tuple[Tensor, ...]:
    pad = model.config.pad_token_id or 0
    # Any entry will do but that of padding, which positions are counted by in RoBERTa and its kin.
    ids = torch.full((_ROWS, length), (pad + 1) % model.config.vocab_size)
    mask = torch.ones_like(ids)
    ids[0, -1], mask[0, -1] = pad, 0
    tensors = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    return tuple(tensors[name] for name in inputs)


@contextmanager
def quiet() -> Iterator[None]:
    """Without what the exporter and the quantiser say of their own insides: parity is what is looked at."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
