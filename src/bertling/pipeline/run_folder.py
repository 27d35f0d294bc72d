"""The run folder: one recipe, one run at a time."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bertling.errors import RecipeError, RunFolderError
from bertling.files import write_whole
from bertling.recipe.load import dump_recipe, load_recipe
from bertling.recipe.schema import Recipe

_RECIPE = "recipe.toml"
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# what a run that was killed while it claimed its folder may have left
_CLAIM = (".lock", f"{_RECIPE}.partial")


@contextmanager
def claimed(recipe: Recipe) -> Iterator[Path]:
    """The run folder, claimed for this recipe and this process.

    Raises:
        RunFolderError: the folder belongs to a recipe of another name or task, holds files that bertling did
            not write, cannot be written to, or another run works in it.
    """
    folder = recipe.folder
    with ExitStack() as held:
        # Errors of the run itself, which go through the yield, are none of the folder's.
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(folder / ".lock").acquire(timeout=0))
            _refuse_foreign(folder, recipe)
            write_whole(folder / _RECIPE, dump_recipe(recipe))
        except Timeout:
            raise RunFolderError(
                f"another run works in {folder}; wait for it to end, or choose another output"
            ) from None
        except OSError as error:
            raise RunFolderError(
                f"cannot write in the run folder {folder}: {error.strerror or error}; choose another output"
            ) from error
        yield folder


@contextmanager
def clear_disk_errors(folder: Path) -> Iterator[None]:
    """A full or read-only disk, whoever met it, in words.

    Raises:
        RunFolderError: the disk took no more.
    """
    try:
        yield
    except Exception as error:
        if what := _of_the_disk(error):
            raise RunFolderError(
                f"{what} while writing for {folder}: make room, or choose another output. What was finished "
                "is kept, and the same command goes on"
            ) from error
        raise


def _of_the_disk(error: Exception) -> str | None:
    """What the disk refused. Libraries that write in Rust or C++ have it in their messages alone."""
    message = str(error)
    for number in _OF_THE_DISK:
        said = (f"(os error {number})", f"[errno {number}]", os.strerror(number).lower())
        if getattr(error, "errno", None) == number or any(text in message.lower() for text in said):
            return os.strerror(number)
    if "PytorchStreamWriter" in message or "inline_container.cc" in message:  # torch.save, which says no more
        return "A file could not be written"
    return None


def _refuse_foreign(folder: Path, recipe: Recipe) -> None:
    written = folder / _RECIPE
    if not written.exists():
        if others := sorted(path.name for path in folder.iterdir() if path.name not in _CLAIM):
            shown = ", ".join(others[:3]) + (" and more" if len(others) > 3 else "")
            raise RunFolderError(
                f"{folder} holds {shown} but no {_RECIPE}: it is no run folder. "
                "Choose an empty or new folder as output"
            )
        return
    try:
        before = load_recipe(written)
    except RecipeError as error:
        raise RunFolderError(
            f"{written} cannot be read: {error}. Choose another output, or delete the folder"
        ) from error
    for what, old, new in (("name", before.name, recipe.name), ("task", before.task.name, recipe.task.name)):
        if old != new:
            raise RunFolderError(
                f"{folder} belongs to a recipe with the {what} {old!r}, this one has {new!r}: "
                "choose another output, or delete the folder"
            )
