"""Figures of attention heads against plain loops over the weights that eager attention returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from tests import tiny
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import BertTokenizer, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from bertling.errors import ModelError
from bertling.evaluation.attention_figures import (
    HeadSums,
    SortedTokens,
    TokenSorter,
    attention_to_special_tokens,
    small_batches,
    uniform_weights,
)
from bertling.models.attention_weights import attention_weights

PAD, CLS, SEP, COMMA, DASH = 0, 2, 3, 5, 6
FIGURES = [
    *("to_sep", "to_cls", "to_punctuation", "to_previous", "to_next", "to_itself"),
    *("entropy_nats", "distance_tokens"),
]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    yield from tiny.one_thread()


def tokenizer() -> PreTrainedTokenizerBase:
    """Special tokens, two marks, and words of marks and letters or digits."""
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ",", "…—", "don't", "7", "word", "##s", "##'"]
    made: PreTrainedTokenizerBase = BertTokenizer(vocab={entry: index for index, entry in enumerate(entries)})
    return made


def batch(lengths: list[int], *, total: int | None = None, seed: int = 0) -> dict[str, Tensor]:
    """[CLS], words with marks among them, [SEP]: of a pair, if it is long enough, two."""
    generator = torch.Generator().manual_seed(seed)
    made = tiny.batch(lengths, total=total)
    for row, length in zip(made["input_ids"], lengths, strict=True):
        row[:length] = torch.randint(COMMA, 12, (length,), generator=generator)
        row[0], row[length - 1] = CLS, SEP
        if length > 6:
            row[4] = SEP
    return made


def eager_weights(model: PreTrainedModel, inputs: dict[str, Tensor]) -> list[Tensor]:
    config = type(model.config).from_dict(model.config.to_dict())
    twin = type(model)._from_config(config, attn_implementation="eager")
    twin.load_state_dict(model.state_dict())
    with torch.no_grad():
        return list(twin.eval()(**inputs, output_attentions=True).attentions)


def by_loops(weights: list[Tensor], inputs: dict[str, Tensor]) -> dict[str, list[float]]:
    """The figures of every head, token by token."""
    found: dict[str, list[float]] = {name: [] for name in FIGURES}
    for layer in weights:
        for head in range(layer.shape[1]):
            values: dict[str, list[float]] = {name: [] for name in FIGURES}
            for example, ids in enumerate(inputs["input_ids"].tolist()):
                length = int(inputs["attention_mask"][example].sum())
                for i in range(length):
                    row = layer[example, head, i].tolist()[:length]
                    values["to_sep"].append(
                        sum(w for w, token in zip(row, ids, strict=False) if token == SEP)
                    )
                    values["to_cls"].append(
                        sum(w for w, token in zip(row, ids, strict=False) if token == CLS)
                    )
                    marks = (COMMA, DASH, 11)
                    values["to_punctuation"].append(
                        sum(w for w, token in zip(row, ids, strict=False) if token in marks)
                    )
                    if i > 0:
                        values["to_previous"].append(row[i - 1])
                    if i + 1 < length:
                        values["to_next"].append(row[i + 1])
                    values["to_itself"].append(row[i])
                    values["entropy_nats"].append(-sum(w * math.log(w) for w in row if w > 0))
                    values["distance_tokens"].append(sum(w * abs(i - j) for j, w in enumerate(row)))
            for name, listed in values.items():
                found[name].append(sum(listed) / len(listed))
    return found


def measured(model: PreTrainedModel, *batches: dict[str, Tensor]) -> dict[str, Tensor]:
    sort, sums = TokenSorter(tokenizer()), HeadSums()
    for inputs in batches:
        weights = torch.cat(attention_weights(model, inputs).layers, dim=1)
        sums.add(weights, sort(inputs["input_ids"], inputs["attention_mask"]))
    return sums.means()


def assert_close(got: dict[str, Tensor], expected: dict[str, Tensor] | dict[str, list[float]]) -> None:
    assert set(got) == set(expected)
    for name, values in expected.items():
        wanted = torch.as_tensor(values, dtype=torch.float64)
        torch.testing.assert_close(got[name], wanted, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "albert", "modernbert", "deberta-v2"])
def test_figures_are_those_of_plain_loops(architecture: str) -> None:
    model = tiny.classifier(architecture, layers=3)
    inputs = batch([9, 4, 12], total=14)
    assert_close(measured(model, inputs), by_loops(eager_weights(model, inputs), inputs))


def test_padding_and_batches_change_nothing() -> None:
    model = tiny.classifier()
    inputs = batch([9, 4, 12], total=20)
    alone = [
        {name: values[[row], :length] for name, values in inputs.items()}
        for row, length in enumerate((9, 4, 12))
    ]
    assert_close(measured(model, inputs), measured(model, *alone))


def test_what_stands_at_padding_is_not_read() -> None:
    mask = torch.tensor([[True, True, False]])
    sep = torch.tensor([[False, True, False]])
    tokens = SortedTokens(mask, {"sep": sep, "other": torch.zeros_like(mask)})
    weights = torch.full((1, 1, 3, 3), torch.nan)
    weights[0, 0, :2, :2] = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    sums = HeadSums()
    sums.add(weights, tokens)
    sums.add_gradient(weights, tokens)
    means = sums.means()
    assert means["to_sep"].tolist() == [0.625]
    assert means["sep_gradient"].tolist() == [0.625]
    assert "other_gradient" not in means, "there is no such token"


def test_a_head_by_hand() -> None:
    """[CLS] w , [SEP]: to the next token, but for the last one, which looks at all alike."""
    ids = torch.tensor([[CLS, 9, COMMA, SEP]])
    weights = torch.tensor([[0.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0.25, 0.25, 0.25, 0.25]])[None, None]
    sums = HeadSums()
    sums.add(weights, TokenSorter(tokenizer())(ids, torch.ones_like(ids)))
    got = {name: float(values) for name, values in sums.means().items()}
    assert got == pytest.approx(
        {
            "to_sep": 1.25 / 4,
            "to_cls": 0.25 / 4,
            "to_punctuation": 1.25 / 4,
            "to_previous": 0.25 / 3,
            "to_next": 1.0,
            "to_itself": 0.25 / 4,
            "entropy_nats": math.log(4) / 4,
            "distance_tokens": (3 + (3 + 2 + 1) / 4) / 4,
        }
    )


def test_uniform_weights_are_those_of_a_head_without_a_preference() -> None:
    inputs = batch([9, 4])
    sums = HeadSums()
    tokens = TokenSorter(tokenizer())(inputs["input_ids"], inputs["attention_mask"])
    sums.add(uniform_weights(tokens.mask), tokens)
    means = sums.means()
    assert float(means["entropy_nats"]) == pytest.approx((9 * math.log(9) + 4 * math.log(4)) / 13)
    assert float(means["to_cls"]) == pytest.approx((9 / 9 + 4 / 4) / 13)
    assert float(means["to_sep"]) == pytest.approx((9 * 2 / 9 + 4 / 4) / 13)


@pytest.mark.parametrize("architecture", ["bert", "deberta-v2"])
def test_gradients_are_means_over_pairs_of_the_sizes_that_autograd_gives(architecture: str) -> None:
    model = tiny.classifier(architecture)
    inputs = batch([9, 4], total=11)

    def gradients(some: dict[str, Tensor]) -> tuple[Tensor, ...]:
        shown = attention_weights(model, some)
        assert shown.logits is not None
        return torch.autograd.grad(shown.logits.log_softmax(-1)[:, 0].sum(), shown.layers)

    sums = HeadSums()
    tokens = TokenSorter(tokenizer())(inputs["input_ids"], inputs["attention_mask"])
    sums.add(uniform_weights(tokens.mask).expand(-1, 8, -1, -1), tokens)
    sums.add_gradient(torch.cat(gradients(inputs), dim=1), tokens)
    means = sums.means()
    chosen: dict[str, Callable[[int], bool]] = {
        "sep_gradient": lambda token: token == SEP,
        "cls_gradient": lambda token: token == CLS,
        "punctuation_gradient": lambda token: token in (COMMA, DASH, 11),
        "other_gradient": lambda token: token not in (SEP, CLS, COMMA, DASH, 11),
    }
    # Of each text by itself: an example's loss depends on its own attention alone.
    alone = [
        {name: values[[row], :length] for name, values in inputs.items()} for row, length in enumerate((9, 4))
    ]
    found = [gradients(one) for one in alone]
    for name, counts in chosen.items():
        for layer in range(2):
            for head in range(4):
                sizes = [
                    abs(float(row[layer][0, head, i, j]))
                    for row, one in zip(found, alone, strict=True)
                    for i in range(one["input_ids"].shape[1])
                    for j, token in enumerate(one["input_ids"][0].tolist())
                    if counts(token)
                ]
                assert float(means[name][4 * layer + head]) == pytest.approx(
                    sum(sizes) / len(sizes), rel=1e-4
                )


def test_tokens_are_sorted_by_what_the_tokenizer_says() -> None:
    ids = torch.tensor([[CLS, COMMA, DASH, 7, 8, 9, 10, 11, 1, SEP, PAD]])
    tokens = TokenSorter(tokenizer())(ids, (ids != PAD).long())
    kinds = {kind: found[0].nonzero().flatten().tolist() for kind, found in tokens.kinds.items()}
    assert kinds == {"sep": [9], "cls": [0], "punctuation": [1, 2, 7], "other": [3, 4, 5, 6, 8]}


def wordless() -> PreTrainedTokenizerBase:
    """A tokenizer that knows neither separators nor a first token."""
    vocabulary = {"<pad>": 0, "a": 1, "!": 2}
    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(vocabulary, unk_token="a")), pad_token="<pad>"
    )
    return made


def test_special_tokens_that_there_are_not_have_no_figures() -> None:
    ids = torch.tensor([[1, 2, 1]])
    tokens = TokenSorter(wordless())(ids, torch.ones_like(ids))
    assert {kind: int(found.sum()) for kind, found in tokens.kinds.items()} == {"punctuation": 1, "other": 2}
    sums = HeadSums()
    sums.add(uniform_weights(tokens.mask), tokens)
    assert "to_sep" not in sums.means()
    assert "to_cls" not in sums.means()


def test_attention_to_special_tokens_of_each_layer_and_head() -> None:
    model = tiny.encoder(layers=3)
    inputs = batch([9, 4, 12], total=14)
    means = measured(model, inputs)
    expected = (means["to_sep"] + means["to_cls"]).view(3, 4)
    torch.testing.assert_close(attention_to_special_tokens(model, tokenizer(), [inputs]), expected)
    halves = [{name: values[rows] for name, values in inputs.items()} for rows in (slice(1), slice(1, 3))]
    torch.testing.assert_close(attention_to_special_tokens(model, tokenizer(), halves), expected)
    no_first = tokenizer()
    no_first.cls_token = None
    got = attention_to_special_tokens(model, no_first, [inputs])
    torch.testing.assert_close(got, means["to_sep"].view(3, 4))


def test_without_special_tokens_or_a_text_nothing_can_be_measured() -> None:
    with pytest.raises(ModelError, match=r"has neither sep_token nor cls_token"):
        attention_to_special_tokens(tiny.encoder(), wordless(), [])
    with pytest.raises(ModelError, match="no texts"):
        attention_to_special_tokens(tiny.encoder(), tokenizer(), [])


def test_batches_are_so_small_that_all_weights_fit_into_memory() -> None:
    long = {"input_ids": torch.arange(4 * 200).view(4, 200), "labels": torch.arange(4)}
    short = {"input_ids": torch.arange(6).view(3, 2), "labels": torch.arange(3)}
    parts = list(small_batches([long, short]))
    assert [len(part["labels"]) for part in parts] == [1, 1, 1, 1, 3]
    assert torch.equal(torch.cat([part["input_ids"] for part in parts[:4]]), long["input_ids"])
