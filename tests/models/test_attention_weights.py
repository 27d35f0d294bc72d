"""Attention weights are those that a model's output is made with, whatever attention it runs on."""

from __future__ import annotations

import pytest
import torch
from tests import tiny
from transformers import AutoModel, BertConfig

from bertling.errors import ModelError
from bertling.models.attention_weights import attention_weights
from bertling.models.capture import CAPTURE, enable_capture, observe

BATCH = tiny.batch([9, 4], total=11)
MASK = BATCH["attention_mask"].bool()


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_they_are_the_softmax_of_the_scores_that_a_loss_compares(architecture: str) -> None:
    model = tiny.classifier(architecture, layers=3, dropout=0.1)
    shown = observe(model, BATCH, attention_layers=[1, 2, 3])
    before = model.config._attn_implementation
    model.train()
    got = attention_weights(model, BATCH)
    assert (model.config._attn_implementation, model.training) == (before, True)
    assert len(got.layers) == 3
    assert got.logits is not None
    assert shown.logits is not None
    torch.testing.assert_close(got.logits, shown.logits)
    places = torch.arange(MASK.shape[1])
    for layer, weights in enumerate(got.layers, start=1):
        state = shown.attention[layer]
        scores = state.query @ state.key.mT * state.scaling if state.scores is None else state.scores
        near = (places[:, None] - places).abs() <= (state.window or MASK.shape[1])
        expected = scores.masked_fill(~(MASK[:, None, None, :] & near), -torch.inf).softmax(-1)
        for row, real in enumerate(MASK):
            torch.testing.assert_close(weights[row][:, real], expected[row][:, real])


@pytest.mark.parametrize("architecture", ["bert", "albert", "modernbert", "deberta-v2"])
def test_they_are_in_the_graph_of_the_output(architecture: str) -> None:
    """The gradient by a layer's weights says what a small change of them does to the logits."""
    model = tiny.classifier(architecture)
    got = attention_weights(model, BATCH)
    assert got.logits is not None
    gradients = torch.autograd.grad(got.logits.sum(), got.layers)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    # In the last layer the first token's row alone is read by the head.
    assert gradients[-1][:, :, 1:].abs().max() < 1e-6 * gradients[-1].abs().max()


def test_a_model_on_captured_attention_stays_on_it() -> None:
    model = tiny.encoder()
    enable_capture(model)
    attention_weights(model, BATCH)
    assert model.config._attn_implementation == CAPTURE
    assert list(observe(model, BATCH, attention_layers=[2]).attention) == [2]


def test_an_architecture_that_is_not_known_is_refused() -> None:
    config = BertConfig(
        vocab_size=200, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    model = AutoModel.from_config(config)
    model.config.model_type = "unheard-of"
    with pytest.raises(ModelError, match="'unheard-of' is not supported"):
        attention_weights(model, BATCH)
