from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests import tiny
from torch import Tensor
from torch.overrides import _get_current_function_mode_stack
from transformers import AutoModel, AutoModelForSequenceClassification, BertConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import AutoConfig

from bertling.errors import ModelError
from bertling.models.anatomy import layers_of
from bertling.models.capture import CAPTURE, enable_capture, observe
from bertling.states import AttentionState

every_architecture = pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
BATCH = tiny.batch([9, 4, 1], total=11)
MASK = BATCH["attention_mask"].bool()


def eager(model: PreTrainedModel) -> PreTrainedModel:
    """The same weights on the attention that returns its probabilities."""
    config = type(model.config).from_dict(model.config.to_dict())
    twin: PreTrainedModel = type(model)._from_config(config, attn_implementation="eager")
    twin.load_state_dict(model.state_dict())
    twin.eval()
    return twin


def scores(attention: AttentionState) -> Tensor:
    if attention.scores is not None:
        return attention.scores
    return attention.query @ attention.key.mT * attention.scaling


def probabilities(attention: AttentionState) -> Tensor:
    places = torch.arange(MASK.shape[1])
    near = (places[:, None] - places).abs() <= (attention.window or MASK.shape[1])
    return scores(attention).masked_fill(~(MASK[:, None, None, :] & near), -torch.inf).softmax(-1)


