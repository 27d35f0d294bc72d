"""What files hold that nobody vouches for: tensors, pickled by torch or in safetensors, and JSON."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bertling.errors import ModelError

_Json = TypeVar("_Json", dict[str, Any], list[Any])


def read_json(path: Path, kind: type[_Json]) -> _Json:
    """An object (``dict``) or a list out of a JSON file.

    Raises:
        ModelError: it cannot be read, is no JSON in UTF-8, or holds something of another kind.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, kind):
            raise ValueError(f"it holds a {type(content).__name__}")
    except (OSError, ValueError, RecursionError) as error:
        expected = "an object" if kind is dict else "a list"
        raise ModelError(
            f"cannot read {path} ({error}); expected {expected} as JSON in UTF-8: get the file anew"
        ) from error
    return content


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Name -> tensor, on the CPU, as they were saved.

    Code inside a pickle is never run: what asks for more than tensors and plain containers is refused. A
    tensor's declared shape may be larger than the bytes behind it: compare before you copy.

    Args:
        path: a file that ``torch.save`` wrote, in its zip format or in the older one, or ``.safetensors``.

    Raises:
        ModelError: not such a file, damaged, or with something else than tensors by name in it.
    """
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except ModelError:
        raise
    except UnpicklingError as error:
        # Not chained: torch's message advises to read the file without its protection.
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"asks for {asked.group(1)}" if asked else "is no plain state dict"
        raise ModelError(
            f"{path} {what}, and only tensors by name are read, so that no code of a pickle runs. "
            "Get it from where it was published, or save its state dict alone"
        ) from None
    except Exception as error:
        # Damaged bytes make a reader fail in any way.
        raise ModelError(
            f"{path} cannot be read ({type(error).__name__}); expected tensors that torch saved: check that "
            "the file is whole"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, expected tensors by name (a state dict)")
    return {_name(name, path): _tensor(value, name, path) for name, value in content.items()}


def _unpickle(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked_bytes = sum(entry.file_size for entry in archive.infolist())
        if unpacked_bytes > path.stat().st_size:
            raise ModelError(
                f"{path} unpacks to {unpacked_bytes} bytes, more than it has; expected a file that torch "
                "saved, which is not compressed"
            )
    return torch.load(path, map_location="cpu", weights_only=True)


def _name(name: object, path: Path) -> str:
    # Names are printed: one with control characters could rewrite what the terminal shows.
    if not isinstance(name, str) or not name.isprintable():
        # A few bytes of a pickle make a tuple of tuples that is gigabytes when it is written out.
        shown = repr(name)[:200] if isinstance(name, str | int) else f"with a {type(name).__name__}"
        raise ModelError(f"{path} holds an entry named {shown}, which is no name of a tensor")
    return name


def _tensor(value: object, name: str, path: Path) -> Tensor:
    if type(value) not in (Tensor, nn.Parameter):
        raise ModelError(
            f"{path}: {name} is a {type(value).__name__}, expected a tensor. Save the state dict alone"
        )
    assert isinstance(value, Tensor)
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
        raise ModelError(f"{path}: {name} is a sparse, quantised or empty tensor, expected a plain one")
    return value.detach()
