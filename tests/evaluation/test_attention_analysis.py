"""Teacher and student side by side: shapes, places, the texts that are kept."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from tests import tiny
from torch import Tensor
from torch.nn import functional

from bertling.data.tokenization import TokenizedTexts, tokenize
from bertling.evaluation.attention_analysis import AttentionAnalysis, analyse_attention
from bertling.evaluation.attention_figures import attention_to_special_tokens
from bertling.models.attention_weights import attention_weights

TEXTS = [" ".join(f"w{(7 * row + place) % 98}" for place in range(2 + row)) for row in range(12)]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    yield from tiny.one_thread()


def loss(logits: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits, labels, reduction="none")


def tokens() -> TokenizedTexts:
    return tokenize(tiny.tokenizer(), TEXTS, labels=[row % 2 for row in range(12)], max_length_tokens=16)


@pytest.fixture(scope="module")
def analysis() -> AttentionAnalysis:
    models = {"teacher": tiny.classifier(layers=3), "student": tiny.classifier(layers=2, width=16, seed=1)}
    return analyse_attention(models, tiny.tokenizer(), tokens(), loss=loss)  # type: ignore[arg-type]


def test_every_head_has_its_figures_in_the_order_of_the_layers(analysis: AttentionAnalysis) -> None:
    assert list(analysis.models) == ["teacher", "student"]
    for model, layers in zip(analysis.models.values(), (3, 2), strict=True):
        assert (model.layers, model.heads) == (layers, 4)
        places = [(head.layer, head.head) for head in model.figures]
        assert places == [(layer, head) for layer in range(1, layers + 1) for head in range(1, 5)]
    batch = tiny.tokenizer()(TEXTS, return_tensors="pt", padding=True)
    expected = attention_to_special_tokens(tiny.classifier(layers=3), tiny.tokenizer(), [dict(batch)])
    got = [(head.to_sep or 0) + (head.to_cls or 0) for head in analysis.models["teacher"].figures]
    assert got == pytest.approx(expected.flatten().tolist(), rel=1e-5)
    assert analysis.tokens == int(batch["attention_mask"].sum())
    assert analysis.uniform.to_sep == pytest.approx(12 / analysis.tokens)


def test_gradients_are_those_of_the_labels(analysis: AttentionAnalysis) -> None:
    model = tiny.classifier(layers=3)
    sizes, pairs = torch.zeros(4), 0
    for row, text in enumerate(TEXTS):
        inputs = tiny.tokenizer()([text], return_tensors="pt")
        shown = attention_weights(model, inputs)
        assert shown.logits is not None
        value = functional.cross_entropy(shown.logits, torch.tensor([row % 2]))
        (gradient,) = torch.autograd.grad(value, [shown.layers[1]])
        sizes += gradient[0, :, :, -1].abs().sum(1)  # the last token is the separator
        pairs += inputs["input_ids"].shape[1]
    got = [head.sep_gradient for head in analysis.models["teacher"].figures if head.layer == 2]
    assert got == pytest.approx((sizes / pairs).tolist(), rel=1e-4)


def test_a_copy_has_its_heads_where_the_teacher_has_them() -> None:
    models = {"teacher": tiny.classifier(), "student": tiny.classifier()}
    found = analyse_attention(models, tiny.tokenizer(), tokens(), loss=loss)  # type: ignore[arg-type]
    for theirs, ours in zip(found.models["teacher"].figures, found.models["student"].figures, strict=True):
        assert ours.nearest == (ours.layer, ours.head)
        assert ours.nearest_nats == pytest.approx(0.0, abs=1e-9)
        assert ours.place == pytest.approx(theirs.place, abs=1e-6)
        assert theirs.nearest is None


def test_a_student_is_analysed_alone_too() -> None:
    found = analyse_attention({"student": tiny.classifier()}, tiny.tokenizer(), tokens(), loss=loss)
    assert list(found.models) == ["student"]
    assert all(head.nearest is None for head in found.models["student"].figures)


def test_texts_are_kept_with_all_of_their_attention(analysis: AttentionAnalysis) -> None:
    """The four longest, since none is longer than what reads well."""
    assert [len(text.tokens) for text in analysis.examples] == [15, 14, 13, 12]
    text = analysis.examples[0]
    assert text.tokens == ["[CLS]", *TEXTS[11].split(), "[SEP]"]
    for model, role, layers in (
        (tiny.classifier(layers=3), "teacher", 3),
        (tiny.classifier(layers=2, width=16, seed=1), "student", 2),
    ):
        inputs = tiny.tokenizer()([TEXTS[11]], return_tensors="pt")
        expected = torch.cat(attention_weights(model, inputs).layers).detach().numpy()
        kept = np.frombuffer(base64.b64decode(text.weights[role]), dtype=np.uint8)  # type: ignore[index]
        np.testing.assert_allclose(kept.reshape(layers, 4, 15, 15) / 255, expected, atol=0.5 / 255 + 1e-6)


def test_kept_texts_take_no_more_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = 2 * 4
    monkeypatch.setattr("bertling.evaluation.attention_analysis._SHOWN_BYTES", heads * (15**2 + 14**2) + 1)
    found = analyse_attention({"student": tiny.classifier()}, tiny.tokenizer(), tokens(), loss=loss)
    assert [len(text.tokens) for text in found.examples] == [15, 14]
