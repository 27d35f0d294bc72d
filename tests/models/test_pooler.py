"""A pooler that nobody trained is left out: of the encoder, and of the students made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests import tiny
from torch import Tensor
from transformers import PreTrainedModel

from bertling.errors import ModelError
from bertling.models.student import Shape, create_student
from bertling.models.teacher import load_classifier, load_encoder

BATCH = tiny.batch([7, 3])
NAMES = ["no", "maybe", "yes"]
with_poolers = pytest.mark.parametrize("architecture", ["bert", "roberta"])


def has_pooler(model: PreTrainedModel) -> bool:
    return "pooler" in dict(model.named_children())


def rewrite(folder: Path, weights: dict[str, Tensor]) -> str:
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


@with_poolers
def test_a_pooler_that_the_checkpoint_lacks_is_left_out(architecture: str, tmp_path: Path) -> None:
    model = tiny.encoder(architecture)
    model.save_pretrained(tmp_path / "whole")
    assert has_pooler(load_encoder(str(tmp_path / "whole")))
    weights = load_file(tmp_path / "whole" / "model.safetensors")
    without = {name: value for name, value in weights.items() if not name.startswith("pooler.")}
    assert len(without) == len(weights) - 2
    loaded = load_encoder(rewrite(tmp_path / "whole", without))
    assert not has_pooler(loaded)
    output = loaded(**BATCH)
    assert output.pooler_output is None
    torch.testing.assert_close(output.last_hidden_state, model(**BATCH).last_hidden_state)
    # It stays out, and a task brings a new one.
    again = tmp_path / "again"
    loaded.save_pretrained(again)
    assert load_file(again / "model.safetensors").keys() == without.keys()
    assert not has_pooler(load_encoder(str(again)))
    assert load_classifier(str(again), label_names=NAMES, new_head=True)(**BATCH).logits.shape == (2, 3)


@pytest.mark.parametrize("name", ["pooler.dense.weight", "pooler.dense.bias"])
def test_half_a_pooler_is_refused(name: str, tmp_path: Path) -> None:
    tiny.encoder().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights[name]
    with pytest.raises(ModelError, match=f"do not fit bert: missing: {name}. bertling never fills"):
        load_encoder(rewrite(tmp_path, weights))


def test_a_pooler_of_another_shape_is_refused(tmp_path: Path) -> None:
    tiny.encoder().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["pooler.dense.weight"] = torch.zeros(16, 32)
    with pytest.raises(ModelError, match=r"another shape: pooler\.dense\.weight"):
        load_encoder(rewrite(tmp_path, weights))


@with_poolers
@pytest.mark.parametrize("initialization", ["random", "layers", "prune"])
def test_a_teacher_without_a_pooler_has_students_without_one(
    architecture: str, initialization: Any, tmp_path: Path
) -> None:
    teacher = tiny.encoder(architecture)
    shape = Shape(1, 32, 4, 48) if initialization == "layers" else Shape(2, 16, 2, 20)
    whole = create_student(teacher, shape, initialization=initialization, calibration=[BATCH])
    teacher.register_module("pooler", None)
    student = create_student(teacher, shape, initialization=initialization, calibration=[BATCH])
    assert not has_pooler(student)
    assert student(**BATCH).pooler_output is None
    ours, theirs = student.state_dict(), whole.state_dict()
    assert ours.keys() == {name for name in theirs if "pooler" not in name}
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    student.save_pretrained(tmp_path)
    assert not has_pooler(load_encoder(str(tmp_path)))
