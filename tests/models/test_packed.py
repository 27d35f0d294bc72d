"""Packing saves padding and changes nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from tests import tiny
from torch import Tensor

from bertling.data.collation import PadToLongest
from bertling.errors import ModelError
from bertling.models.capture import observe
from bertling.models.packed import observe_packed
from bertling.states import EncoderStates

BLOCKS = [[5, 9, 3], [17], [4, 4]]
LAYERS = (1, 2)


def texts(blocks: Sequence[Sequence[int]], *, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(5, tiny.VOCABULARY, length) for block in blocks for length in block]


def packed(blocks: Sequence[Sequence[int]], members: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """The texts in their blocks."""
    left = iter(members)
    items = [
        {"input_ids": np.concatenate([next(left) for _ in block]), "piece_lengths": np.asarray(block)}
        for block in blocks
    ]
    return PadToLongest(tiny.tokenizer())(items)


def alone(members: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """The same texts, a row each."""
    return PadToLongest(tiny.tokenizer())([{"input_ids": text} for text in members])


def shown(states: EncoderStates) -> dict[str, Tensor]:
    """Everything that objectives read, real tokens alone."""
    seen = {"embedding": states.embedding[states.mask]}
    seen |= {f"hidden {layer}": hidden[states.mask] for layer, hidden in states.hidden.items()}
    for layer, attention in states.attention.items():
        for name in ("query", "key", "value"):
            seen[f"{name} {layer}"] = getattr(attention, name).transpose(1, 2)[states.mask]
    return seen


UNPACKABLE = ("deberta-v2", "mobilebert")


@pytest.mark.parametrize("architecture", [name for name in tiny.ARCHITECTURES if name not in UNPACKABLE])
def test_each_text_shows_what_it_shows_alone(architecture: str) -> None:
    model = tiny.encoder(architecture).double()
    members = texts(BLOCKS)
    expected = observe(model, alone(members), attention_layers=LAYERS)
    got = observe_packed(model, packed(BLOCKS, members), attention_layers=LAYERS)
    assert torch.equal(got.mask, expected.mask)
    assert got.logits is None
    assert {layer: (state.scaling, state.window) for layer, state in got.attention.items()} == {
        layer: (state.scaling, state.window) for layer, state in expected.attention.items()
    }
    for (name, ours), theirs in zip(shown(got).items(), shown(expected).values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12, msg=name)


@pytest.mark.parametrize("architecture", UNPACKABLE)
def test_a_model_that_would_mix_the_texts_of_a_row_is_refused(architecture: str) -> None:
    members = texts(BLOCKS)
    with pytest.raises(ModelError, match=rf"'{architecture}' cannot read packed rows: .*packed = false"):
        observe_packed(tiny.encoder(architecture), packed(BLOCKS, members))


def test_a_text_sees_nothing_of_its_neighbours() -> None:
    model = tiny.encoder()
    members = texts(BLOCKS)
    before = observe_packed(model, packed(BLOCKS, members))
    members[1] = texts(BLOCKS, seed=1)[1]
    after = observe_packed(model, packed(BLOCKS, members))
    unchanged = torch.tensor([0, 2, 3, 4, 5])
    assert torch.equal(after.hidden[2][unchanged], before.hidden[2][unchanged])
    assert not torch.equal(after.hidden[2][1], before.hidden[2][1])


def test_gradients_reach_the_weights_as_from_texts_alone() -> None:
    members = texts(BLOCKS)
    gradients = []
    for see, batch in ((observe, alone(members)), (observe_packed, packed(BLOCKS, members))):
        model = tiny.encoder().double()
        states = see(model, batch, attention_layers=LAYERS)
        sum(values.square().sum() for values in shown(states).values()).backward()  # type: ignore[union-attr]
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    expected, got = gradients
    assert got.keys() == expected.keys()
    for name, gradient in got.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-9, atol=1e-12, msg=name)
