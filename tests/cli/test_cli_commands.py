from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bertling.cli import main
from bertling.cli.env import format_environment
from bertling.errors import ModelError
from bertling.recipe import Recipe, load_recipe
from bertling.results import Results
from bertling.results_of_exports import Export


def folded(text: str) -> str:
    """Text without the line breaks and borders that a narrow terminal puts in."""
    return " ".join(text.replace("│", " ").split())


def test_without_a_command_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0

    out = capsys.readouterr().out
    assert all(command in out for command in ("run", "validate", "recipes", "report", "env"))


def test_set_is_the_only_option_of_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0

    out = capsys.readouterr().out
    assert {word for word in out.split() if word.startswith("--")} == {"--set"}


def test_version_prints_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0

    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("arguments", [["rnu"], ["run"], ["run", "quickstart", "--width", "3"]])
def test_a_wrong_command_line_ends_with_2_and_a_message(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Error" in captured.err
    assert "Traceback" not in captured.err


def test_help_recipes_and_validation_import_no_torch() -> None:
    program = """
import sys
import bertling.recipe
from bertling.cli import main
main(["run", "--help"])
main(["recipes", "list"])
main(["validate", "quickstart"])
main(["report", "nowhere"])
print("LOADED", sorted({"torch", "transformers", "datasets", "sklearn"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_python_m_bertling_gives_the_exit_code() -> None:
    command = [sys.executable, "-m", "bertling", "validate", "quikstart"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stdout == ""
    assert "did you mean quickstart?" in done.stderr
    assert "Traceback" not in done.stderr


def test_validate_shows_the_stages_that_run(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["teacher.model=owner/model", "general=none", "prediction.max_steps=7", "report=none"]
    settings += ["intermediate.unlabelled=false", "prediction.unlabelled=false"]
    arguments = ["validate", "quickstart", *(part for setting in settings for part in ("--set", setting))]

    assert main(arguments) == 0

    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    stages = ("teacher", "general", "intermediate", "prediction", "baseline", "evaluate", "report")
    assert [line[0] for line in lines if line[0] in stages] == [
        "teacher",
        "intermediate",
        "prediction",
        "baseline",
        "evaluate",
    ]
    assert ["prediction", "prediction", "7", "steps", "32", "0.0005"] in lines
    assert lines[-1] == ["ok"]


def test_validate_shows_what_a_method_changes(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["teacher.model=owner/model", "method=none", "intermediate=none"]
    settings += ["prediction.unlabelled=false"]
    assert main(["validate", "quickstart", *(part for one in settings for part in ("--set", one))]) == 0
    out = folded(capsys.readouterr().out)
    assert "general left out: the method none learns nothing there" in out
    assert "prediction labels" in out


def test_validate_reports_every_missing_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "validate",
        "sst2",
        "--set",
        f"data.folder={tmp_path}",
        "--set",
        f"general.corpus={tmp_path}/c.txt",
    ]

    assert main([*arguments, "--set", "teacher.model=owner/model"]) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "sst2: 3 problems",
        f"  - [data] folder: no file {tmp_path}/train.tsv",
        f"  - [data] folder: no file {tmp_path}/dev.tsv",
        f"  - [general] corpus: no file or folder {tmp_path}/c.txt",
    ]


def test_recipes_list_names_the_shipped_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "list"]) == 0

    out = folded(capsys.readouterr().out)
    assert f"quickstart {load_recipe('quickstart').description}" in out
    assert "sst2" in out


def test_recipes_copy_writes_into_the_working_folder_and_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["recipes", "copy", "quickstart"]) == 0
    assert load_recipe(tmp_path / "quickstart.toml") == load_recipe("quickstart")
    assert capsys.readouterr().out == "wrote quickstart.toml; edit it, then: bertling run quickstart.toml\n"

    assert main(["recipes", "copy", "quickstart"]) == 2
    assert "quickstart.toml exists already" in capsys.readouterr().err

    assert main(["recipes", "copy", "quickstart", "mine.toml"]) == 0
    assert load_recipe(tmp_path / "mine.toml").name == "mine"


def test_run_gives_the_recipe_with_its_overrides_to_the_pipeline_and_prints_the_results(
    results: Results, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[Recipe] = []

    def pipeline_run(recipe: Recipe, *, console: Console) -> Results:
        given.append(recipe)
        console.print("training")
        return results

    monkeypatch.setattr("bertling.pipeline.run", pipeline_run, raising=False)
    settings = ["seed=7", "teacher.model=owner/model", "student.width=96"]

    assert main(["run", "quickstart", *(part for setting in settings for part in ("--set", setting))]) == 0

    assert given == [load_recipe("quickstart", settings)]
    out = capsys.readouterr().out
    assert out.startswith("training\n")
    assert "The student keeps 95.0%" in out
    assert (
        "--set seed=7 --set teacher.model=owner/model --set name=quickstart-w48 --set student.width=48" in out
    )


def test_run_looks_for_its_inputs_before_it_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pipeline_run(recipe: Recipe, *, console: Console) -> Results:
        raise AssertionError("started")

    monkeypatch.setattr("bertling.pipeline.run", pipeline_run, raising=False)

    assert main(["run", "quickstart", "--set", "teacher.model=./no-such-folder"]) == 2
    assert "[teacher] model: no folder" in capsys.readouterr().err


def test_a_message_that_quotes_data_does_nothing_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("name = \x1b[2J\u202e\x07")

    assert main(["validate", str(recipe)]) == 2
    printed = capsys.readouterr().err
    assert r"\x1b[2J\u202e\x07" in printed
    assert printed.replace("\n", "").isprintable()


def test_an_error_is_printed_as_it_is_without_markup_or_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message = "[bold]no such model[/bold] [/x] :smile: " + "long " * 40 + "end"

    def pipeline_run(recipe: Recipe, *, console: Console) -> Results:
        raise ModelError(message)

    monkeypatch.setattr("bertling.pipeline.run", pipeline_run, raising=False)

    assert main(["run", "quickstart", "--set", "teacher.model=owner/model"]) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"{message}\n"


def test_an_error_of_our_own_making_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def pipeline_run(recipe: Recipe, *, console: Console) -> Results:
        raise ZeroDivisionError

    monkeypatch.setattr("bertling.pipeline.run", pipeline_run, raising=False)

    with pytest.raises(ZeroDivisionError):
        main(["run", "quickstart", "--set", "teacher.model=owner/model"])


def test_an_interrupted_run_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pipeline_run(recipe: Recipe, *, console: Console) -> Results:
        raise KeyboardInterrupt

    monkeypatch.setattr("bertling.pipeline.run", pipeline_run, raising=False)

    assert main(["run", "quickstart", "--set", "teacher.model=owner/model"]) == 130
    assert capsys.readouterr().err == "stopped; the same command goes on from the last checkpoint\n"


def test_report_writes_the_page_from_the_results(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write_report(given: Results, path: Path, *, attention: None, exports: dict[str, Export]) -> None:
        path.write_text(given.name, encoding="utf-8")

    monkeypatch.setattr("bertling.report.write_report", write_report, raising=False)
    (tmp_path / "results.json").write_text(results.model_dump_json(), encoding="utf-8")

    assert main(["report", str(tmp_path)]) == 0

    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "quickstart"
    assert capsys.readouterr().out == f"wrote {tmp_path / 'report.html'}\n"


def test_report_of_a_folder_without_results_says_what_it_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path)]) == 2

    assert (
        f"no file {tmp_path / 'results.json'}: expected the folder of a finished run"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("text", "problem"), [("{", "(file: Invalid JSON"), ("{}", "(name: Field required)")]
)
def test_report_of_results_that_are_none_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, problem: str
) -> None:
    (tmp_path / "results.json").write_text(text, encoding="utf-8")

    assert main(["report", str(tmp_path)]) == 2

    err = capsys.readouterr().err
    assert problem in err
    assert "pydantic" not in err


def test_report_refuses_results_with_fields_of_another_version(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = json.loads(results.model_dump_json()) | {"energy_joules": 1}
    (tmp_path / "results.json").write_text(json.dumps(fields), encoding="utf-8")

    assert main(["report", str(tmp_path)]) == 2
    assert "(energy_joules: " in capsys.readouterr().err


def test_env_prints_versions_and_hardware(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env"]) == 0

    facts = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert {"python", "torch", "transformers", "cpu", "cores", "memory", "accelerator"} <= set(facts)


def test_an_environment_is_one_aligned_line_for_each_fact(results: Results) -> None:
    assert format_environment(results.environment).splitlines() == [
        "python       3.11.7",
        "torch        2.13.0",
        "commit       none: not run from a checkout",
        "cpu          a CPU",
        "cores        2",
        "memory       8.0 GB",
        "accelerator  none",
    ]
