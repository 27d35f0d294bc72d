from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.pipeline import words

from bertling.errors import DataError
from bertling.states import Parts
from bertling.training import cache_filling
from bertling.training.checkpoints import mark_whole

BOTH = ("baseline=none", "report=none", "evaluate.yardsticks=none")


def stages(value: str, *names: str) -> list[str]:
    return [f"{name}.teacher_cache={value}" for name in names or ("general", "intermediate", "prediction")]


class Fills:
    """The stages that filled a cache, by the files that they asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parts: list[Any] = []

        def noted(teacher: Any, rows: Any, parts: Any, **how: Any) -> Any:
            self.parts.append(parts)
            return cache_filling.fill_teacher_cache(teacher, rows, parts, **how)

        monkeypatch.setattr("bertling.pipeline.teacher_caching.fill_teacher_cache", noted)


def test_a_student_from_caches_is_the_student(task: Path) -> None:
    """Up to half precision, in all stages, and the caches go when it is trained."""
    runs = {
        value: words.run(words.read(task, *BOTH, *stages(value), f"output={task / value}"))
        for value in ("always", "never")
    }
    for stage in ("general", "intermediate", "prediction"):
        kept, computed = (run.results.histories[stage] for run in runs.values())
        for ours, theirs in zip(kept, computed, strict=True):
            assert ours.step == theirs.step
            assert ours.loss == pytest.approx(theirs.loss, rel=2e-3)
    assert not (runs["always"].folder / "teacher-cache").exists()


def test_auto_keeps_from_the_second_pass_on(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fills = Fills(monkeypatch)
    words.run(words.read(task, *BOTH, "intermediate.epochs=1", "general.epochs=1.5", "prediction.epochs=2"))
    assert [(parts.logits, parts.embedding) for parts in fills.parts] == [(True, False)]


def test_auto_counts_steps_as_passes(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fills = Fills(monkeypatch)
    words.run(words.read(task, *BOTH, *words.SMALL, "prediction.max_steps=7", f"output={task / 'less'}"))
    assert not fills.parts  # 64 texts in batches of 16
    words.run(words.read(task, *BOTH, *words.SMALL, "prediction.max_steps=8", f"output={task / 'twice'}"))
    assert len(fills.parts) == 1


def test_auto_without_room_runs_the_teacher(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fills = Fills(monkeypatch)
    words.run(
        words.read(task, *BOTH, *words.SMALL, "prediction.epochs=2", "prediction.teacher_cache_gib=1e-9")
    )
    assert not fills.parts


def test_always_without_room_is_an_error(task: Path) -> None:
    recipe = words.read(
        task, *BOTH, *words.SMALL, *stages("always", "prediction"), "prediction.teacher_cache_gib=1e-9"
    )
    with pytest.raises(DataError, match=r"stage prediction: .* would take .* GiB"):
        words.run(recipe)


def test_packed_blocks_cannot_be_kept(task: Path) -> None:
    with pytest.raises(DataError, match=r"stage general: .* packed"):
        words.run(words.read(task, *BOTH, "general.packed=true", *stages("always", "general")))
    done = words.run(words.read(task, *BOTH, "general.packed=true", "general.epochs=3", "intermediate=none"))
    assert "general" in done.ran


@pytest.mark.faults
def test_a_run_that_dies_while_a_cache_fills_ends_as_an_undisturbed_one(
    task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_filling, "_BATCH_TOKENS", 32)
    monkeypatch.setattr(cache_filling, "_BATCHES_BETWEEN_NOTES", 1)
    settings = [*BOTH, "general=none", *stages("always", "intermediate", "prediction")]
    undisturbed = words.run(words.read(task, *settings, f"output={task / 'undisturbed'}"))
    real, written = cache_filling._write, Counter[str]()

    def dying(array: Any, values: Any, members: Any, starts: Any, name: str, *, mask: Any) -> None:
        written[name] += 1
        if name in ("embedding", "logits") and written[name] == 5:
            raise KeyboardInterrupt
        real(array, values, members, starts, name, mask=mask)

    monkeypatch.setattr(cache_filling, "_write", dying)
    recipe = words.read(task, *settings)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            words.run(recipe)
    words.run(recipe)
    model = Path("student", "model.safetensors")
    assert (recipe.folder / model).read_bytes() == (undisturbed.folder / model).read_bytes()


def test_what_auto_decided_holds_when_a_stage_goes_on(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where it would decide otherwise now, since half precision makes another student."""
    settings = [*BOTH, *words.SMALL, "prediction.epochs=4", "prediction.checkpoint_steps=4"]
    undisturbed = words.run(words.read(task, *settings, f"output={task / 'undisturbed'}"))
    die_after_checkpoint(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        words.run(words.read(task, *settings))
    monkeypatch.undo()
    fills = Fills(monkeypatch)
    went_on = words.run(words.read(task, *settings, "prediction.teacher_cache_gib=1e-9"))
    assert "prediction  goes on" in went_on.printed
    assert len(fills.parts) == 1
    expected = load_file(undisturbed.folder / "student" / "model.safetensors")
    for name, value in load_file(went_on.folder / "student" / "model.safetensors").items():
        assert torch.equal(value, expected[name]), name


def die_after_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the stage prediction, which is the only one here with a checkpoint."""

    def dying(checkpoint: Path) -> None:
        mark_whole(checkpoint)
        if "prediction" in str(checkpoint):
            raise KeyboardInterrupt

    monkeypatch.setattr("bertling.training.trainer.mark_whole", dying)


def test_the_teacher_runs_once_for_both_task_stages(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not twice, since the prediction stage reads a few numbers more of the same texts; same student."""
    filled: list[list[str]] = []
    real = cache_filling._Filling.work

    def noted(filling: Any, show: Any, progress: Any) -> None:
        filled.append(filling.names)
        real(filling, show, progress)

    monkeypatch.setattr(cache_filling._Filling, "work", noted)
    settings = [*BOTH, "general=none", *stages("always", "intermediate", "prediction")]
    together = words.run(words.read(task, *settings, f"output={task / 'together'}"))
    (names,) = filled
    assert {"embedding", "logits"} <= set(names)
    filled.clear()
    monkeypatch.setattr("bertling.pipeline.teacher_caching._read_next", lambda *_: Parts())
    apart = words.run(words.read(task, *settings, f"output={task / 'apart'}"))
    assert filled[1] == ["logits"]
    model = Path("student", "model.safetensors")
    assert (together.folder / model).read_bytes() == (apart.folder / model).read_bytes()
