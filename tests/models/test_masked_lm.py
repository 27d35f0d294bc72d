from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests import tiny
from tests.models.checkpoints import edit_weights, message, saved
from transformers import AutoModelForMaskedLM, AutoModelForPreTraining

from bertling.data.tokenization import TokenizedTexts, tokenize
from bertling.errors import DataError, NonFiniteLossError
from bertling.models.masked_lm import (
    fit_masked_lm_head,
    has_masked_lm_head,
    load_masked_lm,
    logits_at,
)
from bertling.models.masking import Masking

BATCH = tiny.batch([9, 4, 1], total=11)
every_architecture = pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)


def texts() -> TokenizedTexts:
    """Each the same word some times: what is masked can be told from what is not."""
    return tokenize(tiny.tokenizer(), [" ".join([f"w{row % 7}"] * (3 + row % 9)) for row in range(200)])


def fit(name: str, **options: Any) -> Any:
    settings: dict[str, Any] = {"steps": 12, "batch_size": 8, "seed": 3, **options}
    return fit_masked_lm_head(name, texts(), tiny.tokenizer(), **settings)


@every_architecture
def test_a_masked_lm_comes_back_as_it_was_saved(architecture: str, tmp_path: Path) -> None:
    model = tiny.masked_lm(architecture)
    name = saved(model, tmp_path)
    loaded = load_masked_lm(name)
    assert type(loaded) is type(model)
    assert not loaded.training
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(loaded(**BATCH).logits, model(**BATCH).logits)
    assert has_masked_lm_head(name)
    # What is tied is saved once, and is not missing.
    assert len(load_file(tmp_path / "model.safetensors")) < len(model.state_dict())


@every_architecture
@pytest.mark.parametrize("make", [tiny.encoder, tiny.classifier])
def test_an_encoder_has_no_head(architecture: str, make: Callable[[str], Any], tmp_path: Path) -> None:
    name = saved(make(architecture), tmp_path)
    assert not has_masked_lm_head(name)
    text = message(lambda: load_masked_lm(name))
    assert f"the weights of {name} do not fit" in text
    assert "It has no masked-LM head: fit one with fit_masked_lm_head" in text


def test_a_discriminator_has_no_head(tmp_path: Path) -> None:
    assert not has_masked_lm_head(
        saved(AutoModelForPreTraining.from_config(tiny.config("electra")), tmp_path)
    )


@pytest.mark.parametrize(
    "name", ["cls.predictions.transform.dense.weight", "cls.predictions.transform.LayerNorm.bias"]
)
def test_half_a_head_is_none(name: str, tmp_path: Path) -> None:
    folder = saved(tiny.masked_lm(), tmp_path)
    edit_weights(tmp_path, lambda weights: weights.pop(name))
    assert not has_masked_lm_head(folder)
    assert f"missing: {name}. It has no masked-LM head" in message(lambda: load_masked_lm(folder))


def test_a_head_whose_last_layer_is_missing_is_none_unless_that_is_the_embedding_table(
    tmp_path: Path,
) -> None:
    untied = saved(tiny.masked_lm(tie_word_embeddings=False), tmp_path)
    assert has_masked_lm_head(untied)
    edit_weights(tmp_path, lambda weights: weights.pop("cls.predictions.decoder.weight"))
    assert not has_masked_lm_head(untied)


def test_weights_of_the_encoder_that_are_missing_are_refused_everywhere(tmp_path: Path) -> None:
    folder = saved(tiny.masked_lm(), tmp_path)
    name = "bert.encoder.layer.1.output.dense.weight"
    edit_weights(tmp_path, lambda weights: weights.pop(name))
    calls: tuple[Callable[[str], object], ...] = (load_masked_lm, has_masked_lm_head, fit)
    for call in calls:
        text = message(lambda call=call: call(folder))  # type: ignore[misc]
        assert f"missing: {name}. bertling never fills" in text


@every_architecture
def test_logits_at_some_positions_are_those_of_the_whole(architecture: str) -> None:
    model = tiny.masked_lm(architecture)
    rows, columns = torch.tensor([0, 0, 2, 1]), torch.tensor([8, 0, 0, 3])
    got = logits_at(model, BATCH, rows, columns)
    assert got.shape == (4, tiny.VOCABULARY)
    torch.testing.assert_close(got, model(**BATCH).logits[rows, columns])
    assert not model.base_model._forward_hooks


