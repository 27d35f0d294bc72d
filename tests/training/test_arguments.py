from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training import toy

from bertling.training.arguments import training_arguments


def logged(folder: Path, key: str, **settings: Any) -> list[float]:
    trainer = toy.trainer(folder, toy.texts(8), batch_size=4, **settings)
    trainer.train()
    return [entry[key] for entry in trainer.state.log_history if "loss" in entry]


def test_the_rate_warms_up_to_its_peak_and_decays_to_zero(tmp_path: Path) -> None:
    rates = logged(tmp_path, "learning_rate", epochs=5.0, learning_rate=1e-2, warmup_fraction=0.2)
    assert rates == pytest.approx(
        [1e-2 * share for share in (0, 1 / 2, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8)]
    )


def test_without_warm_up_the_rate_starts_at_its_peak(tmp_path: Path) -> None:
    rates = logged(tmp_path, "learning_rate", epochs=1.0, learning_rate=1e-2, warmup_fraction=0.0)
    assert rates == pytest.approx([1e-2, 5e-3])


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"epochs": 1.0}, 2),
        ({"epochs": 1.5}, 3),
        ({"epochs": 1.0, "max_steps": 5}, 5),
        ({"epochs": 2.0, "accumulation_steps": 2}, 2),
    ],
)
def test_steps_follow_from_epochs_unless_they_are_given(
    tmp_path: Path, settings: dict[str, Any], steps: int
) -> None:
    assert len(logged(tmp_path, "step", **settings)) == steps


@pytest.mark.parametrize(("limit", "clipped"), [(0.5, True), (0.0, False), (1e6, False)])
def test_gradients_are_clipped_to_the_norm_or_not_at_all(tmp_path: Path, limit: float, clipped: bool) -> None:
    kept = toy.KeepGradients()
    norms = logged(tmp_path, "grad_norm", max_steps=1, max_gradient_norm=limit, callbacks=[kept])
    norm = float(torch.cat([gradient.flatten() for gradient in kept.steps[0].values()]).norm())
    assert norms[0] > 1
    assert norm == pytest.approx(0.5 if clipped else norms[0], rel=1e-4)


def test_weight_decay_shrinks_weights(tmp_path: Path) -> None:
    def size(weight_decay: float) -> float:
        trainer = toy.trainer(
            tmp_path, toy.texts(8), max_steps=3, learning_rate=1e-2, weight_decay=weight_decay
        )
        trainer.train()
        return float(trainer.trained.get_parameter("student.classifier.weight").detach().norm())

    assert size(10.0) < 0.95 * size(0.0)


def test_what_the_library_decides(tmp_path: Path) -> None:
    arguments = training_arguments(tmp_path, report_to=(), log_steps=7, checkpoint_steps=11, seed=5)
    assert arguments.output_dir == str(tmp_path)
    assert not arguments.logging_nan_inf_filter
    assert arguments.save_total_limit == 2
    assert (arguments.logging_steps, arguments.save_steps, arguments.seed) == (7, 11, 5)
    assert arguments.report_to == []
    assert arguments.use_cpu is not torch.accelerator.is_available()
    assert training_arguments(tmp_path).save_strategy == "no"
