from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from tests import tiny
from tests.augmentation import toy
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.configuration_auto import AutoConfig

from bertling.augmentation import masked_lm_candidates
from bertling.augmentation.masked_lm_candidates import MaskedLMCandidates, Mode, replacement_entries
from bertling.augmentation.words import encode_words
from bertling.errors import ModelError

every_kind = pytest.mark.parametrize("kind", toy.KINDS)
every_mode = pytest.mark.parametrize("mode", ["masked", "unmasked"])
TEXTS = ("good film", "the story was truly bad", "a film", "great movie", "the story was truly dull")
# Further architectures whose heads read the encoder's output in ways of their own.
CONFIGS: dict[str, dict[str, Any]] = {
    "camembert": {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32},
    "albert": {"num_hidden_layers": 2, "embedding_size": 16, "num_attention_heads": 4, "hidden_size": 32},
    "deberta-v2": {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32},
    "modernbert": {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32},
    "mpnet": {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32},
    "xlm-roberta": {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32},
}


def model_of(architecture: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    if architecture not in CONFIGS:
        return toy.masked_lm(tokenizer, architecture)
    settings = CONFIGS[architecture] | {"vocab_size": len(tokenizer), "intermediate_size": 48}
    config = AutoConfig.for_model(architecture, pad_token_id=1, max_position_embeddings=48, **settings)
    return toy.masked_lm_of(config)


def asker(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    candidates: int = 3,
    mode: Mode = "masked",
    batch_tokens: int = 64,
) -> MaskedLMCandidates:
    return MaskedLMCandidates(model, tokenizer, candidates=candidates, mode=mode, batch_tokens=batch_tokens)


def every_word(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> list[tuple[list[int], dict[int, str]]]:
    return [
        (ids, {word.token: text[word.start : word.end] for word in words if word.pieces == 1})
        for text, (ids, words) in zip(
            texts, encode_words(tokenizer, texts, max_length_tokens=32), strict=True
        )
    ]


def watched(
    model: PreTrainedModel, asker: MaskedLMCandidates, asked: Any
) -> list[tuple[dict[str, Any], Tensor]]:
    """What went into the model at each of its runs, and the logits that came out."""
    runs: list[tuple[dict[str, Any], Tensor]] = []
    hook = model.register_forward_hook(
        lambda _, args, inputs, output: runs.append((inputs, output.logits)), with_kwargs=True
    )
    asker.find(asked)
    hook.remove()
    return runs


@torch.no_grad()
def by_hand(
    model: PreTrainedModel,
    ids: Sequence[int],
    position: int,
    *,
    mask: int | None,
    entries: Mapping[int, str],
    word: str,
) -> list[str]:
    """All replacements for one word, from a run of its text alone with the whole head."""
    row = list(ids)
    if mask is not None:
        row[position] = mask
    logits = model(input_ids=torch.tensor([row])).logits[0, position]
    ranked = [entries[index] for index in logits.argsort(descending=True).tolist() if index in entries]
    distinct = {candidate.lower(): candidate for candidate in reversed(ranked)}
    return [word_ for word_ in ranked if distinct[word_.lower()] == word_ and word_.lower() != word.lower()]


@every_kind
def test_whole_words_of_the_vocabulary_can_replace(kind: str) -> None:
    tokenizer = toy.tokenizer(kind)
    tokenizer.add_tokens([f"{toy.MARKS[kind]}added"])
    ids = toy.ids_of(tokenizer, kind)
    assert replacement_entries(tokenizer) == {index: word for word, index in ids.items()}
    assert list(replacement_entries(tokenizer)) == sorted(ids.values())


@every_kind
@every_mode
def test_the_known_best_replacements_come_best_first(kind: str, mode: Mode) -> None:
    tokenizer = toy.tokenizer(kind)
    ids = toy.ids_of(tokenizer, kind)
    model = toy.preferring(tokenizer, [ids[word] for word in ("story", "dull", "a", "movie", "great")])
    [found] = asker(model, tokenizer, mode=mode).find(every_word(tokenizer, ["the film was good"]))
    assert list(found.values()) == [["story", "dull", "a"]] * 4
    [found] = asker(model, tokenizer, mode=mode, candidates=4).find(every_word(tokenizer, ["a story"]))
    assert list(found.values()) == [["story", "dull", "movie", "great"], ["dull", "a", "movie", "great"]]


@every_kind
@every_mode
def test_pieces_special_tokens_and_no_words_never_replace(kind: str, mode: Mode) -> None:
    tokenizer = toy.tokenizer(kind)
    ids = toy.ids_of(tokenizer, kind)
    others = [index for index in range(len(tokenizer)) if index not in ids.values()]
    model = toy.preferring(tokenizer, [*others, ids["dull"]])
    [found] = asker(model, tokenizer, mode=mode, candidates=100).find(every_word(tokenizer, ["bad film"]))
    # All that can replace, and the word "dull" leads: everything that the model likes better is none.
    distinct = {word.lower() for word in toy.WORDS}
    for word, candidates in zip(("bad", "film"), found.values(), strict=True):
        assert candidates[0] == "dull"
        assert sorted(candidate.lower() for candidate in candidates) == sorted(distinct - {word})


@every_kind
@every_mode
def test_neither_the_word_itself_nor_another_case_of_it_replaces(kind: str, mode: Mode) -> None:
    tokenizer = toy.tokenizer(kind)
    ids = toy.ids_of(tokenizer, kind)
    ranking = [ids[word] for word in ("Film", "film", "GOOD", "good", "bad")]
    found = asker(toy.preferring(tokenizer, ranking), tokenizer, mode=mode, candidates=2).find(
        every_word(tokenizer, ["a film", "a Film", "good", "bad"])
    )
    last = [list(candidates.values())[-1] for candidates in found]
    assert last == [["GOOD", "bad"], ["GOOD", "bad"], ["Film", "bad"], ["Film", "GOOD"]]


def test_a_word_is_not_replaced_by_itself_without_its_accents() -> None:
    tokenizer = toy.wordpiece()
    ids = toy.ids_of(tokenizer, "wordpiece")
    model = toy.preferring(tokenizer, [ids["cafe"], ids["film"]])
    [found] = asker(model, tokenizer, candidates=1).find(every_word(tokenizer, ["café"]))
    assert list(found.values()) == [["film"]]


@every_kind
@every_mode
def test_candidates_are_those_of_each_text_alone(kind: str, mode: Mode) -> None:
    tokenizer = toy.tokenizer(kind)
    model = toy.masked_lm(tokenizer)
    entries = {index: word for word, index in toy.ids_of(tokenizer, kind).items()}
    asked = every_word(tokenizer, TEXTS)
    found = asker(model, tokenizer, mode=mode, candidates=5).find(asked)
    mask = tokenizer.mask_token_id if mode == "masked" else None
    rankings = set()
    for (ids, words), candidates in zip(asked, found, strict=True):
        assert candidates.keys() == words.keys()
        for position, word in words.items():
            expected = by_hand(model, ids, position, mask=mask, entries=entries, word=word)
            assert candidates[position] == expected[:5]
            rankings.add(tuple(expected))
    # Else the model would not tell the texts apart.
    assert len(rankings) > 8


@every_mode
def test_batches_change_nothing(mode: Mode) -> None:
    tokenizer = toy.wordpiece()
    model = toy.masked_lm(tokenizer)
    asked = every_word(tokenizer, TEXTS)
    together = asker(model, tokenizer, mode=mode, batch_tokens=1000).find(asked)
    for batch_tokens in (1, 10, 20):
        assert asker(model, tokenizer, mode=mode, batch_tokens=batch_tokens).find(asked) == together
    assert [asker(model, tokenizer, mode=mode).find([text])[0] for text in asked] == together
    assert asker(model, tokenizer, mode=mode).find(asked[::-1]) == together[::-1]


@pytest.mark.parametrize("architecture", sorted({*tiny.ARCHITECTURES, *CONFIGS}))
@every_mode
def test_the_head_gives_the_same_logits_for_the_wanted_positions_alone(architecture: str, mode: Mode) -> None:
    tokenizer = toy.byte_level()
    model = model_of(architecture, tokenizer)
    asked = every_word(tokenizer, TEXTS)
    [(inputs, logits)] = watched(model, asker(model, tokenizer, mode=mode, batch_tokens=2000), asked)
    ids = inputs["input_ids"]
    assert not inputs["attention_mask"].all()
    if mode == "masked":
        rows, positions = (ids == tokenizer.mask_token_id).nonzero(as_tuple=True)
    else:
        special = torch.tensor(tokenizer.all_special_ids)
        rows, positions = torch.isin(ids, special, invert=True).nonzero(as_tuple=True)
    # Two pairs of texts differ in one word alone.
    wanted = sum(len(words) for _, words in asked) - (2 if mode == "masked" else 0)
    assert logits.shape == (1, wanted, len(tokenizer))
    with torch.no_grad():
        full = model(**inputs).logits
    torch.testing.assert_close(logits[0], full[rows, positions])
    assert full[rows, positions].std(0).max() > 0.01


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra", "camembert", "xlm-roberta"])
def test_the_last_layer_is_spared_all_other_positions(architecture: str) -> None:
    tokenizer = toy.byte_level()
    model = model_of(architecture, tokenizer)
    read: list[Tensor] = []
    for layer in (0, 1):
        ffn = model.base_model.get_submodule(f"encoder.layer.{layer}.intermediate")
        ffn.register_forward_pre_hook(lambda _, states: read.append(states[0]))
    asker(model, tokenizer).find(every_word(tokenizer, ["good film"]))
    assert [states.shape[:2] for states in read] == [(2, 4), (1, 2)]


def test_equal_rows_run_once() -> None:
    tokenizer = toy.wordpiece()
    model = toy.masked_lm(tokenizer)
    texts = ["good film", "bad film", "good film", "good movie"]
    # Masked at its first word, "bad film" is "good film"; at its second, "good movie" is.
    [(inputs, _)] = watched(model, asker(model, tokenizer), every_word(tokenizer, texts))
    assert len(inputs["input_ids"]) == len({tuple(row) for row in inputs["input_ids"].tolist()}) == 4
    [(inputs, _)] = watched(model, asker(model, tokenizer, mode="unmasked"), every_word(tokenizer, texts))
    assert len(inputs["input_ids"]) == 3


def test_one_word_stands_for_both_that_it_hides() -> None:
    """The row is shared, the word that must not replace itself is not."""
    tokenizer = toy.wordpiece()
    ids = toy.ids_of(tokenizer, "wordpiece")
    model = toy.preferring(tokenizer, [ids["good"], ids["bad"], ids["dull"]])
    found = asker(model, tokenizer, candidates=1).find(every_word(tokenizer, ["good film", "bad film"]))
    assert [candidates[1] for candidates in found] == [["bad"], ["good"]]


def test_batches_keep_to_their_size_and_group_by_length() -> None:
    tokenizer = toy.wordpiece()
    model = toy.masked_lm(tokenizer)
    texts = ["good film " * repeats for repeats in (6, 1, 3, 1, 6)] + ["bad story", "a dull story"]
    runs = watched(model, asker(model, tokenizer, batch_tokens=40), every_word(tokenizer, texts))
    # 4 rows of 4 tokens, 3 of 5, 6 of 8 and 12 of 14, of which no two lengths are worth padding.
    assert [tuple(inputs["input_ids"].shape) for inputs, _ in runs] == [(4, 4), (3, 5), (5, 8), (1, 8)] + [
        (2, 14)
    ] * 6
    assert all(inputs["attention_mask"].all() for inputs, _ in runs)


def test_little_padding_is_worth_a_batch_less() -> None:
    tokenizer = toy.wordpiece()
    model = toy.masked_lm(tokenizer)
    asked = every_word(tokenizer, ["good film", "bad story", "a dull story"])
    [(inputs, _)] = watched(model, asker(model, tokenizer, batch_tokens=64 * 4), asked)
    assert inputs["attention_mask"].sum(1).tolist() == [4, 4, 4, 4, 5, 5, 5]
    assert len(watched(model, asker(model, tokenizer, batch_tokens=64 * 4 - 1), asked)) == 2


def test_a_large_vocabulary_makes_batches_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = toy.wordpiece()
    model = toy.masked_lm(tokenizer)
    asked = every_word(tokenizer, ["good film", "bad story", "a dull story"])
    for mode, rows in (("masked", [3, 1, 3]), ("unmasked", [1, 1, 1])):
        monkeypatch.setattr(masked_lm_candidates, "_BATCH_LOGITS", 3 * len(tokenizer))
        runs = watched(model, asker(model, tokenizer, mode=mode, batch_tokens=40), asked)  # type: ignore[arg-type]
        assert [len(inputs["input_ids"]) for inputs, _ in runs] == rows


def test_a_text_above_the_batch_size_runs_alone() -> None:
    tokenizer = toy.wordpiece()
    model = toy.masked_lm(tokenizer)
    runs = watched(
        model, asker(model, tokenizer, batch_tokens=3), every_word(tokenizer, ["good film", "bad"])
    )
    assert [len(inputs["input_ids"]) for inputs, _ in runs] == [1, 1, 1]


@every_mode
def test_nothing_asked_runs_nothing(mode: Mode) -> None:
    tokenizer = toy.wordpiece()
    model = toy.masked_lm(tokenizer)
    candidates = asker(model, tokenizer, mode=mode)
    assert candidates.find([]) == []
    assert candidates.find([([2, 3], {}), ([2, 9, 3], {})]) == [{}, {}]
    assert not watched(model, candidates, [([2, 9, 3], {})])


@pytest.mark.parametrize("training", [True, False])
def test_mode_and_hooks_of_the_model_are_restored(training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = toy.wordpiece()
    config = tiny.config(vocab_size=len(tokenizer), dropout=0.5)
    model = toy.masked_lm_of(config).train(training)
    asked = every_word(tokenizer, ["good film"])
    candidates = asker(model, tokenizer)
    assert candidates.find(asked) == candidates.find(asked)
    assert model.training == training
    plain = model.eval()(input_ids=torch.tensor([[2, 5, 3]])).logits
    assert plain.shape == (1, 3, len(tokenizer))
    model.train(training)

    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(model.get_output_embeddings(), "forward", fail)
    with pytest.raises(MemoryError):
        candidates.find(asked)
    monkeypatch.undo()
    assert model.training == training
    assert torch.equal(model.eval()(input_ids=torch.tensor([[2, 5, 3]])).logits, plain)


def test_without_a_mask_token_only_the_unmasked_mode_works() -> None:
    tokenizer = toy.wordpiece()
    model = toy.masked_lm(tokenizer)
    asked = every_word(tokenizer, ["good film"])
    tokenizer.mask_token = None
    with pytest.raises(ModelError, match=r"the tokenizer has no mask token.*'unmasked'"):
        asker(model, tokenizer)
    [found] = asker(model, tokenizer, mode="unmasked").find(asked)
    assert len(found) == 2


def test_a_model_without_a_head_is_refused() -> None:
    with pytest.raises(ModelError, match=r"BertModel has no encoder below its head.*AutoModelForMaskedLM"):
        asker(tiny.encoder(), toy.wordpiece())


def test_a_tokenizer_of_another_model_is_refused() -> None:
    tokenizer = toy.byte_level()
    model = toy.masked_lm(toy.wordpiece())
    with pytest.raises(
        ModelError, match=r"the tokenizer has ids up to \d+, but the masked LM knows \d+ tokens"
    ):
        asker(model, tokenizer)


def test_a_vocabulary_without_words_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy, "WORDS", ("7", "8"))
    tokenizer = toy.wordpiece()
    with pytest.raises(ModelError, match=r"none of the tokenizer's .* entries is known to be a whole word"):
        replacement_entries(tokenizer)
