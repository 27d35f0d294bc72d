"""The same command again: what is skipped, what runs again, and that it comes out the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.pipeline import words

TRAINED = ("teacher", "general", "intermediate", "prediction", "baseline")


@dataclass(frozen=True)
class Again:
    """A copy of the finished run, to be run again."""

    task: Path
    folder: Path

    def run(self, *overrides: str) -> words.Run:
        return words.run(words.read(self.task, f"output={self.folder}", *overrides))


@pytest.fixture
def again(finished: words.Run, run: Path) -> Again:
    return Again(finished.folder.parent, run)


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_everything_is_skipped_and_left_as_it_is(again: Again, finished: words.Run) -> None:
    before = times(again.folder / "stages")
    run = again.run()
    assert (run.ran, run.skipped) == ([], words.STAGES)
    assert times(again.folder / "stages") == before
    assert run.results == finished.results
    assert words.contents(again.folder / "student") == words.contents(finished.folder / "student")


def test_what_lies_beside_the_stages_is_made_again(again: Again, finished: words.Run) -> None:
    (again.folder / "results.json").write_text("{}")
    (again.folder / "report.html").unlink()
    (again.folder / "student" / "model.safetensors").write_bytes(b"")
    (again.folder / "student.partial").mkdir()
    (again.folder / "student.partial" / "half").touch()
    assert again.run().ran == []
    for name in ("results.json", "report.html", "student/model.safetensors"):
        assert (again.folder / name).read_bytes() == (finished.folder / name).read_bytes()
    assert not (again.folder / "student.partial").exists()


def test_a_student_that_was_taken_away_half_way_through_publishing_comes_back(again: Again) -> None:
    (again.folder / "student").rename(again.folder / "student.partial")
    again.run()
    assert (again.folder / "student" / "model.safetensors").exists()
    assert not (again.folder / "student.partial").exists()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("prediction.learning_rate=1e-3", ["prediction", "evaluate"]),
        ("prediction.temperature=2.0", ["prediction", "evaluate"]),
        ("baseline.epochs=1", ["baseline", "evaluate"]),
        ("baseline=none", ["evaluate"]),
        ("evaluate.latency_texts=3", ["evaluate"]),
        ("evaluate.yardsticks=none", ["evaluate"]),
        ("report.disagreements=0", ["evaluate"]),
        ("task.metric=f1", ["data", "evaluate"]),
        ("student.layer_map=top", ["general", "intermediate", "prediction", "evaluate"]),
    ],
)
def test_a_changed_setting_runs_what_depends_on_it(again: Again, override: str, expected: list[str]) -> None:
    run = again.run(override)
    assert run.ran == expected
    assert again.run(override).ran == []


@pytest.mark.parametrize(
    "overrides",
    [
        [f"{section}.log_steps=3" for section in TRAINED],
        [f"{section}.checkpoint_steps=3" for section in TRAINED],
        ["description=new"],
        ["report_to=['tensorboard']"],
    ],
)
def test_a_setting_that_changes_no_result_runs_nothing(again: Again, overrides: list[str]) -> None:
    assert again.run(*overrides).ran == []


def test_a_changed_metric_reaches_the_results(again: Again) -> None:
    results = again.run("task.metric=f1").results
    assert results.teacher
    assert {results.teacher.metric, results.student.metric} == {"f1"}


def test_a_changed_layer_map_reaches_the_results(again: Again) -> None:
    """Where no layer is compared, the weights stay the same, but not what is said about them."""
    overrides = ["general=none", "intermediate=none", "baseline=none"]
    assert again.run(*overrides).results.layer_map == {1: 2, 2: 4}
    assert again.run(*overrides, "student.layer_map=top").results.layer_map == {1: 3, 2: 4}


def test_a_stage_that_is_left_out_and_taken_back_need_not_run_again(again: Again) -> None:
    without = again.run("baseline=none")
    assert without.results.baseline is None
    assert "baseline" not in without.results.wall_seconds
    assert again.run().ran == ["evaluate"]


def truncate(folder: Path) -> None:
    largest = max(
        (path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    largest.write_bytes(largest.read_bytes()[:-1])


def delete(folder: Path) -> None:
    max(path for path in folder.rglob("*") if path.name != "stage.json" and path.is_file()).unlink()


def flip(folder: Path) -> None:
    largest = max(
        (path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    content = bytearray(largest.read_bytes())
    content[-1] ^= 1
    largest.write_bytes(bytes(content))


@pytest.mark.faults
@pytest.mark.parametrize(
    ("stage", "damage"),
    [
        ("data", truncate),
        ("teacher", flip),
        ("initialize", delete),
        ("general", truncate),
        ("intermediate", flip),
        ("prediction", truncate),
        ("baseline", delete),
        ("evaluate", flip),
    ],
)
def test_a_damaged_stage_alone_runs_again_and_comes_out_the_same(
    again: Again, stage: str, damage: Callable[[Path], None]
) -> None:
    folder = again.folder / "stages" / stage
    before = words.contents(folder)
    damage(folder)
    run = again.run()
    assert run.ran == [stage]
    after = words.contents(folder)
    for timed in ("stage.json", "results.json"):
        before.pop(timed, None)
        after.pop(timed, None)
    assert after == before


@pytest.mark.parametrize("name", ["train.tsv", "test.tsv"])
def test_changed_data_runs_everything_that_depends_on_it(task: Path, name: str) -> None:
    first = words.run(words.read(task, *words.SMALL))
    words.write_tsv(task / name, words.texts(40, seed=9))
    second = words.run(words.read(task, *words.SMALL))
    assert second.ran == ["data", "teacher", "initialize", "prediction", "evaluate"]
    sizes = (40, 24) if name == "train.tsv" else (64, 40)
    assert (second.results.data.train_examples, second.results.data.evaluation_examples) == sizes
    assert first.results != second.results


def test_a_changed_corpus_runs_what_learns_from_it(again: Again) -> None:
    corpus = again.folder.parent / "corpus.txt"
    corpus.write_text("".join(f"{text}\n" for text, _ in words.texts(20, seed=5)))
    overrides = [f"general.corpus={corpus}", "intermediate=none", "baseline=none"]
    assert again.run(*overrides).ran == ["corpus", "initialize", "general", "prediction", "evaluate"]


def test_fewer_texts_of_the_corpus_give_what_a_fresh_run_gives(again: Again, tmp_path: Path) -> None:
    """The student is cut out of the teacher by its importance on the corpus, so it starts otherwise too."""
    overrides = ["general.corpus_texts=5", "intermediate=none", "baseline=none"]
    assert again.run(*overrides).ran == ["corpus", "initialize", "general", "prediction", "evaluate"]
    fresh = words.run(words.read(again.task, f"output={tmp_path / 'fresh'}", *overrides))
    model = Path("student", "model.safetensors")
    assert (again.folder / model).read_bytes() == (fresh.folder / model).read_bytes()


def test_another_teacher_in_the_same_place_runs_everything(task: Path) -> None:
    words.run(words.read(task, *words.SMALL))
    words.write_teacher(task / "teacher", seed=1)
    run = words.run(words.read(task, *words.SMALL))
    assert run.ran == ["teacher", "initialize", "prediction", "evaluate"]
