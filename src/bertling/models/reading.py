"""Read models that exist: local folders, names on the Hugging Face hub, models inside installed packages.

Nothing here knows what a model is for: what of it its files lack is reported, for the caller to judge.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedModel
from transformers.utils import logging

from bertling.errors import ModelError
from bertling.models.folders import check_folder, check_size

_PACKAGE = "package:"


def find_model(name: str) -> str:
    """A folder for ``name`` where there is one locally, else the name itself, for the hub.

    ``package:NAME`` stands for the one folder with a ``config.json`` inside the installed package NAME.

    Raises:
        ModelError: the folder holds no model, or the package is not installed or holds none or several.
    """
    if name.startswith(_PACKAGE):
        return str(_inside_package(name.removeprefix(_PACKAGE)))
    try:
        path = Path(name).expanduser()
        there = path.exists()
    except (OSError, RuntimeError) as error:  # a name too long, or a home of nobody
        raise ModelError(f"{name[:200]!r} can be no folder ({error}): check the model's name") from error
    if there:
        if not (path / "config.json").is_file():
            raise ModelError(
                f"{path} is not a model folder: it has no config.json. Give a folder that transformers saved"
            )
        check_folder(path)
        return str(path)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"the model folder {name} does not exist (looked in {Path.cwd()})")
    return name


def _inside_package(package: str) -> Path:
    # find_spec of a top-level name locates it without running any of its code.
    try:
        spec = importlib.util.find_spec(package) if package.isidentifier() else None
    except ValueError:  # of a module that is no package, such as __main__
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"no package {package!r} is installed, and package:{package} names a model inside it; "
            f"try pip install {package.replace('_', '-')}"
        )
    root = Path(spec.submodule_search_locations[0])
    found = sorted(
        config.parent for config in root.rglob("config.json") if list(config.parent.glob("*.safetensors"))
    )
    if len(found) != 1:
        raise ModelError(f"package {package} holds {len(found)} model folders, expected exactly one: {found}")
    return found[0]


def hub_revision(name: str) -> str:
    """Commit of a model on the hub, which stands for its content; raises ModelError where there is none."""
    return f"{name}@{read_config(name)._commit_hash}"


def read_config(found: str, **settings: Any) -> Any:
    """The configuration of what `find_model` found, with ``settings`` in the place of its own.

    Raises:
        ModelError: not found, or damaged.
    """
    return refusing_damage(
        found,
        "model",
        # False, not the default: that would ask, and run the folder's code where somebody types y.
        lambda: AutoConfig.from_pretrained(found, trust_remote_code=False, **settings),
    )


@dataclass(frozen=True, slots=True)
class Misfits:
    """Parameters of a model that its checkpoint does not have, or has in another shape: random so far."""

    missing: frozenset[str]
    mismatched: frozenset[str]

    def without(self, names: Set[str]) -> Misfits:
        """Those that are not among ``names``."""
        return Misfits(self.missing - names, self.mismatched - names)


def read_model(kind: Any, name: str, **settings: Any) -> tuple[PreTrainedModel, Misfits]:
    """A model in eval mode, float32, and what of it is random: the caller judges which of that may be.

    Args:
        kind: one of transformers' AutoModel classes.
        name: folder, hub name or ``package:NAME``.
        settings: that replace those of the configuration.

    Raises:
        ModelError: not found, damaged, or pickled.
    """
    found = find_model(name)
    config = read_config(found, **settings)
    _refuse_pickles(found, name)
    with quiet_transformers():
        if Path(found).is_dir():
            refusing_damage(found, "model", lambda: check_size(Path(found), kind, config))
        model, loading = refusing_damage(
            found,
            "model",
            lambda: kind.from_pretrained(
                found,
                config=config,
                output_loading_info=True,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
                dtype="float32",
            ),
        )
    model.eval()
    mismatched = (key[0] if isinstance(key, tuple) else key for key in loading["mismatched_keys"])
    return model, Misfits(frozenset(loading["missing_keys"]), frozenset(mismatched))


def refuse_misfits(name: str, model: PreTrainedModel, misfits: Misfits, *, hint: str = "") -> None:
    """Raise a ModelError that names the parameters, and ends in ``hint``, unless there are none."""
    problems = [f"missing: {key}" for key in sorted(misfits.missing)] + [
        f"another shape: {key}" for key in sorted(misfits.mismatched)
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise ModelError(
            f"the weights of {name} do not fit {model.config.model_type}: {shown}. "
            f"{hint}bertling never fills weights in at random in silence"
        )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' table of missing weights and its bars: bertling says what there is to say."""
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def _refuse_pickles(found: str, name: str) -> None:
    folder = Path(found)
    if folder.is_dir() and not list(folder.glob("*.safetensors")):
        pickles = sorted(
            path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern)
        )
        held = (
            f"only {', '.join(pickles)}, pickle files that can run code when read"
            if pickles
            else "no weights"
        )
        raise ModelError(
            f"{name} holds {held}; bertling reads safetensors. Convert it where you trust it: "
            "AutoModel.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
        )


def refusing_damage(found: str, what: str, read: Callable[[], Any]) -> Any:
    """What ``read`` returns; a ModelError that names ``what`` was read from ``found``, however it fails."""
    try:
        return read()
    except ModelError:
        raise
    except BaseException as error:
        # Damaged or made-up files make a reader fail in any way; one written in Rust raises no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        local = Path(found).is_dir()
        where = (
            f"the folder {found}"
            if local
            else f"{found!r}: no such folder here, and not to be had from the hub"
        )
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"cannot read the {what} from {where} ({first_line})") from error
