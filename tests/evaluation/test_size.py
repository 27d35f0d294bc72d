from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM

from bertling.errors import ModelError
from bertling.evaluation.size import model_size, parameter_count


def test_size_is_that_of_the_weight_files_alone(tmp_path: Path) -> None:
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"x" * 100)
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"x" * 23)
    (tmp_path / "config.json").write_bytes(b"x" * 7)
    (tmp_path / "checkpoint-1").mkdir()
    (tmp_path / "checkpoint-1" / "model.safetensors").write_bytes(b"x" * 1000)
    assert model_size(tmp_path) == 123


def test_a_folder_without_weights_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="safetensors"):
        model_size(tmp_path)


def test_parameters_count_frozen_ones_and_no_buffers() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    model[0].weight.requires_grad_(False)
    assert parameter_count(model) == 3 * 4 + 4 + 2 * 4


def test_shared_parameters_count_once_and_weigh_once(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    torch.manual_seed(0)
    tied = BertForMaskedLM(config)
    untied = BertForMaskedLM(BertConfig(**config.to_dict() | {"tie_word_embeddings": False}))
    assert parameter_count(untied) - parameter_count(tied) >= 11 * 8
    tied.save_pretrained(tmp_path)
    header_bytes = 16_384  # safetensors' table of names
    assert 0 < model_size(tmp_path) - 4 * parameter_count(tied) < header_bytes