@every_architecture
@pytest.mark.parametrize("heads", [4, 2])
def test_captured_scores_are_those_behind_eager_attention(architecture: str, heads: int) -> None:
    model = tiny.classifier(architecture, layers=3, heads=heads)
    # MobileBERT attends in its bottleneck.
    width = model.config.intra_bottleneck_size if architecture == "mobilebert" else 32
    shown = observe(model, BATCH, attention_layers=[1, 2, 3])
    expected = eager(model)(**BATCH, output_attentions=True).attentions
    assert list(shown.attention) == [1, 2, 3]
    for layer, attention in shown.attention.items():
        assert (
            attention.query.shape
            == attention.key.shape
            == attention.value.shape
            == (3, heads, 11, width // heads)
        )
        got = probabilities(attention)
        for row in range(3):
            real = MASK[row]
            torch.testing.assert_close(got[row][:, real], expected[layer - 1][row][:, real])


@every_architecture
def test_states_are_those_of_the_model(architecture: str) -> None:
    model = tiny.classifier(architecture, layers=3)
    plain = model(**BATCH, output_hidden_states=True)
    shown = observe(model, BATCH, attention_layers=[2])
    assert torch.equal(shown.mask, MASK)
    assert shown.logits is not None
    # The same fused attention runs, so not a bit differs.
    assert torch.equal(shown.logits, plain.logits)
    assert torch.equal(shown.embedding, plain.hidden_states[0])
    assert list(shown.hidden) == [1, 2, 3]
    assert all(torch.equal(shown.hidden[layer], plain.hidden_states[layer]) for layer in shown.hidden)
    assert list(shown.attention) == [2]
    assert torch.equal(model(**BATCH).logits, plain.logits)


@every_architecture
def test_the_embedding_is_what_the_first_layer_reads(architecture: str) -> None:
    model = tiny.encoder(architecture)
    read: list[Tensor] = []
    model.get_submodule(layers_of(model)[0]).register_forward_pre_hook(lambda _, args: read.append(args[0]))
    shown = observe(model, BATCH)
    assert torch.equal(shown.embedding, read[0])
    assert shown.embedding.shape == (3, 11, 32)
    assert shown.logits is None
    assert not shown.attention


@every_architecture
def test_padding_changes_nothing_with_capture(architecture: str) -> None:
    """Without a mask function of its own the capture would attend to padding, and say nothing."""
    model = tiny.classifier(architecture)
    enable_capture(model)
    alone = {name: values[1:2, :4] for name, values in BATCH.items()}
    torch.testing.assert_close(model(**BATCH).logits[1:2], model(**alone).logits)


def test_pairs_pass_their_segments() -> None:
    model = tiny.classifier()
    segments = torch.zeros_like(BATCH["input_ids"])
    segments[:, 3:] = 1
    pairs = {**BATCH, "token_type_ids": segments}
    shown = observe(model, pairs)
    assert torch.equal(shown.logits, model(**pairs).logits)  # type: ignore[arg-type]
    assert not torch.equal(shown.logits, model(**BATCH).logits)  # type: ignore[arg-type]


@pytest.mark.parametrize("architecture", ["distilbert", "modernbert", "deberta-v2"])
def test_models_without_segments_take_no_notice_of_them(architecture: str) -> None:
    """DeBERTa-v3's tokenizer gives segments all the same."""
    model = tiny.classifier(architecture, **({"type_vocab_size": 0} if architecture == "deberta-v2" else {}))
    pairs = {**BATCH, "token_type_ids": torch.ones_like(BATCH["input_ids"])}
    got, expected = (observe(model, batch, attention_layers=[1, 2]) for batch in (pairs, BATCH))
    assert torch.equal(got.hidden[2][MASK], expected.hidden[2][MASK])


def gradients(model: PreTrainedModel) -> list[Tensor]:
    """Of a loss that reads everything that is shown."""
    shown = observe(model, BATCH, attention_layers=[1, 2])
    assert shown.logits is not None
    loss = shown.logits.square().sum() + shown.embedding.square().sum() + shown.hidden[1].square().sum()
    for attention in shown.attention.values():
        pairs = MASK[:, None, None] & MASK[:, None, :, None]
        loss = loss + scores(attention).masked_fill(~pairs, 0.0).square().sum()
    return list(torch.autograd.grad(loss, list(model.parameters())))


@every_architecture
def test_gradients_reach_queries_and_keys(architecture: str) -> None:
    model = tiny.classifier(architecture)
    twin = eager(model)
    output = twin(**BATCH, output_attentions=True)
    shown = observe(model, BATCH, attention_layers=[2])
    pairs = (MASK[:, None, None] & MASK[:, None, :, None]).expand(3, 4, 11, 11)
    weight = torch.randn(pairs.shape, generator=torch.Generator().manual_seed(0)) * pairs
    got, expected = (
        dict(zip(names, torch.autograd.grad(loss.sum(), parameters, allow_unused=True), strict=True))
        for loss, (names, parameters) in (
            (probabilities(shown.attention[2]) * weight, zip(*model.named_parameters(), strict=True)),
            (output.attentions[1] * weight, zip(*twin.named_parameters(), strict=True)),
        )
    )
    second = layers_of(model)[1] + "."
    assert any(name.startswith(second) for name, gradient in got.items() if gradient is not None)
    torch.testing.assert_close(got, expected)


# transformers has none for ALBERT.
@pytest.mark.parametrize("architecture", [name for name in tiny.ARCHITECTURES if name != "albert"])
def test_gradient_checkpointing_gives_the_same_gradients(architecture: str) -> None:
    model = tiny.classifier(architecture).train()
    plain = gradients(model)
    # transformers 5.17 knows the older name alone, and later ones warn of it.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})
    for got, expected in zip(gradients(model), plain, strict=True):
        torch.testing.assert_close(got, expected)


def test_modernbert_s_last_state_is_the_normalised_one_and_local_layers_have_a_window() -> None:
    model = tiny.classifier("modernbert", layers=3)
    given: list[Tensor] = []
    model.get_submodule(layers_of(model)[-1]).register_forward_hook(lambda _, __, out: given.append(out))
    shown = observe(model, BATCH, attention_layers=[1, 2, 3])
    assert torch.equal(shown.hidden[3], model.get_submodule("model.final_norm")(given[0]))
    assert torch.equal(shown.hidden[3], model.base_model(**BATCH).last_hidden_state)
    # It has no position embeddings and reads no segments.
    assert torch.equal(shown.embedding, model.get_submodule("model.embeddings")(BATCH["input_ids"]))
    assert [state.window for state in shown.attention.values()] == [None, 3, 3]


@pytest.mark.parametrize("shared", [True, False])
def test_deberta_s_queries_keys_and_values_are_those_that_it_uses(shared: bool) -> None:
    model = tiny.encoder("deberta-v2", share_att_key=shared)
    attended: list[Tensor] = []
    for name in layers_of(model):
        model.get_submodule(f"{name}.attention.output.dense").register_forward_pre_hook(
            lambda _, args: attended.append(args[0])
        )
    shown = observe(model, BATCH, attention_layers=[1, 2])
    for layer, state in shown.attention.items():
        got = (probabilities(state) @ state.value).transpose(1, 2).flatten(2)
        torch.testing.assert_close(got[MASK], attended[layer - 1][MASK])
        read = shown.embedding if layer == 1 else shown.hidden[layer - 1]
        attention = model.get_submodule(f"{layers_of(model)[layer - 1]}.attention.self")
        for part in ("query", "key"):
            expected = attention.get_submodule(f"{part}_proj")(read)
            torch.testing.assert_close(getattr(state, part).transpose(1, 2).flatten(2), expected)


@pytest.mark.parametrize("kinds", [None, ["p2c"], ["c2p", "p2c"]])
def test_deberta_s_scores_without_relative_positions_are_products_of_queries_and_keys(
    kinds: list[str] | None,
) -> None:
    model = tiny.encoder("deberta-v2", relative_attention=False, pos_att_type=kinds)
    state = observe(model, BATCH, attention_layers=[2]).attention[2]
    assert state.scores is not None
    products = state.query @ state.key.mT * state.scaling
    pairs = (MASK[:, None, :, None] & MASK[:, None, None]).expand_as(products)
    torch.testing.assert_close(state.scores[pairs], products[pairs])


def test_a_tap_leaves_nothing_behind_even_when_the_model_fails() -> None:
    model = tiny.encoder("deberta-v2")
    observe(model, BATCH, attention_layers=[1, 2])
    with pytest.raises(IndexError):
        observe(model, {**BATCH, "input_ids": BATCH["input_ids"] + 1000}, attention_layers=[1])
    assert not any(module._forward_hooks for module in model.modules())
    assert not _get_current_function_mode_stack()


def test_two_models_and_two_calls_do_not_mix() -> None:
    one, two = tiny.classifier(seed=1), tiny.classifier(seed=2, width=16)
    first = observe(one, BATCH, attention_layers=[1])
    other = observe(two, BATCH, attention_layers=[1, 2])
    again = observe(one, BATCH, attention_layers=[1])
    assert first.attention.keys() == {1}
    assert other.attention[1].query.shape[-1] == 4
    assert torch.equal(first.attention[1].query, again.attention[1].query)


def test_mode_and_autograd_are_left_alone() -> None:
    model = tiny.classifier(dropout=0.5).train()
    with torch.no_grad():
        shown = observe(model, BATCH, attention_layers=[1])
    assert model.training
    assert shown.logits is not None
    assert not shown.logits.requires_grad
    # The scores are those before dropout: queries and keys of layer 1 see dropout in the embedding alone.
    torch.manual_seed(0)
    first = observe(model, BATCH, attention_layers=[1])
    torch.manual_seed(0)
    assert torch.equal(
        first.attention[1].query, observe(model, BATCH, attention_layers=[1]).attention[1].query
    )


@pytest.mark.parametrize("layers", [[0], [3], [1, 7]])
def test_layers_that_are_not_there_are_refused(layers: list[int]) -> None:
    with pytest.raises(ModelError, match=r"ran attention 2 times, so layers \[\d\] have no attention scores"):
        observe(tiny.classifier(), BATCH, attention_layers=layers)


@pytest.mark.parametrize(
    ("model_type", "settings", "message"),
    [
        (
            "mpnet",
            {"num_hidden_layers": 1, "hidden_size": 24},
            "the architecture 'mpnet' cannot give",
        ),
        ("gpt2", {"n_layer": 1, "n_embd": 32, "n_head": 4}, "the architecture 'gpt2' cannot give"),
        (
            "bert",
            {"is_decoder": True, "num_hidden_layers": 1, "hidden_size": 24},
            "the decoder 'bert' cannot give",
        ),
    ],
)
def test_models_whose_scores_cannot_be_had_are_refused(
    model_type: str, settings: dict[str, int | bool], message: str
) -> None:
    model = AutoModel.from_config(
        AutoConfig.for_model(model_type, vocab_size=50, **settings, bos_token_id=1, eos_token_id=1)
    )
    with pytest.raises(ModelError, match=message):
        enable_capture(model)
    with pytest.raises(ModelError, match="bert, roberta, electra, distilbert"):
        observe(model, BATCH, attention_layers=[1])


def test_a_model_that_stays_with_its_own_attention_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.classifier()
    monkeypatch.setattr(model, "set_attn_implementation", lambda name: None)
    with pytest.raises(ModelError, match=f"did not accept the attention function '{CAPTURE}'"):
        enable_capture(model)


def test_hidden_states_need_no_capture() -> None:
    model = tiny.classifier()
    observe(model, BATCH)
    assert model.config._attn_implementation == "sdpa"


@every_architecture
def test_a_saved_model_does_not_name_the_capture(architecture: str, tmp_path: Path) -> None:
    model = tiny.classifier(architecture)
    before = model.config._attn_implementation
    logits = observe(model, BATCH, attention_layers=[1]).logits
    model.save_pretrained(tmp_path)
    assert "bertling" not in (tmp_path / "config.json").read_text()
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [type(model).__name__]
    reloaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert reloaded.config._attn_implementation == before
    torch.testing.assert_close(reloaded(**BATCH).logits, logits)


def test_capture_starts_from_eager_models_too() -> None:
    config = BertConfig(**tiny.config().to_diff_dict())
    model = AutoModel.from_config(config, attn_implementation="eager").eval()
    expected = model(**BATCH, output_attentions=True)
    shown = observe(model, BATCH, attention_layers=[1, 2])
    torch.testing.assert_close(
        probabilities(shown.attention[2])[0][:, MASK[0]], expected.attentions[1][0][:, MASK[0]]
    )
