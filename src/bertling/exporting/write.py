"""Writes a model for serving, each precision in a folder of its own, and checks it against PyTorch.

N examples, C classes, W words.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertling.data.examples import Examples
from bertling.errors import ExportError
from bertling.exporting.graph import inputs_of, write_graph
from bertling.exporting.parity import compare, refuse_broken, refuse_fallen
from bertling.files import whole_folder
from bertling.inference.manifest import GRAPH, MANIFEST, TOKENIZER, Kind, Manifest
from bertling.inference.predictor import Predictor
from bertling.inference.texts import Text
from bertling.models.reading import quiet_transformers
from bertling.results import Environment
from bertling.results_of_exports import FIGURES, Export, ExportedPrecision, Precision
from bertling.tasks import Task

PRECISIONS: tuple[Precision, ...] = ("float32", "int8", "bfloat16")
_PACKAGES = ("bertling", "torch", "transformers", "tokenizers", "onnx", "onnxruntime")

Logits = npt.NDArray[np.float32]


def write_export(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    task: Task,
    examples: Examples,
    logits_of: Callable[[PreTrainedModel], Logits],
    score_of: Callable[[Logits], float],
    environment: Environment,
    max_length_tokens: int,
    precisions: Sequence[Precision] = PRECISIONS,
    max_drop: float = 0.01,
    weights_digest: str | None = None,
) -> Export:
    """Write ``folder/float32``, ``folder/int8`` (ONNX) and ``folder/bfloat16`` (safetensors), or nothing.

    Each is asked all examples, from their text on, and its logits and score are compared with the model's in
    PyTorch. The figures stand in ``export.json`` beside it. ``folder`` appears whole, when all have passed.

    Args:
        model: a classifier or regressor, float32, its outputs in the order of the task's classes.
        tokenizer: its tokenizer.
        folder: new, empty, or an earlier export, which is replaced.
        task: names its columns and its metric.
        examples: N labelled ones, of the kind that the model answers.
        logits_of: gives a model's logits of these examples in PyTorch, (N, C), or (N, W, C) of words.
        score_of: the score of logits, by the task's metric.
        environment: the machine, for the figures.
        max_length_tokens: longer texts are cut.
        precisions: those to write.
        max_drop: so much may the score fall, as a fraction.
        weights_digest: of the model, where it is a run's.

    Raises:
        ExportError: the folder holds something else, no graph can be made, an export computes something else
            than the model, or its score falls too far.
        MissingExtraError: a package for ONNX is not installed.
    """
    if not precisions or set(precisions) - set(PRECISIONS):
        got = ", ".join(precisions) or "none"
        raise ExportError(f"got the precisions {got}; expected some of {', '.join(PRECISIONS)}")
    refuse_foreign(folder)
    theirs = logits_of(model)
    # Words that were cut off have no answer.
    if not (np.isfinite(theirs).any() if task.word_labels else np.isfinite(theirs).all()):
        raise ExportError(
            "the model answers NaN or infinity in PyTorch already, so there is nothing to export. Look for a "
            "training run that diverged"
        )
    reference = score_of(theirs)
    manifest = manifest_of(model, tokenizer, task, examples, max_length_tokens=max_length_tokens)
    written: list[ExportedPrecision] = []
    with whole_folder(folder) as partial:
        graph = partial / GRAPH
        if set(precisions) != {"bfloat16"}:
            inputs = tuple(manifest.inputs)
            write_graph(model, graph, inputs=inputs, max_length_tokens=max_length_tokens)
        for precision in precisions:
            place = partial / precision
            place.mkdir()
            if precision == "bfloat16":
                weights = place / "model.safetensors"
                ours = logits_of(_save_bfloat16(model, tokenizer, place))
            else:
                weights = place / GRAPH
                _save_onnx(graph, tokenizer, place, replace(manifest, precision=precision))
                ours = Predictor(place, threads=torch.get_num_threads()).logits(_questions(examples))
            parity = compare(theirs, ours, regression=task.regression, multi_label=task.multi_label)
            refuse_broken(precision, parity)
            score = score_of(ours)
            refuse_fallen(precision, score=score, reference=reference, max_drop=max_drop)
            written.append(
                ExportedPrecision(
                    precision=precision,
                    size_bytes=weights.stat().st_size,
                    score=score,
                    largest_logit_difference=parity.largest_logit_difference,
                    label_agreement=parity.label_agreement,
                )
            )
        export = Export(
            task=task.name,
            metric=task.metric,
            examples=len(examples),
            score=reference,
            max_drop=max_drop,
            max_length_tokens=max_length_tokens,
            precisions=written,
            environment=environment,
            weights_digest=weights_digest,
        )
        for precision in precisions:
            (partial / precision / FIGURES).write_text(export.model_dump_json(indent=1), encoding="utf-8")
        graph.unlink(missing_ok=True)
    return export


def refuse_foreign(folder: Path) -> None:
    """Raise an ExportError unless a folder is new, empty, or an earlier export, which may be replaced."""
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"{folder} is a file: name a folder for the export")
    foreign = [
        found.name
        for found in (folder.iterdir() if folder.is_dir() else ())
        if not (found.name in PRECISIONS and (found / FIGURES).is_file())
    ]
    if foreign:
        raise ExportError(
            f"{folder} holds {', '.join(sorted(foreign)[:3])}, which is no earlier export: it would be lost. "
            "Name an empty or new folder with --output"
        )


def manifest_of(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    examples: Examples,
    *,
    max_length_tokens: int,
) -> Manifest:
    """What a predictor needs to know of a model; the precision is float32."""
    kind: Kind = "classification"
    if task.regression:
        kind = "regression"
    elif task.word_labels:
        kind = "words"
    elif task.multi_label:
        kind = "multi_label"
    pairs = examples.text_pairs is not None
    segmented = pairs and "token_type_ids" in tokenizer.model_input_names
    return Manifest(
        task=task.name,
        kind=kind,
        pairs=pairs,
        labels=list(examples.label_names or []),
        text=task.text,
        text_pair=task.text_pair,
        max_length_tokens=max_length_tokens,
        truncation_side=str(tokenizer.truncation_side),
        pad_token_id=int(tokenizer.pad_token_id),
        inputs=list(inputs_of(model, segmented=segmented)),
        precision="float32",
        model_type=str(model.config.model_type),
        versions={package: version(package) for package in _PACKAGES if _installed(package)},
    )


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _questions(examples: Examples) -> Sequence[Text]:
    if examples.words is not None:
        return examples.words
    if examples.text_pairs is not None:
        return list(zip(examples.texts, examples.text_pairs, strict=True))
    return examples.texts


def _save_onnx(graph: Path, tokenizer: PreTrainedTokenizerBase, place: Path, manifest: Manifest) -> None:
    if manifest.precision == "int8":
        from bertling.exporting.quantize import write_int8

        write_int8(graph, place / GRAPH)
    else:
        shutil.copyfile(graph, place / GRAPH)
    fast = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    fast.no_truncation()  # the manifest says the limit
    fast.no_padding()
    fast.save(str(place / TOKENIZER))
    (place / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")


def _save_bfloat16(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, place: Path
) -> PreTrainedModel:
    """The model with its weights rounded, as transformers reads it back; it computes in float32."""
    halved: Any = copy.deepcopy(model)
    with quiet_transformers():
        halved.to(torch.bfloat16).save_pretrained(place)
        loaded: PreTrainedModel = type(model).from_pretrained(place, dtype="float32")
    # Its limit is that of its last call.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.save_pretrained(place)
    loaded.eval()
    return loaded
