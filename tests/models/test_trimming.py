"""Models that have lost entries of their vocabulary answer as before for the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests import tiny
from torch import Tensor

from bertling.errors import ModelError
from bertling.models.trimming import load_as_saved, needed_ids, trim_model

KEPT = [0, 1, 2, 3, 4, *range(7, tiny.VOCABULARY, 3)]


def batch_of(kept: list[int]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Texts in old and in new ids."""
    batch = tiny.batch([9, 4, 6])
    places = batch["input_ids"] % len(kept)
    places[batch["attention_mask"] == 0] = kept.index(0)
    return {**batch, "input_ids": torch.tensor(kept)[places]}, {**batch, "input_ids": places}


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_logits_are_the_same_bit_for_bit(architecture: str) -> None:
    model = tiny.classifier(architecture)
    old, new = batch_of(KEPT)
    small = trim_model(model, KEPT)
    assert small.config.vocab_size == len(KEPT)
    assert model.config.vocab_size == tiny.VOCABULARY
    embedding = small.get_input_embeddings().weight
    assert isinstance(embedding, Tensor)
    assert len(embedding) == len(KEPT)
    with torch.no_grad():
        assert torch.equal(small(**new).logits, model(**old).logits)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
@pytest.mark.parametrize("tied", [True, False])
def test_a_masked_lm_guesses_as_before_among_what_is_kept(architecture: str, tied: bool) -> None:
    model = tiny.masked_lm(architecture, tie_word_embeddings=tied)
    old, new = batch_of(KEPT)
    small = trim_model(model, KEPT)
    with torch.no_grad():
        logits, expected = small(**new).logits, model(**old).logits
    assert logits.shape[-1] == len(KEPT)
    torch.testing.assert_close(logits, expected[..., KEPT])


def test_positions_and_special_tokens_follow() -> None:
    """RoBERTa counts positions from behind its padding token, which therefore keeps its id."""
    model = tiny.classifier(
        "roberta", pad_token_id=1, bos_token_id=0, eos_token_id=6, max_position_embeddings=50
    )
    assert needed_ids(model.config) == {0, 1, 6}
    kept = [0, 1, 6, *range(9, 60)]
    ids = torch.tensor([[0, 9, 30, 6, 1, 1], [0, 59, 10, 11, 12, 6]])
    small = trim_model(model, kept)
    new = torch.tensor([[kept.index(index) for index in row] for row in ids.tolist()])
    mask = (ids != 1).long()
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).logits
        assert torch.equal(small(input_ids=new, attention_mask=mask).logits, expected)
    assert (small.config.pad_token_id, small.config.eos_token_id) == (1, 2)
    with pytest.raises(ModelError, match="has to keep its id"):
        trim_model(model, kept[1:])


def test_a_special_token_that_there_is_not_has_no_id() -> None:
    model = tiny.classifier(eos_token_id=5)
    assert trim_model(model, [0, 1, 2]).config.eos_token_id is None
    assert needed_ids(tiny.config(eos_token_id=50_000)) == {0}


@pytest.mark.parametrize("kept", [[], [0, tiny.VOCABULARY], [-1, 3]])
def test_ids_without_an_embedding_are_refused(kept: list[int]) -> None:
    with pytest.raises(ModelError, match="has embeddings for 0 to 199"):
        trim_model(tiny.encoder(), kept)


def test_trimming_draws_no_random_numbers() -> None:
    model = tiny.encoder()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    trim_model(model, KEPT)
    assert torch.equal(torch.rand(2), expected)


def test_models_are_read_as_what_they_were_saved_as(tmp_path: Path) -> None:
    for make in (tiny.classifier, tiny.word_classifier, tiny.masked_lm, tiny.encoder):
        model = make()
        folder = tmp_path / make.__name__
        model.save_pretrained(folder)
        read = load_as_saved(str(folder))
        assert type(read) is type(model)
        old, _ = batch_of(KEPT)
        with torch.no_grad():
            assert torch.equal(read(**old)[0], model(**old)[0])


def test_an_encoder_without_a_pooler_stays_without(tmp_path: Path) -> None:
    model = tiny.encoder()
    model.register_module("pooler", None)
    model.save_pretrained(tmp_path)
    small = trim_model(load_as_saved(str(tmp_path)), KEPT)
    assert not [name for name in small.state_dict() if "pooler" in name]


def test_a_model_that_is_nobody_s_is_refused(tmp_path: Path) -> None:
    model = tiny.classifier()
    model.save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace("BertForSequenceClassification", "MyOwnModel"))
    with pytest.raises(ModelError, match=r"does not say which of transformers' classes.*MyOwnModel"):
        load_as_saved(str(tmp_path))
