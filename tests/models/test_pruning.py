from __future__ import annotations

import re

import pytest
import torch
from tests import tiny
from torch import Tensor, nn
from transformers import PreTrainedModel

from bertling.models.anatomy import layers_of
from bertling.models.pruning import Importance, cut, measure_importance
from bertling.models.student import Shape, create_student, student_config

every_architecture = pytest.mark.parametrize(
    "architecture", [name for name in tiny.ARCHITECTURES if name not in ("mobilebert", "modernbert")]
)
LENGTHS = (9, 4, 1, 6)
TEXTS = tiny.batch(LENGTHS)
TEXTS_MASK = TEXTS["attention_mask"].bool()


PARTS = ("query", "key", "value", "attended", "neurons", "output")
BERT = (
    *("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
    *("intermediate.dense", "output.dense"),
)
NAMES = {
    "albert": ("attention.query", "attention.key", "attention.value", "attention.dense", "ffn", "ffn_output"),
    "deberta-v2": tuple(re.sub(r"self\.(\w+)", r"self.\1_proj", name) for name in BERT),
    "distilbert": (
        *("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"),
        *("ffn.lin1", "ffn.lin2"),
    ),
}


def part(architecture: str, layer: nn.Module, name: str) -> nn.Linear:
    """One of a layer's linear maps."""
    found = layer.get_submodule(NAMES.get(architecture, BERT)[PARTS.index(name)])
    assert isinstance(found, nn.Linear)
    return found


def layers_in(model: PreTrainedModel) -> list[nn.Module]:
    """The layers; ALBERT's one layer once."""
    return [model.get_submodule(name) for name in dict.fromkeys(layers_of(model))]


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra", "distilbert", "deberta-v2"])
def test_importance_is_measured_as_documented(architecture: str) -> None:
    """Against hooks on the linear maps, one text after the other without padding."""
    # Where DeBERTa shares them, relative positions pass through the same maps as the tokens.
    own = {"share_att_key": False} if architecture == "deberta-v2" else {}
    model = tiny.classifier(architecture, layers=2, **own).double()
    seen: dict[tuple[int, str], list[Tensor]] = {}
    hooks = []
    for index, layer in enumerate(layers_in(model)):
        for name in ("query", "key", "value"):
            noted = seen.setdefault((index, name), [])
            hooks.append(
                part(architecture, layer, name).register_forward_hook(
                    lambda _, __, output, noted=noted: noted.append(output[0])
                )
            )
        noted = seen.setdefault((index, "neurons"), [])
        hooks.append(
            part(architecture, layer, "output").register_forward_pre_hook(
                lambda _, inputs, noted=noted: noted.append(inputs[0][0])
            )
        )
    states: list[Tensor] = []
    with torch.no_grad():
        for ids, length in zip(TEXTS["input_ids"], LENGTHS, strict=True):
            output = model(input_ids=ids[None, :length], output_hidden_states=True)
            states.append(torch.stack(output.hidden_states)[:, 0])
    for hook in hooks:
        hook.remove()

    importance = measure_importance(model, [TEXTS])
    torch.testing.assert_close(importance.width, torch.cat(states, 1).abs().sum(0).mean(0))
    for index, layer in enumerate(layers_in(model)):
        squares = {
            name: torch.cat(seen[index, name]).square().mean(0)
            for name in ("query", "key", "value", "neurons")
        }
        attended, output = (
            part(architecture, layer, name).weight.detach().norm(dim=0) for name in ("attended", "output")
        )
        torch.testing.assert_close(importance.qk[index].flatten(), (squares["query"] * squares["key"]).sqrt())
        torch.testing.assert_close(importance.vo[index].flatten(), squares["value"].sqrt() * attended)
        torch.testing.assert_close(importance.ffn[index], squares["neurons"].sqrt() * output)
    assert importance.qk.shape == importance.vo.shape == (2, 4, 8)


def test_importance_does_not_depend_on_padding_or_batches() -> None:
    model = tiny.classifier()
    at_once = measure_importance(model, [TEXTS])
    longer = {name: nn.functional.pad(values, (0, 5)) for name, values in TEXTS.items()}
    singly = [{name: values[i : i + 1] for name, values in longer.items()} for i in range(len(LENGTHS))]
    for batches in ([longer], singly):
        other = measure_importance(model, iter(batches))
        for name in ("width", "qk", "vo", "ffn"):
            torch.testing.assert_close(getattr(other, name), getattr(at_once, name), rtol=1e-5, atol=1e-7)


def test_measuring_leaves_the_model_as_it_was() -> None:
    model = tiny.classifier(dropout=0.5).train()
    first = measure_importance(model, [TEXTS])
    assert model.training
    assert not any(module._forward_pre_hooks for module in model.modules())
    # In eval mode: dropout would make two measurements differ.
    assert torch.equal(measure_importance(model, [TEXTS]).ffn, first.ffn)
    assert all(parameter.grad is None for parameter in model.parameters())


@every_architecture
def test_cutting_dead_neurons_changes_nothing(architecture: str) -> None:
    teacher = tiny.classifier(architecture, layers=2)
    with torch.no_grad():
        for index, layer in enumerate(layers_in(teacher)):
            dead = torch.randperm(48, generator=torch.Generator().manual_seed(index))[:28]
            neurons = part(architecture, layer, "neurons")
            neurons.weight[dead] = 0
            neurons.bias[dead] = 0
    student = create_student(teacher, Shape(2, 32, 4, 20), calibration=[TEXTS])
    torch.testing.assert_close(student(**TEXTS).logits, teacher(**TEXTS).logits)


class Affine(nn.Module):
    """A LayerNorm without the normalisation, whose mean and variance a cut in width cannot keep."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + (0 if self.bias is None else self.bias)


def without_normalisation(model: PreTrainedModel) -> None:
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.LayerNorm):
                setattr(module, name, Affine(child))


def kill(architecture: str, model: PreTrainedModel, *, alive: Shape) -> None:
    """Silence all but ``alive`` of a model of width 64, 4 heads and 48 neurons, at random places."""
    generator = torch.Generator().manual_seed(5)

    def dead(count: int, of: int) -> Tensor:
        return torch.randperm(of, generator=generator)[: of - count]

    def silence(linear: nn.Module, rows: Tensor) -> None:
        assert isinstance(linear, nn.Linear)
        linear.weight[rows] = 0
        linear.bias[rows] = 0

    channels = dead(alive.width, 64)
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, Affine) and len(module.weight) == 64:
                module.weight[channels] = 0
                module.bias[channels] = 0
            if name.endswith(("pooler.dense", "classifier.dense", "pre_classifier", "embeddings_project")):
                silence(module, channels)
            if name.endswith(("albert.pooler", "embedding_hidden_mapping_in")):
                silence(module, channels)
        for layer in layers_in(model):
            for head in dead(alive.heads, 4).tolist():
                silence(part(architecture, layer, "value"), torch.arange(head * 16, head * 16 + 16))
            for head in range(4):
                dimensions = dead(alive.width // alive.heads, 16) + head * 16
                silence(part(architecture, layer, "query" if head % 2 else "key"), dimensions)
                silence(part(architecture, layer, "value"), dead(alive.width // alive.heads, 16) + head * 16)
            silence(part(architecture, layer, "neurons"), dead(alive.ffn, 48))


@every_architecture
def test_cutting_dead_channels_heads_and_dimensions_changes_nothing(architecture: str) -> None:
    """All axes at once; scores keep their size although the root that divides them is of half the width."""
    alive = Shape(layers=2, width=16, heads=2, ffn=20)
    teacher = tiny.classifier(architecture, layers=2, width=64)
    without_normalisation(teacher)
    kill(architecture, teacher, alive=alive)
    student = create_student(teacher, alive, calibration=[TEXTS])
    without_normalisation(student)
    expected = teacher(**TEXTS).logits
    assert expected.std() > 0.1
    torch.testing.assert_close(student(**TEXTS).logits, expected, rtol=1e-4, atol=1e-4)


def test_a_layer_that_serves_all_is_cut_by_its_mean_importance() -> None:
    teacher = tiny.classifier("albert", layers=3)
    importance = measure_importance(teacher, [TEXTS])
    for each in (importance.qk, importance.vo, importance.ffn):
        assert len(each) == 3
        assert torch.equal(each, each[:1].expand_as(each))
    # The same layer three times over is what one of its own in each place measures.
    unrolled = type(teacher)(tiny.config("albert", layers=3, num_hidden_groups=3))
    one = "albert_layer_groups.0."
    unrolled.load_state_dict(
        {
            name: teacher.state_dict()[re.sub(r"albert_layer_groups\.\d\.", one, name)]
            for name in unrolled.state_dict()
        }
    )
    noted: list[Tensor] = []
    for name, module in unrolled.eval().named_modules():
        if name.endswith("ffn_output"):
            module.register_forward_pre_hook(lambda _, inputs: noted.append(inputs[0][TEXTS_MASK]))
    with torch.no_grad():
        unrolled(**TEXTS)
    norms = part("albert", layers_in(teacher)[0], "output").weight.detach().norm(dim=0)
    expected = torch.stack([neurons.square().mean(0).sqrt() * norms for neurons in noted]).mean(0)
    torch.testing.assert_close(importance.ffn[0].float(), expected)


def test_cutting_dead_parts_of_modernbert_changes_nothing() -> None:
    """Its fused and gated maps; heads keep their width, which is what rotates."""
    alive = Shape(layers=4, width=32, heads=2, ffn=20)
    teacher = tiny.classifier("modernbert", layers=4, width=64, mlp_bias=True, attention_bias=True)
    without_normalisation(teacher)
    generator = torch.Generator().manual_seed(5)

    def dead(count: int, of: int) -> Tensor:
        return torch.randperm(of, generator=generator)[: of - count]

    channels = dead(32, 64)
    with torch.no_grad():
        # Nothing is added to dead channels, and what is read from them is multiplied by nothing.
        teacher.get_parameter("model.embeddings.tok_embeddings.weight")[:, channels] = 0
        for module in teacher.modules():
            if isinstance(module, Affine):
                module.weight[channels] = 0
        for layer in layers_in(teacher):
            neurons = dead(20, 48)
            silent = {
                # Values alone: queries and keys of a head without values change nothing.
                "attn.Wqkv": torch.cat([128 + head * 16 + torch.arange(16) for head in dead(2, 4)]),
                # A closed gate is as good as an input of nothing.
                "mlp.Wi": torch.cat([neurons[:14], 48 + neurons[14:]]),
                "attn.Wo": channels,
                "mlp.Wo": channels,
            }
            for name, rows in silent.items():
                layer.get_parameter(f"{name}.weight")[rows] = 0
                layer.get_parameter(f"{name}.bias")[rows] = 0
    student = create_student(teacher, alive, calibration=[TEXTS])
    without_normalisation(student)
    expected = teacher(**TEXTS).logits
    assert expected.std() > 0.1
    torch.testing.assert_close(student(**TEXTS).logits, expected, rtol=1e-4, atol=1e-4)


def test_the_units_of_largest_importance_are_kept_in_order() -> None:
    """By hand: 6 channels to 2, 3 heads of 2 dimensions to 2 heads of 1, 4 neurons to 2, layer 2 of 2."""
    teacher = tiny.classifier(layers=2, width=6, heads=3, ffn=4)
    none = torch.zeros(1, 3, 2)
    importance = Importance(
        width=torch.tensor([1.0, 5.0, 2.0, 3.0, 6.0, 4.0]),
        qk=torch.cat([none, torch.tensor([[[9.0, 1.0], [9.0, 9.0], [1.0, 2.0]]])]),
        # Heads count by their norm: the second loses, although it holds no small dimension.
        vo=torch.cat([none, torch.tensor([[[0.0, 5.0], [2.0, 2.0], [4.0, 1.0]]])]),
        ffn=torch.tensor([[9.0, 9.0, 0.0, 0.0], [1.0, 3.0, 0.0, 4.0]]),
    )
    student = type(teacher)(student_config(teacher.config, Shape(1, 2, 2, 2)))
    pieces = cut(teacher, student, sources=[2], importance=importance)

    width, qk, vo, ffn = [1, 4], [0, 5], [1, 4], [1, 3]
    whole = teacher.state_dict()
    ours, theirs = "bert.encoder.layer.0.", "bert.encoder.layer.1."
    scale = (1 / 2) ** 0.5
    for name, expected in {
        "attention.self.query.weight": whole[theirs + "attention.self.query.weight"][qk][:, width] * scale,
        "attention.self.query.bias": whole[theirs + "attention.self.query.bias"][qk] * scale,
        "attention.self.key.weight": whole[theirs + "attention.self.key.weight"][qk][:, width],
        "attention.self.key.bias": whole[theirs + "attention.self.key.bias"][qk],
        "attention.self.value.weight": whole[theirs + "attention.self.value.weight"][vo][:, width],
        "attention.output.dense.weight": whole[theirs + "attention.output.dense.weight"][width][:, vo],
        "attention.output.dense.bias": whole[theirs + "attention.output.dense.bias"][width],
        "attention.output.LayerNorm.weight": whole[theirs + "attention.output.LayerNorm.weight"][width],
        "intermediate.dense.weight": whole[theirs + "intermediate.dense.weight"][ffn][:, width],
        "intermediate.dense.bias": whole[theirs + "intermediate.dense.bias"][ffn],
        "output.dense.weight": whole[theirs + "output.dense.weight"][width][:, ffn],
    }.items():
        assert torch.equal(pieces[ours + name], expected), name
    for name in ("embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"):
        assert torch.equal(pieces[f"bert.{name}"], whole[f"bert.{name}"][:, width])
    assert torch.equal(
        pieces["bert.embeddings.LayerNorm.bias"], whole["bert.embeddings.LayerNorm.bias"][width]
    )
    assert torch.equal(pieces["bert.pooler.dense.weight"], whole["bert.pooler.dense.weight"][width][:, width])
    assert torch.equal(pieces["classifier.weight"], whole["classifier.weight"][:, width])
    assert torch.equal(pieces["classifier.bias"], whole["classifier.bias"])


def test_ties_are_broken_by_position() -> None:
    teacher = tiny.classifier(layers=1, width=4, heads=1, ffn=4)
    flat = Importance(torch.ones(4), torch.ones(1, 1, 4), torch.ones(1, 1, 4), torch.ones(1, 4))
    student = type(teacher)(student_config(teacher.config, Shape(1, 2, 1, 2)))
    pieces = cut(teacher, student, sources=[1], importance=flat)
    assert torch.equal(pieces["classifier.weight"], teacher.state_dict()["classifier.weight"][:, :2])
