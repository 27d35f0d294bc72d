from __future__ import annotations

import io
import shlex

import pytest
from rich.console import Console

from bertling.cli.summary import print_results
from bertling.recipe import load_recipe
from bertling.report.numbers import NOTHING, TIMES
from bertling.results import ModelResult, Results


def printed(results: Results, *overrides: str, source: str = "quickstart") -> list[str]:
    output = io.StringIO()
    console = Console(file=output, width=80)
    recipe = load_recipe("quickstart", overrides)
    print_results(results, console, recipe=recipe, source=source, overrides=overrides)
    return output.getvalue().splitlines()


def row(lines: list[str], label: str) -> list[str]:
    (line,) = [line for line in lines if line.strip().startswith(label)]
    return line.replace(label, "").split()


def test_each_model_is_one_line_of_a_terminal_80_wide_from_plain_to_strong(results: Results) -> None:
    lines = printed(results)
    labels = ["majority class", "TF-IDF + logistic regression", "baseline", "distilled student", "teacher"]
    positions = [
        next(number for number, line in enumerate(lines) if line.strip().startswith(label))
        for label in labels
    ]

    assert positions == list(range(positions[0], positions[0] + 5))
    assert max(map(len, lines[: positions[-1] + 1])) <= 80
    assert row(lines, "model") == ["accuracy", "params", "MB", "ms", "speed-up"]
    assert row(lines, "majority class") == ["25.0", *4 * [NOTHING]]
    assert row(lines, "TF-IDF + logistic regression") == ["77.7", *4 * [NOTHING]]
    assert row(lines, "baseline (labels alone)") == ["80.1", "7.30", "M", "29.2", "2.00", f"5.0{TIMES}"]
    assert row(lines, "teacher") == ["90.0", "22.7", "M", "90.8", "10.0", f"1.0{TIMES}"]


@pytest.mark.parametrize(
    ("kind", "plain", "strong"),
    [
        ("classification", "majority class", "TF-IDF + logistic regression"),
        ("regression", "mean of the labels", "TF-IDF + ridge regression"),
        ("sentence_embeddings", "mean of the labels", "TF-IDF + ridge regression"),
    ],
)
def test_a_yardstick_is_called_what_it_is_for_the_kind_of_task(
    results: Results, kind: str, plain: str, strong: str
) -> None:
    lines = printed(results.model_copy(update={"data": results.data.model_copy(update={"kind": kind})}))

    assert row(lines, plain)[0] == "25.0"
    assert row(lines, strong)[0] == "77.7"
    assert sum("regression" in line for line in lines) == 1


def test_the_student_shows_the_speedup_that_was_measured_interleaved(results: Results) -> None:
    assert row(printed(results), "distilled student")[-1] == f"4.2{TIMES}"


def test_stages_that_did_not_run_have_no_row(results: Results) -> None:
    lines = printed(results.model_copy(update={"baseline": None, "yardsticks": {}}))

    assert not any("baseline" in line or "TF-IDF" in line or "majority" in line for line in lines)


def test_the_verdict_says_what_was_kept(results: Results) -> None:
    lines = printed(results)

    assert "The student keeps 95.0% of the teacher's score." in lines
    assert f"It is 4.2{TIMES} as fast and 3.1{TIMES} smaller." in lines


def test_a_teacher_without_a_score_has_no_share_to_keep(results: Results) -> None:
    lines = printed(results.model_copy(update={"score_retention": None}))

    assert any("no share of it to keep" in line for line in lines)
    assert not any("keeps" in line for line in lines)


def test_places_are_named_whole_and_the_report_only_where_there_is_one(results: Results) -> None:
    folder = "a-folder-with-a-long-name/" * 5 + "run"
    lines = printed(results, f"output={folder}")

    assert f"report   {folder}/report.html" in lines
    assert f"student  {folder}/student" in lines
    assert f'  AutoModelForSequenceClassification.from_pretrained("{folder}/student")' in lines
    assert not any(line.startswith("report") for line in printed(results, "report=none"))


@pytest.mark.parametrize(
    ("overrides", "folder", "change"),
    [
        ([], "runs/quickstart-w96", ("width", 96)),
        (["description=two words", "name=other"], "runs/other-w96", ("width", 96)),
        (["output=here/run"], "here/run-w96", ("width", 96)),
        (["student.width=36"], "runs/quickstart-seed43", ("width", 36)),
        (["student.width = 144", "output = 'here'"], "here-w72", ("width", 72)),
        (["student.width=36", "seed=7"], "runs/quickstart-seed8", ("width", 36)),
    ],
)
def test_the_next_command_works_and_goes_to_a_folder_of_its_own(
    results: Results, overrides: list[str], folder: str, change: tuple[str, int]
) -> None:
    lines = printed(results, *overrides)
    program, command, source, *settings = shlex.split(lines[lines.index("next:") + 1])
    recipe = load_recipe(source, settings[1::2])

    assert (program, command, set(settings[::2])) == ("bertling", "run", {"--set"})
    keys = [setting.partition("=")[0].strip() for setting in settings[1::2]]
    assert len(keys) == len(set(keys)), "a key that the command changes is not given as before, too"
    assert str(recipe.folder) == folder
    assert getattr(recipe.student, change[0]) == change[1]


def test_only_a_shipped_recipe_is_offered_for_copying(results: Results) -> None:
    assert "  bertling recipes copy quickstart my.toml" in printed(results)
    assert not any("recipes copy" in line for line in printed(results, source="mine.toml"))


def test_further_figures_stand_beside_the_score(results: Results) -> None:
    def with_more(model: ModelResult, other: float) -> ModelResult:
        more = {"further_metrics": {"f1": other}, "further_sets": {"mismatched": other / 2}}
        return model.model_copy(update=more)

    assert results.teacher
    changed = {
        "student": with_more(results.student, 0.8),
        "teacher": with_more(results.teacher, 0.9),
    }
    lines = printed(results.model_copy(update=changed))
    assert "Beside its score: f1 80.0 (teacher 90.0), accuracy mismatched 40.0 (teacher 45.0)." in lines
    assert not any("Beside its score" in line for line in printed(results))


def test_a_black_box_has_no_size_and_no_speed_and_maybe_no_score(results: Results) -> None:
    nobody: dict[str, object] = {
        "score_retention": None,
        "speedup": None,
        "size_ratio": None,
        "teacher": None,
    }
    student = results.student.model_copy(update={"further_metrics": {"f1": 0.8}})
    lines = printed(results.model_copy(update={**nobody, "student": student}))
    assert not any(line.strip().startswith("teacher") for line in lines)
    assert row(lines, "distilled student")[-1] == NOTHING
    assert any(line.startswith("Nothing is known of what the teacher says") for line in lines)
    assert "Beside its score: f1 80.0." in lines
    assert not any("as fast" in line for line in lines)

    known = {**nobody, "score_retention": 0.95, "teacher": ModelResult(score=0.9, metric="accuracy")}
    lines = printed(results.model_copy(update=known))
    assert row(lines, "teacher") == ["90.0", *4 * [NOTHING]]
    assert "The student keeps 95.0% of the teacher's score." in lines
    assert not any("as fast" in line for line in lines)
