from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, PreTrainedModel
from transformers.models.auto.configuration_auto import AutoConfig

from bertling.errors import ModelError, ShapeError
from bertling.models.anatomy import layers_of, window_of
from bertling.models.student import PRESETS, Shape, create_student, shape_of, student_config

every_architecture = pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
# Those whose students may be of any width, and those with layers to choose from.
any_width = pytest.mark.parametrize(
    "architecture", [name for name in tiny.ARCHITECTURES if name != "mobilebert"]
)
own_layers = pytest.mark.parametrize(
    "architecture", [name for name in tiny.ARCHITECTURES if name != "albert"]
)
CALIBRATION = [tiny.batch([9, 4], seed=1), tiny.batch([6, 6, 2], seed=2)]
BATCH = tiny.batch([8, 3], seed=3)
NAMES: dict[str, Any] = {
    "id2label": {0: "no", 1: "maybe", 2: "yes"},
    "label2id": {"no": 0, "maybe": 1, "yes": 2},
}
SMALL = Shape(layers=2, width=16, heads=2, ffn=20)


def layer_prefix(model: PreTrainedModel, layer: int) -> str:
    return layers_of(model)[layer - 1] + "."


def weights(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def test_the_paper_s_students() -> None:
    assert PRESETS["tinybert-4l-312"] == Shape(layers=4, width=312, heads=12, ffn=1200)
    assert PRESETS["tinybert-6l-768"] == Shape(layers=6, width=768, heads=12, ffn=3072)


@pytest.mark.parametrize("shape", [(0, 32, 4, 8), (1, 0, 4, 8), (1, 32, 0, 8), (1, 32, 4, -1)])
def test_every_part_of_a_shape_is_at_least_one(shape: tuple[int, int, int, int]) -> None:
    with pytest.raises(ShapeError, match="at least 1"):
        Shape(*shape)


def test_the_width_is_a_multiple_of_the_heads() -> None:
    with pytest.raises(ShapeError, match="width 312 is not a multiple of heads 10"):
        Shape(4, 312, 10, 1200)


@every_architecture
def test_shape_is_read_and_written_by_architecture(architecture: str) -> None:
    config = tiny.config(architecture, layers=3, width=32, heads=4, ffn=48)
    assert shape_of(config) == Shape(layers=3, width=32, heads=4, ffn=48)
    assert shape_of(student_config(config, SMALL)) == SMALL
    assert shape_of(config) == Shape(layers=3, width=32, heads=4, ffn=48)


@pytest.mark.parametrize(("architecture", "embedding"), [("electra", 16), ("electra-projected", 24)])
def test_electra_keeps_its_projection_or_its_lack_of_one(architecture: str, embedding: int) -> None:
    assert student_config(tiny.config(architecture), SMALL).embedding_size == embedding


@any_width
@pytest.mark.parametrize("initialization", ["random", "prune"])
def test_a_student_is_the_teacher_s_kind_in_another_shape(
    architecture: str, initialization: Any, tmp_path: Path
) -> None:
    teacher = tiny.classifier(architecture, layers=3, dropout=0.3, **NAMES)
    before = weights(teacher)
    student = create_student(teacher, SMALL, initialization=initialization, calibration=CALIBRATION)
    assert type(student) is type(teacher)
    assert shape_of(student.config) == SMALL
    assert not student.training
    assert (student.config.id2label, student.config.label2id) == (NAMES["id2label"], NAMES["label2id"])
    assert student.config.vocab_size == tiny.VOCABULARY
    assert 0.3 in student.config.to_dict().values()
    assert all(parameter.requires_grad for parameter in student.parameters())
    logits = student(**BATCH).logits
    assert logits.shape == (2, 3)
    assert torch.isfinite(logits).all()
    student.save_pretrained(tmp_path)
    reloaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    torch.testing.assert_close(reloaded(**BATCH).logits, logits)
    assert_same(weights(teacher), before)


@any_width
@pytest.mark.parametrize("initialization", ["random", "prune"])
def test_encoders_without_a_head_have_students_too(architecture: str, initialization: Any) -> None:
    teacher = tiny.encoder(architecture)
    student = create_student(teacher, SMALL, initialization=initialization, calibration=CALIBRATION)
    assert student(**BATCH).last_hidden_state.shape == (2, 8, 16)


def test_a_seed_gives_the_same_random_student_and_leaves_the_generator_alone() -> None:
    teacher = tiny.classifier()

    def student(seed: int) -> dict[str, Tensor]:
        return weights(create_student(teacher, SMALL, initialization="random", seed=seed))

    torch.manual_seed(123)
    state = torch.get_rng_state()
    first = student(0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert_same(student(0), first)
    name = "bert.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(student(1)[name], first[name])


@own_layers
def test_layers_copies_the_chosen_layers_and_everything_around_them(architecture: str) -> None:
    teacher = tiny.classifier(architecture, layers=4)
    shape = Shape(layers=2, width=32, heads=4, ffn=48)
    sources = [1, 4] if architecture == "modernbert" else [4, 2]
    student = create_student(teacher, shape, initialization="layers", source_layers=sources)
    theirs, ours = weights(teacher), weights(student)
    for name, value in ours.items():
        source = name
        for layer, chosen in enumerate(sources, start=1):
            prefix = layer_prefix(teacher, layer)
            if name.startswith(prefix):
                source = layer_prefix(teacher, chosen) + name.removeprefix(prefix)
        assert torch.equal(value, theirs[source]), name
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.zero_()
    assert_same(weights(teacher), theirs)


@pytest.mark.parametrize("initialization", ["layers", "prune"])
def test_the_lowest_layers_are_the_default(initialization: Any) -> None:
    teacher = tiny.classifier(layers=4)
    shape = Shape(layers=3, width=32, heads=4, ffn=48)
    default, lowest = (
        create_student(
            teacher, shape, initialization=initialization, source_layers=layers, calibration=CALIBRATION
        )
        for layers in (None, [1, 2, 3])
    )
    assert_same(weights(default), weights(lowest))


def test_layers_beyond_the_ninth_are_found() -> None:
    teacher = tiny.classifier(layers=12, width=8, heads=2, ffn=8)
    student = create_student(teacher, Shape(2, 8, 2, 8), initialization="layers", source_layers=[11, 12])
    for mine, theirs in enumerate((10, 11)):
        ours = student.get_submodule(f"bert.encoder.layer.{mine}").state_dict()
        assert_same(ours, teacher.get_submodule(f"bert.encoder.layer.{theirs}").state_dict())


@pytest.mark.parametrize(
    "architecture", [name for name in tiny.ARCHITECTURES if name not in ("albert", "mobilebert")]
)
def test_a_layer_may_be_used_twice(architecture: str) -> None:
    teacher = tiny.classifier(architecture, layers=3)
    student = create_student(
        teacher, replace(SMALL, layers=3), source_layers=[1, 2, 2], calibration=CALIBRATION
    )
    second, third = layer_prefix(student, 2), layer_prefix(student, 3)
    ours = weights(student)
    for name, value in ours.items():
        if name.startswith(second):
            assert torch.equal(value, ours[third + name.removeprefix(second)]), name


@any_width
def test_pruning_to_the_full_shape_changes_nothing(architecture: str) -> None:
    teacher = tiny.classifier(architecture, layers=3)
    student = create_student(teacher, shape_of(teacher.config), calibration=CALIBRATION)
    assert_same(weights(student), weights(teacher))
    assert torch.equal(student(**BATCH).logits, teacher(**BATCH).logits)


@any_width
def test_pruning_depth_alone_copies_layers(architecture: str) -> None:
    teacher = tiny.classifier(architecture, layers=3)
    shape = Shape(layers=2, width=32, heads=4, ffn=48)
    sources = None if architecture == "albert" else [1, 3]
    copied = create_student(teacher, shape, initialization="layers", source_layers=sources)
    pruned = create_student(teacher, shape, source_layers=sources, calibration=CALIBRATION)
    assert_same(weights(pruned), weights(copied))


@every_architecture
def test_layers_of_the_full_shape_give_the_teacher_s_outputs(architecture: str) -> None:
    teacher = tiny.classifier(architecture, layers=3)
    student = create_student(teacher, shape_of(teacher.config), initialization="layers")
    assert torch.equal(student(**BATCH).logits, teacher(**BATCH).logits)


@pytest.mark.parametrize("initialization", ["random", "layers"])
def test_mobilebert_s_students_are_less_deep(initialization: Any) -> None:
    teacher = tiny.classifier("mobilebert", layers=3)
    student = create_student(teacher, Shape(2, 32, 4, 48), initialization=initialization)
    assert shape_of(student.config) == Shape(2, 32, 4, 48)
    assert student(**BATCH).logits.shape == (2, 2)


def test_modernbert_s_layers_see_as_far_as_those_that_they_come_from() -> None:
    teacher = tiny.classifier("modernbert", layers=4)
    assert [window_of(teacher.config, layer) for layer in (1, 2, 3, 4)] == [None, 3, 3, None]
    for sources, windows in (([1, 4], [None, None]), ([1, 3], [None, 3]), (None, [None, 3])):
        student = create_student(teacher, SMALL, source_layers=sources, calibration=CALIBRATION)
        assert [window_of(student.config, layer) for layer in (1, 2)] == windows
    deeper = create_student(teacher, replace(SMALL, layers=6), initialization="random")
    assert deeper(**BATCH).logits.shape == (2, 2)


def test_the_convolution_of_a_deberta_is_copied() -> None:
    teacher = tiny.classifier("deberta-v2", layers=3, conv_kernel_size=3, conv_act="gelu")
    student = create_student(teacher, replace(shape_of(teacher.config), layers=3), initialization="layers")
    assert torch.equal(student(**BATCH).logits, teacher(**BATCH).logits)


def test_deberta_without_shared_projections_is_cut_as_well() -> None:
    settings: dict[str, Any] = {"share_att_key": False, "position_biased_input": True}
    teacher = tiny.classifier("deberta-v2", layers=3, **settings)
    whole = create_student(teacher, shape_of(teacher.config), calibration=CALIBRATION)
    assert torch.equal(whole(**BATCH).logits, teacher(**BATCH).logits)
    student = create_student(teacher, SMALL, calibration=CALIBRATION)
    assert student.get_submodule("deberta.encoder.layer.0.attention.self.pos_key_proj").out_features == 16


def unsupported() -> PreTrainedModel:
    config = AutoConfig.for_model("mpnet", vocab_size=50, num_hidden_layers=1, hidden_size=24)
    model: PreTrainedModel = AutoModel.from_config(config)
    return model


def with_unknown_parameters() -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForMaskedLM.from_config(tiny.config())
    return model


@pytest.mark.parametrize(
    ("make", "shape", "options", "message"),
    [
        (tiny.classifier, SMALL, {"initialization": "zeros"}, "'zeros'; expected random, layers, prune"),
        (
            tiny.classifier,
            SMALL,
            {"initialization": "layers"},
            "as wide as the teacher: got .*width=16.*width=32",
        ),
        (tiny.classifier, SMALL, {"calibration": None}, "give calibration batches"),
        (tiny.classifier, SMALL, {"calibration": []}, "no calibration text"),
        (tiny.classifier, Shape(3, 16, 2, 20), {}, "student of 3 layers cannot be made from a teacher of 2"),
        (
            tiny.classifier,
            SMALL,
            {"source_layers": [1]},
            r"source_layers \[1\] do not fit: expected 2 layers",
        ),
        (tiny.classifier, SMALL, {"source_layers": [1, 3]}, "expected 2 layers from 1 to 2"),
        (tiny.classifier, SMALL, {"source_layers": [0, 1]}, "expected 2 layers from 1 to 2"),
        (tiny.classifier, Shape(2, 64, 8, 20), {}, "student's width is 64, the teacher's only 32"),
        (tiny.classifier, Shape(2, 32, 8, 20), {}, "student's heads is 8, the teacher's only 4"),
        (
            tiny.classifier,
            Shape(2, 20, 2, 20),
            {},
            r"head width \(width / heads\) is 10, the teacher's only 8",
        ),
        (tiny.classifier, Shape(2, 16, 2, 49), {}, "student's ffn is 49, the teacher's only 48"),
        (with_unknown_parameters, SMALL, {}, r"cannot cut the parameter 'cls\.predictions.*Use .*'random'"),
        (unsupported, SMALL, {}, "'mpnet' is not supported; expected one of bert, roberta"),
        (
            lambda: tiny.classifier("albert", num_hidden_groups=2),
            SMALL,
            {},
            "num_hidden_groups = 2 .* expected 1",
        ),
        (lambda: tiny.classifier("albert"), SMALL, {"source_layers": [2, 1]}, "Leave source_layers out"),
        (
            lambda: tiny.classifier("modernbert"),
            SMALL,
            {"source_layers": [2, 1]},
            "Begin with layer 1, and use it once",
        ),
        (
            lambda: tiny.classifier("modernbert"),
            Shape(2, 16, 4, 20),
            {},
            r"head width \(width / heads\) is 4, the teacher's 8: .*same head width",
        ),
        (
            lambda: tiny.classifier("modernbert"),
            Shape(2, 12, 4, 20),
            {"initialization": "random"},
            r"is 3: modernbert rotates pairs .* must be even",
        ),
        (
            lambda: tiny.classifier("mobilebert"),
            SMALL,
            {"initialization": "random"},
            "have its width, heads and ffn: its layers work in a bottleneck.*by 'random'; expected",
        ),
        (lambda: tiny.classifier("mobilebert"), Shape(2, 32, 4, 48), {}, "by 'prune'; expected"),
        (
            lambda: tiny.classifier("deberta-v2", conv_kernel_size=3, conv_act="gelu"),
            SMALL,
            {},
            r"cannot cut the parameter 'deberta\.encoder\.conv",
        ),
        (
            lambda: tiny.classifier("electra-projected"),
            Shape(2, 24, 4, 20),
            {},
            "width is 24, that of the teacher's embedding tables",
        ),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_reason(
    make: Callable[[], PreTrainedModel], shape: Shape, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        create_student(make(), shape, **{"calibration": CALIBRATION, **options})


def test_calibration_of_padding_alone_is_refused() -> None:
    empty = {name: torch.zeros_like(values) for name, values in BATCH.items()}
    with pytest.raises(ModelError, match="no calibration text"):
        create_student(tiny.classifier(), SMALL, calibration=[empty])