@pytest.mark.parametrize(
    "architecture", ["bert", "roberta", "electra", "electra-projected", "distilbert", "modernbert"]
)
def test_a_fitted_head_guesses_better_and_the_encoder_is_as_it_was(architecture: str, tmp_path: Path) -> None:
    model = tiny.encoder(architecture)
    fitted = fit(saved(model, tmp_path / "encoder"), steps=200, batch_size=16)
    # Who only knows how often each word comes guesses one of seven.
    assert fitted.after.loss < min(math.log(7), fitted.before.loss) - 0.5
    assert fitted.after.accuracy > fitted.before.accuracy
    assert fitted.before.positions == fitted.after.positions > 0
    assert not fitted.model.training
    assert all(parameter.requires_grad for parameter in fitted.model.parameters())
    ours = fitted.model.base_model.state_dict()
    theirs = model.state_dict()
    # A masked LM has no pooler.
    assert ours.keys() == {name for name in theirs if "pooler" not in name}
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name

    name = saved(fitted.model, tmp_path / "fitted")
    assert has_masked_lm_head(name)
    reloaded = load_masked_lm(name)
    assert reloaded.get_output_embeddings().weight is reloaded.get_input_embeddings().weight
    assert torch.equal(reloaded(**BATCH).logits, fitted.model(**BATCH).logits)


def test_the_same_seed_gives_the_same_head_and_leaves_the_generators_alone(tmp_path: Path) -> None:
    name = saved(tiny.encoder("electra-projected"), tmp_path)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = fit(name)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    np.random.default_rng(0).random()
    again, other = fit(name), fit(name, seed=4)
    assert (first.before, first.after) == (again.before, again.after)
    for (parameter, value), (_, repeated), (_, different) in zip(
        *(fitted.model.named_parameters() for fitted in (first, again, other)), strict=True
    ):
        assert torch.equal(value, repeated), parameter
        encoder = parameter.startswith("electra.")
        assert torch.equal(value, different) == encoder, parameter


def test_a_head_starts_as_the_identity_where_that_fits(tmp_path: Path) -> None:
    fitted = fit(saved(tiny.encoder(), tmp_path), steps=1)
    # One step of Adam moves a weight by about its rate at most.
    dense = fitted.model.cls.predictions.transform.dense
    torch.testing.assert_close(dense.weight, torch.eye(32), rtol=0, atol=5e-3)


@every_architecture
def test_a_head_starts_from_the_frequencies_of_the_tokens(architecture: str, tmp_path: Path) -> None:
    fitted = fit(saved(tiny.encoder(architecture), tmp_path), steps=1, batch_size=200)
    bias = fitted.model.get_output_embeddings().bias
    vocabulary = tiny.tokenizer().get_vocab()
    often, never = ([vocabulary[f"w{number}"] for number in numbers] for numbers in (range(7), range(7, 98)))
    assert bias[often].min() > bias[never].max() + 2
    assert bias[tiny.tokenizer().all_special_ids].max() < bias[often].min() - 2


def test_a_head_that_is_there_is_where_fitting_starts(tmp_path: Path) -> None:
    model = tiny.masked_lm()
    fitted = fit(saved(model, tmp_path), steps=1)
    ours, theirs = (
        whole.get_submodule("cls.predictions.transform.dense").weight for whole in (fitted.model, model)
    )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-3)


def test_an_untied_configuration_is_tied(tmp_path: Path) -> None:
    fitted = fit(saved(tiny.encoder(tie_word_embeddings=False), tmp_path / "encoder"), steps=1)
    reloaded = AutoModelForMaskedLM.from_pretrained(saved(fitted.model, tmp_path / "fitted"))
    assert reloaded.get_output_embeddings().weight is reloaded.get_input_embeddings().weight


def test_progress_is_told_after_every_step(tmp_path: Path) -> None:
    told: list[tuple[int, int, float]] = []
    fit(saved(tiny.encoder(), tmp_path), steps=3, progress=lambda *values: told.append(values))
    assert [(done, steps) for done, steps, _ in told] == [(1, 3), (2, 3), (3, 3)]
    assert all(math.isfinite(loss) for *_, loss in told)


