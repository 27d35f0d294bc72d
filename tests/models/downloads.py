"""Folders as a General TinyBERT is downloaded, in small."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests import tiny
from transformers import PreTrainedModel

from bertling.errors import ModelError
from bertling.models.original import import_original

FOREIGN: dict[str, Any] = {
    "cell": {},
    "emb_size": 32,
    "structure": [],
    "pre_trained": "",
    "training": "",
    "type_vocab_size": 2,
}
SETTINGS: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "vocab_size": tiny.VOCABULARY,
    "max_position_embeddings": 48,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.02,
}
QUERY = "encoder.layer.1.attention.self.query.weight"
WORDS = "embeddings.word_embeddings.weight"


def weights(model: PreTrainedModel, prefix: str = "bert.") -> dict[str, Any]:
    return {prefix + name: tensor for name, tensor in model.state_dict().items()}


def download(folder: Path, tensors: Any, *, format: str = "zip", **settings: Any) -> Path:
    """A folder as the original code leaves it behind."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**SETTINGS, **FOREIGN, **settings}))
    entries = sorted(tiny.tokenizer().get_vocab().items(), key=lambda entry: entry[1])
    (folder / "vocab.txt").write_text("".join(f"{entry}\n" for entry, _ in entries))
    if format == "safetensors":
        save_file(tensors, folder / "model.safetensors")
    else:
        torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=format == "zip")
    return folder


def message(call: Callable[[], object]) -> str:
    with pytest.raises(ModelError) as caught:
        call()
    return str(caught.value)


def refusal(tmp_path: Path, tensors: Any, **options: Any) -> str:
    """The message of an import that fails, after which nothing is left behind."""
    source = download(tmp_path / "source", tensors, **options)
    text = message(lambda: import_original(source, tmp_path / "target"))
    assert [path.name for path in tmp_path.iterdir() if path != source] == []
    return text