def test_special_tokens_and_padding_are_never_masked() -> None:
    tokenizer = tiny.tokenizer()
    batch = tokenizer(["w1 w2 [SEP] w3", "w4"], padding=True, return_tensors="pt")
    masking = Masking(tokenizer, np.arange(tiny.VOCABULARY))
    seen = set()
    for seed in range(50):
        guesses = masking.hide(batch, np.random.default_rng(seed), all_masked=True)
        places = list(zip(guesses.rows.tolist(), guesses.columns.tolist(), strict=True))
        assert len(places) == 1
        seen.update(places)
        assert torch.equal(guesses.targets, batch["input_ids"][guesses.rows, guesses.columns])
        assert torch.equal(guesses.ids == tokenizer.mask_token_id, guesses.ids != batch["input_ids"])
    assert seen == {(0, 1), (0, 2), (0, 4), (1, 1)}


def test_frequent_tokens_are_guessed_less_often_than_they_come() -> None:
    """As the root of the frequency: one that comes 100 times as often is guessed 10 times as often."""
    frequent, rare = torch.full((1, 5000), 10), torch.full((1, 50), 11)
    ids = torch.cat([frequent, rare, torch.arange(12, 112)[None].repeat(1, 50)], 1)
    masking = Masking(tiny.tokenizer(), ids[0].numpy())
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    targets = [masking.hide(batch, np.random.default_rng(seed)).targets for seed in range(50)]
    counts = torch.bincount(torch.cat(targets), minlength=tiny.VOCABULARY).double()
    assert 7 < counts[10] / counts[11] < 12
    shares = counts / counts.sum()
    torch.testing.assert_close(shares[10], torch.tensor(masking.shares)[10], rtol=0.3, atol=0)
    assert masking.shares.min() > 0
    assert abs(masking.shares.sum() - 1) < 1e-9


def test_what_is_guessed_is_masked_replaced_and_left_as_for_bert() -> None:
    tokenizer = tiny.tokenizer()
    ids = torch.randint(5, tiny.VOCABULARY, (100, 100), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    guesses = Masking(tokenizer, np.arange(tiny.VOCABULARY)).hide(batch, np.random.default_rng(0))
    assert len(guesses.targets) == 1500
    shown = guesses.ids[guesses.rows, guesses.columns]
    masked, kept = shown == tokenizer.mask_token_id, shown == guesses.targets
    assert abs(masked.double().mean() - 0.8) < 0.03
    # One in 195 of those that are replaced is replaced by itself.
    assert abs(kept.double().mean() - 0.1) < 0.03
    replaced = shown[~masked & ~kept]
    assert not torch.isin(replaced, torch.tensor(tokenizer.all_special_ids)).any()
    assert len(replaced.unique()) > 80
    untouched = torch.ones_like(ids, dtype=torch.bool)
    untouched[guesses.rows, guesses.columns] = False
    assert torch.equal(guesses.ids[untouched], ids[untouched])


def test_a_tokenizer_without_a_mask_token_is_refused(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.mask_token = None
    name = saved(tiny.encoder(), tmp_path)
    text = message(lambda: fit_masked_lm_head(name, texts(), tokenizer, seed=0))
    assert "has no mask token" in text


def test_texts_that_cannot_be_learned_from_are_refused(tmp_path: Path) -> None:
    name, tokenizer = saved(tiny.encoder(), tmp_path), tiny.tokenizer()
    with pytest.raises(DataError, match="got 1 texts to fit a masked-LM head on; expected at least 2"):
        fit_masked_lm_head(name, tokenize(tokenizer, ["w1"]), tokenizer, seed=0)
    packed = tokenize(tokenizer, ["w1", "w2", "w3"])
    packed.packed = True
    with pytest.raises(DataError, match="rows of several texts each"):
        fit_masked_lm_head(name, packed, tokenizer, seed=0)
    with pytest.raises(DataError, match="nothing but special tokens"):
        fit_masked_lm_head(name, tokenize(tokenizer, ["", "", ""]), tokenizer, seed=0)


def test_texts_without_words_among_others_do_no_harm(tmp_path: Path) -> None:
    dataset = tokenize(tiny.tokenizer(), ["", *("w1 w2" for _ in range(30)), *("" for _ in range(30))])
    fitted = fit_masked_lm_head(
        saved(tiny.encoder(), tmp_path), dataset, tiny.tokenizer(), steps=80, batch_size=1, seed=0
    )
    assert fitted.after.loss < fitted.before.loss


def test_a_loss_that_is_not_finite_stops(tmp_path: Path) -> None:
    name = saved(tiny.encoder(), tmp_path)
    edit_weights(tmp_path, lambda weights: weights["embeddings.LayerNorm.bias"].fill_(torch.nan))
    with pytest.raises(NonFiniteLossError, match="the masked-LM loss is nan at step 1"):
        fit(name)
